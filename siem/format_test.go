package siem

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"handprint/attribution"
	"handprint/internal/canonical"
	"handprint/schemas"
	"handprint/siem/siemtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The same events give the same bytes, which the golden files hold.
func TestGolden(t *testing.T) {
	short := func() (events []*Event) {
		for _, e := range sample(t, 12) {
			if len(e.Value)+len(e.Previous)+len(e.Identity)+len(e.Summary) < 400 && len(e.Reasons) < 3 {
				events = append(events, e)
			}
		}
		return events
	}
	first, second := documents(t, short()), documents(t, short())
	for format, text := range first {
		if !bytes.Equal(text, second[format]) {
			t.Errorf("%s: another time, other bytes", format)
		}
		name := filepath.Join("testdata", "golden", format)
		if *update {
			if err := os.WriteFile(name, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want := readFile(t, "golden/"+format); !bytes.Equal(text, want) {
			t.Errorf("%s differs from its golden file; -update writes it anew", format)
		}
	}
}

// cefPair matches a key of the extension: no escape can make one.
var cefPair = regexp.MustCompile(`(?:^| )([A-Za-z0-9]+)=`)

// checkLines holds lines to what their format demands whatever a value is.
func checkLines(t *testing.T, e *Event) {
	t.Helper()
	for _, format := range Formats() {
		line := NewFormatter(format, Options{Version: "1|2\\3^4"}).Append(nil, e)
		if !utf8.Valid(line) || bytes.ContainsAny(line, "\n\r\x00\t") {
			t.Fatalf("%s: not one line of text: %q", format, line)
		}
		switch format {
		case OCSF, ECS:
			var v map[string]any
			if err := json.Unmarshal(line, &v); err != nil {
				t.Fatalf("%s: %v in %s", format, err, line)
			}
			walk("", v, func(path, key string, inner any) {
				if inner == nil && key != "old_state" {
					t.Fatalf("%s: %s.%s is null", format, path, key)
				}
			})
		case CEF:
			parts := bytes.SplitN(line, []byte("|"), 9) // the version has a pipe, escaped
			extension := parts[len(parts)-1]
			seen := map[string]bool{}
			for _, m := range cefPair.FindAllSubmatch(bytes.ReplaceAll(extension, []byte(`\=`), nil), -1) {
				if key := string(m[1]); seen[key] {
					t.Fatalf("CEF: %s stands twice in %s", key, line)
				} else {
					seen[key] = true
				}
			}
			if !seen["msg"] || !seen["externalId"] || !seen["rt"] {
				t.Fatalf("CEF: fields are missing in %s", line)
			}
		case LEEF:
			for i, part := range strings.Split(string(line[bytes.Index(line, []byte("|^|"))+3:]), "^") {
				if key, _, ok := strings.Cut(part, "="); !ok || key == "" || i == 0 && key != "devTime" {
					t.Fatalf("LEEF: %q in %s", part, line)
				}
			}
		}
	}
}

func TestLinesOfHostileRecords(t *testing.T) {
	for _, e := range sample(t, 300) {
		checkLines(t, e)
	}
}

func FuzzLines(f *testing.F) {
	for _, v := range []string{"=", `\`, "^|", " key=1", "\u2028", "\xff", "CEF:0|a"} {
		f.Add("identity", "a.b", v, 0.5)
	}
	f.Fuzz(func(t *testing.T, identity, primitive, value string, number float64) {
		if identity == "" || !attribution.ValidPrimitive([]byte(primitive)) {
			return
		}
		identity = strings.ToValidUTF8(identity, "\uFFFD")
		text := attribution.Value(canonical.AppendString(nil, value))
		for _, v := range []attribution.Value{text, append(append(attribution.Value("["), text...), ']')} {
			e := &Event{ID: "x", Topic: "t", Identity: identity, Primitive: primitive, State: attribution.Drifting, Value: v, Previous: text, Confidence: number, Time: Millis(number), Trait: attribution.Hash}
			checkLines(t, e)
			e.Kind = Row
			checkLines(t, e)
			checkLines(t, &Event{Kind: Suspicion, ID: "x", Topic: "t", Identity: identity, SuspicionID: identity, Primitives: []string{primitive}, Summary: strings.ToValidUTF8(value, "\uFFFD"),
				Reasons: []Reason{{Primitive: primitive, Kind: "returns", Group: "client", Values: []attribution.Value{v}}}})
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, topic := range []string{names.StateChanged, names.Suspected, names.IdentityChanged, names.State} {
		f.Add(topic, []byte(`{}`), []byte("a/b.c"))
	}
	r := siemtest.New(1)
	f.Add(names.StateChanged, schemas.AppendTransitionJSON(nil, r.Transition()), []byte{})
	f.Add(names.Suspected, schemas.AppendSuspicionJSON(nil, r.Suspicion()), []byte{})
	f.Fuzz(func(t *testing.T, topic string, value, key []byte) {
		d := Decoder{Topics: names, Attack: DefaultAttackMap()}
		e, err := d.Decode(&Record{Topic: topic, Value: value, Key: key})
		if bad := (*schemas.Bad)(nil); err != nil {
			if topic == names.State && len(value) > 0 && !errors.As(err, &bad) {
				t.Fatalf("%v", err)
			}
			return
		}
		if utf8.ValidString(e.Identity) && e.Kind != Tombstone {
			checkLines(t, e)
		}
	})
}

// Times beyond what text can show are held at its ends.
func TestTimes(t *testing.T) {
	for _, c := range []struct {
		ts   float64
		want string
	}{
		{1795396700.245547, "2026-11-23T01:18:20.245Z"}, {0, "1970-01-01T00:00:00.000Z"}, {-0.5, "1969-12-31T23:59:59.500Z"},
		{1e308, "9999-12-31T23:59:59.999Z"}, {-1e308, "0001-01-01T00:00:00.000Z"},
	} {
		if got := string(appendTime(nil, Millis(c.ts))); got != c.want {
			t.Errorf("%v is %s, not %s", c.ts, got, c.want)
		}
	}
}

func TestLongTextsAreCut(t *testing.T) {
	e := decode(t, names.StateChanged, schemas.AppendTransitionJSON(nil, &attribution.Transition{
		EventID: "x", Identity: strings.Repeat("ä", 5000), Primitive: "a.b", Value: canonical.AppendString(nil, strings.Repeat("ß", 5000)), TS: 1}))
	for _, format := range []Format{CEF, LEEF} {
		line := NewFormatter(format, Options{}).Append(nil, e)
		if len(line) > maxValue+maxMessage+maxID+700 || !utf8.Valid(line) {
			t.Errorf("%s: %d bytes, valid %v", format, len(line), utf8.Valid(line))
		}
	}
}

func TestSeverities(t *testing.T) {
	table := DefaultTable()
	for _, c := range []struct {
		e    Event
		want Severity
	}{
		{Event{State: attribution.Stable}, Informational}, {Event{State: attribution.Unknown}, Informational},
		{Event{State: attribution.Drifting}, Low}, {Event{State: attribution.Conflicted}, Low}, {Event{State: attribution.MultiActor}, Low},
		{Event{Kind: Suspicion, Confidence: 0.6}, Medium}, {Event{Kind: Suspicion, Confidence: 0.3}, Low},
		{Event{Kind: Suspicion, Status: Cleared}, Informational}, {Event{Kind: Row, State: attribution.Drifting}, Informational},
		{Event{Kind: Tombstone}, Informational}, {Event{Kind: Identity}, Informational},
	} {
		if got := table.of(&c.e, 0.6); got != c.want {
			t.Errorf("%+v is %s, not %s", c.e, got, c.want)
		}
	}
	if !table.Set("drifting", High) || table.of(&Event{State: attribution.Drifting}, 0.6) != High || table.Set("nothing", High) {
		t.Error("a severity cannot be set")
	}
}

func BenchmarkLines(b *testing.B) {
	e := decode(b, names.StateChanged, bytes.TrimSpace(readFile(b, "examples/state_changed.ndjson")))
	for _, format := range Formats() {
		b.Run(string(format), func(b *testing.B) {
			f := NewFormatter(format, Options{Version: "0.1.0"})
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				buf = f.Append(buf[:0], e)
			}
		})
	}
	record := &Record{Topic: names.StateChanged, Value: bytes.TrimSpace(readFile(b, "examples/state_changed.ndjson"))}
	b.Run("decode-and-cef", func(b *testing.B) {
		d := Decoder{Topics: names, Attack: DefaultAttackMap(), Addresses: NewAddresses()}
		f := NewFormatter(CEF, Options{Version: "0.1.0"})
		var buf []byte
		b.ReportAllocs()
		for b.Loop() {
			e, err := d.Decode(record)
			if err != nil {
				b.Fatal(err)
			}
			buf = f.Append(buf[:0], e)
		}
	})
}
