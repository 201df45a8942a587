package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"handprint/serve/query"
)

// hostile are values as attackers send them. None may end up in a page as markup
// or as an invisible character.
var hostile = []string{
	`<img src=x onerror=alert(1)>`, `"><script>alert(2)</script>`, `=HYPERLINK("http://evil.example","x")`, `javascript:alert(3)`,
	"\u202Egnp.exe", "a\x00b\x1b[31mc", "zero\u200Bwidth", strings.Repeat("long ", 60000), `{{.}}`, `</style></textarea>`, `' onmouseover='x`,
}

// fake is a source that answers with the same text wherever a text from outside
// may stand.
type fake struct {
	text    string
	err     error
	replays int  // how often something was sent again
	reading bool // has not read all topics once
	silent  bool // the brokers do not answer
	missing []string
	crowded bool
}

func quoted(s string) json.RawMessage { b, _ := json.Marshal(s); return b }

func (f *fake) row(i int) query.Row {
	return query.Row{Primitive: fmt.Sprintf("motor.%s_%d", f.text, i), Domain: "motor", Kind: "CATEGORICAL", Value: quoted(f.text), State: states[i%5], Confidence: 0.6, Count: 8, ChangeTS: 1000, SeenTS: 1060, Holders: 3, Of: 15, Bits: 1.5, Returns: i == 1}
}

func (f *fake) address() *query.Address {
	return &query.Address{Address: f.text, Kind: "opaque", Sensors: []string{f.text}, FirstTS: 900, LastTS: 1060}
}

func (f *fake) suspicion() query.Suspicion {
	return query.Suspicion{ID: f.text, Identity: f.text, Address: f.address(), Status: "grown", Since: 1000, TS: 1010, Confidence: 0.6, Primitives: []string{f.row(0).Primitive, f.row(1).Primitive}, Groups: []string{"client", "timing"}, Added: []string{f.row(0).Primitive}, Summary: f.text, EventID: f.text,
		Reasons: []query.Reason{{Primitive: f.row(0).Primitive, Kind: "alternates", Group: "timing", Values: []json.RawMessage{quoted(f.text), quoted("b")}}, {Primitive: f.row(1).Primitive, Kind: "returns", Group: "client", Values: []json.RawMessage{quoted(f.text)}}}}
}

func (f *fake) suspicionRecord(primitives ...string) json.RawMessage {
	b, _ := json.Marshal(map[string]any{"suspicion_id": f.text, "primitives": primitives})
	return b
}

func (f *fake) happening() query.Happening {
	old := "stable"
	return query.Happening{TS: 1000, Recorded: 1001, Kind: "state", Primitive: f.row(0).Primitive, OldState: &old, NewState: "drifting", Value: quoted(f.text), Previous: quoted(f.text), Confidence: 0.5, EventID: f.text}
}

func (f *fake) Overview(context.Context, time.Duration) (*query.Overview, error) {
	old := "stable"
	return &query.Overview{Identities: 15, Suspected: 1, Attackers: 15, Addresses: 15, Rows: 5, States: query.States{Unknown: 1, Stable: 1, Drifting: 1, Conflicted: 1, MultiActor: 1},
		Domains: []query.DomainCount{{Domain: f.text, States: query.States{Stable: 4}}}, Changes: []query.Change{{New: "stable", Count: 3}, {Old: &old, New: "drifting", Count: 1}}, Transitions: 4, AsOf: 1100}, f.err
}

func (f *fake) Identities(context.Context, url.Values) (*query.IdentityList, error) {
	s := f.suspicion()
	into := f.text
	return &query.IdentityList{Items: []query.ListedIdentity{
		{Identity: f.text, States: query.States{Stable: 3, MultiActor: 2}, Rows: 5, Attackers: 2, Address: f.address(), ChangeTS: 1000, SeenTS: 1060, Suspected: s.Primitives, Suspicion: &s, MergedInto: &into,
			Matched: []query.Match{{Primitive: f.row(0).Primitive, State: "drifting", Value: quoted(f.text), Confidence: 0.5}}}},
		Total: 1, TotalIs: "exact", Facets: &query.Facets{State: query.States{Stable: 1}}, Next: "next"}, f.err
}

func (f *fake) Identity(context.Context, string) (*query.Identity, error) {
	s := f.suspicion()
	into := f.text
	id := &query.Identity{Identity: f.text, MergedInto: &into, Unsettled: true, Attackers: []query.Member{{Attacker: f.text, Version: 3, Address: f.address()}}, Total: 1, Suspicion: &s, AsOf: f.now().AsOf}
	origin := int64(7)
	id.Record = &query.IdentityRecord{Attackers: []string{f.text}, Total: 2, MergedInto: &into, Version: 3, LastEvent: &into, Origin: &origin, UpdatedAt: 1050}
	for i := range 5 {
		id.Rows = append(id.Rows, f.row(i))
	}
	return id, f.err
}

func (f *fake) Timeline(context.Context, string, url.Values) (*query.Timeline, error) {
	return &query.Timeline{Identity: f.text, Items: []query.Happening{f.happening(),
		{TS: 1000, Recorded: 1000, Kind: "suspicion", Status: "raised", Confidence: 0.6, Record: f.suspicionRecord(f.text)},
		{TS: 1010, Recorded: 1010, Kind: "suspicion", Status: "grown", Confidence: 0.6, Record: f.suspicionRecord(f.text, f.text+"2")},
		{TS: 1020, Recorded: 1020, Kind: "suspicion", Status: "cleared", Record: f.suspicionRecord()},
		{TS: 1030, Recorded: 1030, Kind: "suspicion", Status: f.text, Record: json.RawMessage("{")},
		{TS: 1015, Recorded: 1015, Kind: "identity", Status: f.text}, {TS: 1016, Recorded: 1016, Kind: "value", Primitive: f.row(0).Primitive, Value: quoted(f.text), Previous: quoted("b")}}, Begins: 900, Next: "x"}, f.err
}

func (f *fake) History(context.Context, string) (*query.IdentityHistory, error) {
	return &query.IdentityHistory{Identity: f.text, Items: []query.IdentityEvent{{Version: 1, Type: "identity.merged", TS: 1000, Winner: f.text, Loser: f.text + "2"}, {Version: 2, Type: "identity." + f.text, TS: 1001}}}, f.err
}

func (f *fake) Similar(context.Context, string) (*query.PairList, error) {
	return &query.PairList{Items: []query.Pair{{A: f.text, B: f.text + "b", Score: 3, Agree: []query.Agreement{{Primitive: f.row(0).Primitive, Value: quoted(f.text), Bits: 3}}, Disagree: []query.Agreement{{Primitive: f.row(1).Primitive, Bits: -1}}}}, ComputedAt: 1000, Complete: !f.crowded}, f.err
}

func (f *fake) Explain(_ context.Context, _, primitive string, _ bool) (json.RawMessage, error) {
	merger := "categorical"
	if strings.HasSuffix(primitive, "_1") {
		merger = "hash"
	} else if strings.HasSuffix(primitive, "_2") {
		merger = "numeric"
	}
	entryOf := func(ts float64, v any) map[string]any {
		return map[string]any{"ts": ts, "value": v, "attacker_uuid": f.text, "evidence_ref": f.text, "confidence": 0.9}
	}
	var recent []any
	for i := range 5 {
		v := any(f.text)
		if i%2 == 1 {
			v = "b"
		}
		if merger == "numeric" {
			v = float64(i) * 1e307
		}
		recent = append(recent, entryOf(1000+float64(10*i), v))
	}
	b, err := json.Marshal(map[string]any{
		"primitive": primitive, "merger": merger, "ends_after": 3, "agrees": false, "kind": "CATEGORICAL",
		"row":    map[string]any{"state": "multi_actor", "confidence": 0.6, "current_value": f.text, "last_change_ts": 1000},
		"window": map[string]any{"size": 5, "recent": recent, "older": []any{entryOf(990, "c")}, "kept": 6, "pushed_out": 1},
		"facts":  map[string]any{"cv": 0.3, "mean": 1e307, "older_mean": -1e308, "shift": 2.0}, "thresholds": map[string]float64{"window": 5, f.text: 1},
		"steps":        []any{map[string]any{"rule": f.text, "text": f.text, "holds": true, "decides": true}},
		"would_change": []any{map[string]any{"next_value": f.text, "state": "conflicted", "confidence": 0.6}},
	})
	return b, errors.Join(err, f.err)
}

func (f *fake) Windows(ctx context.Context, id string, primitives []string) (map[string]json.RawMessage, query.Position, error) {
	out := map[string]json.RawMessage{}
	for _, p := range primitives {
		text, err := f.Explain(ctx, id, p, false)
		if err != nil {
			return nil, query.Position{}, err
		}
		out[p] = text
	}
	return out, query.Position{}, nil
}

func (f *fake) Compare(context.Context, string, string) (*query.Comparison, error) {
	a, b := f.row(1), f.row(1)
	return &query.Comparison{A: f.text, B: f.text, Score: 13.1, Rows: []query.ComparedRow{
		{Primitive: a.Primitive, A: &a, B: &b, Bits: 2, Relation: "agree"}, {Primitive: a.Primitive, A: &a, Relation: "one_sided"},
		{Primitive: a.Primitive, A: &a, B: &b, Bits: -2, Relation: "disagree"}, {Primitive: a.Primitive, A: &a, B: &b, Relation: "not_stable"}}}, f.err
}

func (f *fake) Suspicions(context.Context, url.Values) (*query.SuspicionList, error) {
	return &query.SuspicionList{Items: []query.Suspicion{f.suspicion()}, Total: 1, Next: "x"}, f.err
}

func (f *fake) Suggestions(ctx context.Context) (*query.PairList, error) { return f.Similar(ctx, "") }

func (f *fake) Primitives(context.Context) (*query.PrimitiveList, error) {
	return &query.PrimitiveList{Items: []query.Primitive{{Primitive: f.row(0).Primitive, Rows: 3}}}, f.err
}

func (f *fake) count() query.ValueCount {
	return query.ValueCount{Value: quoted(f.text), Holders: 3, States: query.States{Stable: 3}}
}

func (f *fake) Values(context.Context, string, string, int) (*query.ValueList, error) {
	return &query.ValueList{Items: []query.ValueCount{f.count()}, Total: 1}, f.err
}

func (f *fake) Value(context.Context, string, json.RawMessage) (*query.ValueInfo, error) {
	return &query.ValueInfo{Primitive: f.row(0).Primitive, ValueCount: f.count(), Of: 15, Bits: 2}, f.err
}

func (f *fake) Search(context.Context, string) (*query.SearchResult, error) {
	return &query.SearchResult{Q: f.text, Identities: []string{f.text}, Attackers: []query.Attacker{{Attacker: f.text, Identity: f.text, Address: f.address()}, {Attacker: f.text}}, Total: 2, Primitives: []string{f.text}, Values: []query.FoundValue{{Primitive: f.text, ValueCount: f.count()}}}, f.err
}

func (f *fake) Recent(context.Context, int) ([]Recent, error) {
	return []Recent{{f.text, f.happening()}}, f.err
}
func (f *fake) Address(context.Context, string) *query.Address { return f.address() }

func (f *fake) Operations(context.Context) (*Operations, error) {
	if f.silent {
		return &Operations{Tasks: []Task{{Owner: "a", Phase: "restoring", Restores: true, Left: 1e300}}, Asked: 1040, Silent: true, DeadLettersUnknown: true}, f.err
	}
	return &Operations{Tasks: []Task{{Owner: f.text, Phase: f.text, Restores: true, Restore: 0.5, Left: 61, Stuck: f.text, Standbys: []string{f.text}}, {}}, DeadLetters: []DeadLetter{{TS: 1000, Reason: f.text, Stage: f.text, Source: f.text, Bytes: 3, Preview: f.text}}, Instances: []Instance{{Name: f.text, Version: f.text}}, Catalog: 1 << 20, Begins: 900,
		Reads: []Wire{{f.text, f.text}}, Writes: []Wire{{f.text, f.text}, {"b", "c"}}, Group: f.text, State: f.text, Unowned: 1,
		Series: []Series{{Title: f.text, Unit: f.text, Step: 60, Until: 1100, Values: []float64{1, 0, 1e300, math.NaN(), math.Inf(1)}}, {Title: "none"}, {Title: "zeros", Step: 1, Until: 1100, Values: []float64{0, 0}}}}, f.err
}

func (f *fake) Freshness(context.Context) Freshness { return f.now() }

func (f *fake) now() Freshness {
	if f.reading {
		return Freshness{Building: 1}
	}
	return Freshness{AsOf: 1100, Building: 1, Missing: f.missing, LeavesOut: f.crowded, Stale: "read"}
}

// A page that is made before all topics were read once says so, and no time.
func TestPagesSayThatTheyAreNotComplete(t *testing.T) {
	h := serve(t, &fake{text: "x", reading: true})
	for path, times := range map[string]int{"/": 2, "/operations": 3, "/identities/x": 3, "/identities/x/why/motor.a_0": 3} { // two at the top of each
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/hp"+path, nil))
		if body := w.Body.String(); w.Code != 200 || strings.Count(body, "not complete yet") != times || strings.Contains(body, ">as of<") || strings.Contains(body, "as of  ") {
			t.Errorf("%s: %d %s", path, w.Code, body)
		}
	}
}

// That lists leave something out stands on each page.
func TestPagesSayThatListsLeaveSomethingOut(t *testing.T) {
	for _, crowded := range []bool{false, true} {
		w := ask(t, serve(t, &fake{text: "x", crowded: crowded}), "GET", "/hp/identities", nil)
		if strings.Contains(w.Body.String(), "Too many primitives are made up.") != crowded {
			t.Errorf("crowded %v: %s", crowded, w.Body)
		}
		w = ask(t, serve(t, &fake{text: "x", crowded: crowded}), "GET", "/hp/identities/x", nil)
		if strings.Contains(w.Body.String(), "too many to compare them all") != crowded {
			t.Errorf("not all were compared %v: %s", crowded, w.Body)
		}
	}
}

// That topics are not there is said first, beside what else is said of how fresh a page is,
// and what is live does not replace it.
func TestPagesSayFirstThatTopicsAreNotThere(t *testing.T) {
	for _, missing := range [][]string{{"topic.a"}, {"topic.a", "topic.b"}} {
		w := httptest.NewRecorder()
		serve(t, &fake{text: "x", missing: missing, crowded: true}).ServeHTTP(w, httptest.NewRequest("GET", "/hp/identities", nil))
		at := 0
		for _, want := range append(append([]string{" data-behind>"}, missing...), "Too many primitives are made up.", `<div id="stale">`, "What is shown is behind.") {
			n := strings.Index(w.Body.String()[at:], want)
			if n < 0 {
				t.Fatalf("%v: no %s behind the others in %s", missing, want, w.Body)
			}
			at += n
		}
	}
}

func (f *fake) Merge(context.Context, string, string) (string, error) { return f.text, f.err }
func (f *fake) Unmerge(context.Context, string, string, []string) (string, error) {
	return f.text, f.err
}

func (f *fake) Replay(context.Context, int32, int64) (string, error) {
	f.replays++
	return f.text, f.err
}

// serve returns the pages of a source, below a base path.
func serve(t testing.TB, f *fake) http.Handler {
	t.Helper()
	h, err := New(Options{Source: f, Actor: f, BasePath: "/hp", Now: func() time.Time { return time.Unix(1100, 0) }, Person: func(*http.Request) Person { return Person{Name: f.text, Role: "operate", Operate: true} },
		Story: &Story{Title: "t", Chapters: []Chapter{{"a", "b", "/identities"}}, Lines: []StoryLine{{f.text, f.text, f.text}}}})
	if err != nil {
		t.Fatal(err)
	}
	return mux(h)
}

// mux has the routes of pages below their base path.
func mux(h *Handler) http.Handler {
	mux := http.NewServeMux()
	for _, r := range h.Routes() {
		method, path, _ := strings.Cut(r.Pattern, " ")
		mux.Handle(method+" /hp"+path, r.Handler)
	}
	return mux
}

// pages are a URL for every page.
var pages = []string{
	"/", "/?window=24h", "/identities?state=multi_actor&primitive=motor.a&value=%22x%22&q=1&suspected=true&min_confidence=0.5", "/identities?column=rows&column=ids&column=none&column=%3Cscript%3E", "/identities/x", "/identities/x?only=unstable", "/identities/x?axis=time", "/identities/x?axis=time&from=1000&to=1001", "/identities/x?by=recorded", "/identities/x?axis=sessions&from=a&to=b", "/identities/x/why/motor.a_0", "/identities/x/why/motor.a_1",
	"/identities/x/why/motor.a_2", "/identities/x/history", "/compare", "/compare?a=x&b=y", "/compare?a=x&b=y&show=differ", "/suspicions?current=true", "/suggestions", "/values?primitive=motor.a&value=%22x%22", "/search?q=ab", "/search?q=ab&part=results", "/operations",
}

func ask(t testing.TB, h http.Handler, method, target string, form url.Values) *httptest.ResponseRecorder {
	t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, target, body)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// checkMarkup fails for scripts, handlers, styles and links that no template has,
// and for characters that a reader cannot see.
func checkMarkup(t *testing.T, where, page string) {
	t.Helper()
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if !errors.Is(z.Err(), io.EOF) {
				t.Errorf("%s: %v", where, z.Err())
			}
			return
		case html.StartTagToken, html.SelfClosingTagToken:
			tok := z.Token()
			src := ""
			for _, a := range tok.Attr {
				// Ids in forms are exact; what is shown of an attribute is not.
				shown := a.Key == "title" || strings.HasPrefix(a.Key, "aria-") || tok.Data == "option" && a.Key == "value" && strings.HasPrefix(a.Val, `"`)
				if shown && strings.ContainsAny(a.Val, "\u202E\u200B\x00\x1b") {
					t.Errorf("%s: %s of %s has an invisible character", where, a.Key, tok.Data)
				}
				if a.Key == "src" {
					src = a.Val
				}
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "srcdoc" {
					t.Errorf("%s: attribute %s of %s", where, a.Key, tok.Data)
				}
				if (a.Key == "href" || a.Key == "action") && !strings.HasPrefix(a.Val, "/hp/") && !strings.HasPrefix(a.Val, "#") && a.Val != "data:," {
					t.Errorf("%s: %s leads to %.80q", where, a.Key, a.Val)
				}
			}
			if tok.Data == "img" || tok.Data == "iframe" || tok.Data == "style" || tok.Data == "script" && !strings.HasPrefix(src, "/hp/static/app-") && !strings.HasPrefix(src, "/hp/static/timeline-") {
				t.Errorf("%s: element %s", where, tok.Data)
			}
		case html.TextToken:
			for _, r := range string(z.Text()) {
				if r == '\u202E' || r == '\u200B' || r == 0 || r == 0x1b {
					t.Errorf("%s: character %U in the text", where, r)
				}
			}
		}
	}
}

func TestWhatAttackersSendIsShownAsText(t *testing.T) {
	for _, text := range hostile {
		h := serve(t, &fake{text: text})
		for _, path := range pages {
			w := ask(t, h, "GET", "/hp"+path, nil)
			if w.Code != http.StatusOK {
				t.Fatalf("%s: %d %.300s", path, w.Code, w.Body)
			}
			checkMarkup(t, fmt.Sprintf("%s with %.20q", path, text), w.Body.String())
			if w.Body.Len() > 2<<20 {
				t.Errorf("%s with %.20q has %d bytes", path, text, w.Body.Len())
			}
		}
		for _, kind := range []string{"merge", "unmerge"} {
			form := url.Values{"loser": {text}, "attacker": {text}}
			checkMarkup(t, kind, ask(t, h, "POST", "/hp/identities/x/"+kind, form).Body.String())
		}
	}
}

// A problem keeps the frame, says what it is, and what to do.
func TestEachProblemIsASentenceOfItsOwn(t *testing.T) {
	for kind, want := range map[query.Kind]struct {
		status int
		says   string
	}{
		query.UnknownIdentity: {404, "Nobody has this id or address."}, query.NoRow: {404, "There is no such row."},
		query.CatalogBuilding: {503, "The catalogue is being built."}, query.CatalogTooSmall: {503, "No list has this primitive."},
		query.CursorMismatch: {400, "That cannot be asked."}, query.Fault: {500, "This is a fault of handprint."},
	} {
		h := serve(t, &fake{text: "x", err: &query.Problem{Kind: kind, Detail: "the detail", Cause: errors.New("broker-7.internal:9092 /var/lib/x")}})
		w := ask(t, h, "GET", "/hp/identities/x", nil)
		page := w.Body.String()
		if w.Code != want.status || !strings.Contains(page, want.says) || !strings.Contains(page, "the detail") && kind != query.Fault || !strings.Contains(page, "Overview") {
			t.Errorf("%s: %d, %.200s", kind, w.Code, page)
		}
		if strings.Contains(page, "broker-7") || strings.Contains(page, "/var/lib") {
			t.Errorf("%s: the page tells the cause", kind)
		}
	}
	if w := ask(t, serve(t, &fake{text: "x"}), "GET", "/hp/values?primitive=a&value=x", nil); w.Code != 400 {
		t.Errorf("a value that is no JSON: %d", w.Code)
	}
}

// Who types a whole id or address is there; a beginning shows what begins so.
func TestASearchForAWholeNameGoesThere(t *testing.T) {
	h := serve(t, &fake{text: "127.0.0.7"})
	w := ask(t, h, "GET", "/hp/search?q=127.0.0.7", nil)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/hp/identities/127.0.0.7" {
		t.Errorf("the whole address: %d to %q", w.Code, w.Header().Get("Location"))
	}
	if w = ask(t, h, "GET", "/hp/search?q=127.0", nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "127.0.0.7") {
		t.Errorf("the beginning: %d", w.Code)
	}
	if id := exactly(&query.SearchResult{Attackers: []query.Attacker{{Attacker: "a", Identity: "i", Address: &query.Address{Address: "x"}}, {Attacker: "b", Identity: "j", Address: &query.Address{Address: "x"}}}}, "x"); id != "" {
		t.Errorf("an address of two identities leads to %q", id)
	}
}

func FuzzASCIIJSON(f *testing.F) {
	for _, s := range hostile {
		f.Add(s[:min(len(s), 100)])
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := quoted(s)
		shown := asciiJSON(text)
		var before, after string
		if len(text) <= maxLinked && (json.Unmarshal(text, &before) != nil || json.Unmarshal([]byte(shown), &after) != nil || before != after) {
			t.Errorf("%s is shown as %s", text, shown)
		}
		for _, r := range shown {
			if r < ' ' || r == 0x7f || r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069 || r == 0x200B || r == 0xFEFF {
				t.Errorf("%q shows %U", s, r)
			}
		}
	})
}

func TestActionsAreShownBeforeTheyAreSent(t *testing.T) {
	f := &fake{text: "id"}
	h := serve(t, f)
	form := url.Values{"loser": {"y"}, "attacker": {"a1", "a2"}}
	w := ask(t, h, "POST", "/hp/identities/x/unmerge", form)
	if !strings.Contains(w.Body.String(), "2 attackers") || strings.Contains(w.Body.String(), "Sent") {
		t.Errorf("the preview says %.300s", w.Body)
	}
	form.Set("confirm", "1")
	if w = ask(t, h, "POST", "/hp/identities/x/unmerge", form); !strings.Contains(w.Body.String(), "Sent") {
		t.Errorf("confirmed: %.300s", w.Body)
	}
	if w = ask(t, h, "POST", "/hp/identities/x/merge", form); w.Code != 400 {
		t.Errorf("an identity with itself: %d", w.Code)
	}
	big := url.Values{"loser": {strings.Repeat("x", maxForm)}}
	if w = ask(t, h, "POST", "/hp/identities/x/merge", big); w.Code != 400 {
		t.Errorf("a form that is too large: %d", w.Code)
	}
}

// A dead letter is sent again once, however often its button is pressed or the page that
// says so is read anew; one that failed may be tried again, and so may one after an hour.
func TestADeadLetterIsSentAgainOnce(t *testing.T) {
	f := &fake{text: "topic[1], offset 7"}
	now := time.Unix(1100, 0)
	pages, err := New(Options{Source: f, Actor: f, BasePath: "/hp", Now: func() time.Time { return now }, Person: func(*http.Request) Person { return Person{Operate: true} }})
	if err != nil {
		t.Fatal(err)
	}
	h := mux(pages)
	press := func(status, sent int) {
		t.Helper()
		w := ask(t, h, "POST", "/hp/dead-letters/0/0/replay", nil)
		if w.Code != status || f.replays != sent || status == http.StatusSeeOther && w.Header().Get("Location") != "/hp/operations?sent=0.0" {
			t.Errorf("%d to %q, sent %d times, want %d and %d", w.Code, w.Header().Get("Location"), f.replays, status, sent)
		}
	}
	shows := func(path, text string, want bool) {
		t.Helper()
		if w := ask(t, h, "GET", path, nil); w.Code != 200 || strings.Contains(w.Body.String(), text) != want {
			t.Errorf("%s: %d, has %q: %v", path, w.Code, text, !want)
		}
	}
	const says = "sent to its topic again"
	shows("/hp/operations?sent=0.0", says, false) // a link alone says nothing
	f.err = errors.New("away")
	press(http.StatusInternalServerError, 1)
	f.err = nil
	press(http.StatusSeeOther, 2)
	press(http.StatusSeeOther, 2)
	shows("/hp/operations?sent=0.0", says, true)
	shows("/hp/operations?sent=0.0", "Send it again", false)
	shows("/hp/operations", says, false)
	shows("/hp/operations?sent=nonsense", says, false)
	now = now.Add(time.Hour)
	shows("/hp/operations?sent=0.0", "Send it again", true)
	press(http.StatusSeeOther, 3)
}

// What cannot be sent says why, and leads to a page that can be read.
func TestWhatCannotBeSentIsNoFault(t *testing.T) {
	for kind, want := range map[query.Kind]int{query.InTheWay: 409, query.BadParameter: 400, query.NoBroker: 503, query.Fault: 500} {
		h := serve(t, &fake{text: "x", err: &query.Problem{Kind: kind, Detail: "the detail"}})
		for path, link := range map[string]string{"/hp/dead-letters/3/9/replay": `href="/hp/operations">Operations</a></p>`, "/hp/identities/x/merge": `href="/hp/identities/x">Show the identity</a></p>`} {
			w := ask(t, h, "POST", path, url.Values{"loser": {"y"}})
			page := strings.ReplaceAll(strings.Join(strings.Fields(w.Body.String()), " "), "</a> </p>", "</a></p>")
			if w.Code != want || !strings.Contains(page, "the detail") || !strings.Contains(page, link) || strings.Contains(page, `href="`+path) {
				t.Errorf("%s at %s: %d %s", kind, path, w.Code, page)
			}
		}
	}
	if w := ask(t, serve(t, &fake{text: "x"}), "POST", "/hp/dead-letters/-3/9/replay", nil); w.Code != 400 {
		t.Errorf("no dead letter: %d", w.Code)
	}
}

// Brokers that do not answer are told from ones that have nothing to say.
func TestSilentBrokersAreNotNothing(t *testing.T) {
	h := serve(t, &fake{text: "x", silent: true})
	page := ask(t, h, "GET", "/hp/operations", nil).Body.String()
	for text, want := range map[string]bool{"The brokers do not answer.": true, "the brokers cannot be asked": true, "None.": false, "0 %": true, "36500 d left": true} {
		if strings.Contains(page, text) != want {
			t.Errorf("the page has %q: %v", text, !want)
		}
	}
}

func TestAssetsAreKeptByTheirDigest(t *testing.T) {
	h := serve(t, &fake{text: "x"})
	page := ask(t, h, "GET", "/hp/", nil).Body.String()
	total := len(page)
	for _, kind := range []string{"css", "js"} {
		at := strings.Index(page, "/hp/static/app-")
		if kind == "js" {
			at = strings.LastIndex(page, "/hp/static/app-")
		}
		path := page[at : at+strings.IndexByte(page[at:], '"')]
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Accept-Encoding", "gzip")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 || !strings.HasSuffix(path, "."+kind) || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || w.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		total += w.Body.Len()
	}
	if total > 120<<10 {
		t.Errorf("a first visit takes %d bytes", total)
	}
	if w := ask(t, h, "GET", "/hp/static/app.css", nil); w.Code != 404 {
		t.Errorf("a name without a digest: %d", w.Code)
	}
}

func TestEveryRouteButFilesNeedsARole(t *testing.T) {
	h, err := New(Options{Source: &fake{}, Actor: &fake{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range h.Routes() {
		method, path, _ := strings.Cut(r.Pattern, " ")
		want := Read
		switch {
		case strings.HasPrefix(path, "/static/"):
			want = Anybody
		case method != "GET":
			want = Operate
		}
		if r.Access != want {
			t.Errorf("%s: access %d, want %d", r.Pattern, r.Access, want)
		}
	}
}
