package serve_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/internal/broker"
	"handprint/serve"
	"handprint/serve/guard"
	"handprint/serve/history"
	"handprint/serve/servetest"
)

// exported is a line of an export of events.
type exported struct {
	EventID  string  `json:"event_id"`
	Identity string  `json:"identity_uuid"`
	Kind     string  `json:"kind"`
	Status   string  `json:"status"`
	Recorded float64 `json:"recorded"`
	Value    any     `json:"current_value"`
}

func jsonLines(t *testing.T, text []byte) (list []exported) {
	t.Helper()
	for line := range strings.Lines(string(text)) {
		var e exported
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, e)
	}
	return list
}

// An export of events has those of the topics, each once, and parts have the same.
func TestEventsAreExported(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	app.Send(app.Observation("=HYPERLINK(1)", hassh, `"=cmd|' /C calc'!A0"`, 1_699_999_000))
	app.Send(app.Event(attribution.IdentityEvent{Type: attribution.Merged, Identity: stub("a1"), Loser: stub("a2")}),
		app.Event(attribution.IdentityEvent{Type: attribution.Formed, Identity: "=1+1", Attackers: []string{"a3"}}))
	want := map[string]string{}
	for topic, kind := range map[string]string{app.Names.StateChanged: "state", app.Names.IdentityChanged: "identity", app.Names.MultiActorSuspects: "suspicion"} {
		if err := broker.Scan(context.Background(), app.Client, func(r *kgo.Record) error {
			var e exported
			err := json.Unmarshal(r.Value, &e)
			want[e.EventID] = kind
			return err
		}, topic); err != nil {
			t.Fatal(err)
		}
	}
	clock := new(shiftedClock)
	clock.put(-time.Hour)
	s, _ := openWith(t, app, t.TempDir(), func(c *serve.Config) { c.Clock = clock })
	caught(t, s)
	w, secrets := web(t, s, func(c *serve.WebConfig) { c.Guard.ExportApart = true })
	read, operate := secrets[guard.Read], secrets[guard.Operate]
	const path = "/api/v1/export/events/"
	var all []exported
	// How far the events are is not known at once.
	export := func() (*http.Response, []byte) {
		resp, text := ask(t, w, http.MethodGet, path+"json", operate, "")
		if resp.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(text), "not-there-yet") {
			return nil, nil
		}
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Handprint-Export-To") == "" || resp.Header.Get("Content-Type") != "application/x-ndjson" || resp.Header.Get("Handprint-As-Of") == "" {
			t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, text)
		}
		return resp, text
	}
	// An hour ago nothing of this was there.
	until(t, "an export says how far it goes", func() bool {
		resp, text := export()
		if resp == nil {
			return false
		}
		if to, err := strconv.ParseFloat(resp.Header.Get("Handprint-Export-To"), 64); err != nil || to > float64(time.Now().Add(-time.Hour).Unix()) || len(text) > 0 {
			t.Errorf("until an hour ago, as of %s, there was %q: %v", resp.Header.Get("Handprint-Export-To"), text, err)
		}
		return true
	})
	clock.put(time.Minute)
	until(t, "all events are exported", func() bool {
		resp, text := export()
		if resp == nil {
			return false
		}
		all = jsonLines(t, text)
		return len(all) == len(want)
	})
	got := map[string]string{}
	for i, e := range all {
		if got[e.EventID] = e.Kind; i > 0 && e.Recorded < all[i-1].Recorded {
			t.Errorf("%v comes behind %v", e, all[i-1])
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("exported are\n%v\nand the topics have\n%v", got, want)
	}

	for query, fits := range map[string]func(e exported) bool{
		"kind=identity":                         func(e exported) bool { return e.Kind == "identity" },
		"kind=state&kind=identity":              func(e exported) bool { return e.Kind != "suspicion" },
		"identity=" + stub("a1"):                func(e exported) bool { return e.Identity == stub("a1") },
		fmt.Sprintf("from=%f", all[2].Recorded): func(e exported) bool { return e.Recorded >= all[2].Recorded },
		fmt.Sprintf("to=%f", all[2].Recorded):   func(e exported) bool { return e.Recorded < all[2].Recorded },
		"from=99999999999&to=99999999999":       func(exported) bool { return false },
	} {
		resp, text := ask(t, w, http.MethodGet, path+"json?"+query, operate, "")
		if want := slices.DeleteFunc(slices.Clone(all), func(e exported) bool { return !fits(e) }); resp.StatusCode != http.StatusOK || fmt.Sprint(jsonLines(t, text)) != fmt.Sprint(want) {
			t.Errorf("%s: %d %s\nwant %v", query, resp.StatusCode, text, want)
		}
	}

	resp, text := ask(t, w, http.MethodGet, path+"csv", operate, "")
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil || len(rows) != len(all)+1 || resp.Header.Get("Content-Type") != "text/csv; charset=utf-8" {
		t.Fatalf("%d rows of %d events: %v %v", len(rows), len(all), err, resp.Header)
	}
	dangerous := 0
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
				t.Errorf("a spreadsheet takes the cell %q for a formula", cell)
			}
			if strings.HasPrefix(cell, "'=") {
				dangerous++
			}
		}
	}
	if dangerous == 0 {
		t.Error("no cell began with a sign of formulas: nothing was tried")
	}

	for query, status := range map[string]int{
		"json?kind=values": 422, "json?from=x": 422, "json?from=NaN": 422, "json?from=1&from=2": 422, "json?from=": 422, "json?new_state=odd": 422, "json?unknown=1": 422,
		"json?from=2;to=3": 422, "json?from=%zz": 422, "json?from=3&to=2": 400, "json?cursor=nonsense": 400, "ocsf": 422, "": 404, "json/x": 404, "json?from=0&to=0": 200, "json?from=-5&to=0": 422, "json?to=-5": 422, "json?from=1e308": 422, "json?from=253402300800": 422, "json?from=253402300799": 200, "json?from=1_0": 422, "csv?cursor=begin": 200,
	} {
		if resp, text := ask(t, w, http.MethodGet, path+query, operate, ""); resp.StatusCode != status {
			t.Errorf("%s: %d, want %d: %s", query, resp.StatusCode, status, text)
		}
	}
	if resp, text := ask(t, w, http.MethodGet, path+"json?"+strings.Repeat("x", 3000)+"=1", operate, ""); resp.StatusCode != 422 || len(text) > 1000 {
		t.Errorf("the error of a long name: %d, %d bytes", resp.StatusCode, len(text))
	}
	if resp, _ := ask(t, w, http.MethodGet, path+"json", read, ""); resp.StatusCode != http.StatusForbidden {
		t.Errorf("with exports apart a reader is answered %d", resp.StatusCode)
	}
	if resp, text := ask(t, w, http.MethodHead, path+"json", operate, ""); resp.StatusCode != http.StatusOK || len(text) > 0 {
		t.Errorf("HEAD: %d %s", resp.StatusCode, text)
	}
	lines := get[struct {
		Items []guard.AuditLine `json:"items"`
	}](t, w, "/api/v1/audit", operate)
	if !slices.ContainsFunc(lines.Items, func(l guard.AuditLine) bool {
		return l.Action == "GET /api/v1/export/events/{format}" && l.Phase == "after" && l.Status == 200
	}) {
		t.Errorf("the audit has no export: %v", lines.Items)
	}
}

// More events than an export may have are refused, and are to be had in parts.
func TestExportsOfEventsAreNeverAPartSilently(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	s, _ := open(t, app, t.TempDir())
	caught(t, s)
	const many = 100_010
	entries := make([]history.Entry, many)
	for n := range entries {
		entries[n] = history.Entry{Identity: "a", Kind: history.State, Source: history.Transitions, Recorded: 1, Offset: int64(n), EventID: fmt.Sprint(n)}
	}
	if err := s.Reader.History.Add(entries, nil); err != nil {
		t.Fatal(err)
	}
	until(t, "it is known how far the events are", func() bool { return s.Follower.EventsAsOf() > 0 })
	w, secrets := web(t, s, nil)
	const path = "/api/v1/export/events/json"
	resp, text := ask(t, w, http.MethodGet, path, secrets[guard.Read], "")
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "cursor=begin") {
		t.Errorf("an export of too many: %d %.300s", resp.StatusCode, text)
	}
	seen := map[string]bool{}
	cursor := "begin"
	for part := 0; cursor != "" && part < 5; part++ {
		resp, text := ask(t, w, http.MethodGet, path+"?cursor="+cursor, secrets[guard.Read], "")
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Handprint-History-Begins") != "1.000" {
			t.Fatalf("a part: %d %v %.300s", resp.StatusCode, resp.Header, text)
		}
		for _, e := range jsonLines(t, text) {
			seen[e.EventID] = true
		}
		cursor = resp.Header.Get("Handprint-Next-Cursor")
		if part == 0 {
			if resp, text := ask(t, w, http.MethodGet, path+"?kind=state&identity=b&cursor="+cursor, secrets[guard.Read], ""); resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "cursor-mismatch") {
				t.Errorf("a cursor of other filters: %d %.300s", resp.StatusCode, text)
			}
		}
	}
	if len(seen) != many {
		t.Errorf("the parts have %d events", len(seen))
	}
}
