package siem

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"handprint/attribution"
	"handprint/schemas"
)

// hostileNames are names of identities and primitives that no stub and no registry
// has, and that a clusterer or a sensor of other make may send.
var hostileNames = []string{
	"\xff\xfe", "\xed\xa0\x80", "half \xc3", "a\x00b", strings.Repeat("\\", 5000), strings.Repeat("=", 4001), strings.Repeat("\u20ac", 2000),
	strings.Repeat("\xed\xa0\x80", 1500), "^|=\\\r\n\u2028", strings.Repeat("x", 1<<20), "", "\u202e\u0085",
}

// What a name holds never breaks a line, never is half a character, and never adds
// a field.
func TestHostileNames(t *testing.T) {
	for _, name := range hostileNames {
		for _, e := range []*Event{
			{Kind: Transition, ID: "e", Identity: name, Primitive: "a.b", Value: attribution.Value("1"), Confidence: 0.5},
			{Kind: Transition, ID: "e", Identity: "i", Primitive: name, Value: attribution.Value("1"), Confidence: 0.5},
			{Kind: Suspicion, ID: "e", Identity: name, SuspicionID: name, Primitives: []string{name, "a.b"}, Groups: []string{name}, Summary: name, Confidence: 0.5},
			{Kind: Identity, ID: "e", Identity: name, Change: attribution.Merged, Other: name, Attackers: []string{name}},
			{Kind: Tombstone, ID: "e", Identity: name, Primitive: name},
			{Kind: Row, ID: name, Identity: name, Primitive: name, Value: attribution.Value("null")},
		} {
			for _, format := range Formats() {
				line := NewFormatter(format, Options{Version: "1|\\"}).Append(nil, e)
				if !utf8.Valid(line) || bytes.ContainsAny(line, "\r\n\u2028\u2029\u0085") && (format == CEF || format == LEEF) || bytes.IndexByte(line, '\n') >= 0 {
					t.Fatalf("%s of %.40q is no line of text", format, name)
				}
				switch format {
				case OCSF, ECS:
					if !json.Valid(line) {
						t.Fatalf("%s of %.40q is no JSON", format, name)
					}
				case LEEF:
					// Separators are those of the fields alone.
					for _, field := range strings.Split(string(line), "^")[2:] {
						key, _, ok := strings.Cut(field, "=")
						if !ok || strings.ContainsFunc(key, func(r rune) bool { return r < 'A' || r > 'z' }) {
							t.Fatalf("leef of %.40q has the field %.40q", name, field)
						}
					}
				}
			}
			b := NewBundle()
			b.Add(e)
			if text := b.Append(nil); !json.Valid(text) || !utf8.Valid(text) {
				t.Fatalf("stix of %.40q is no JSON", name)
			}
		}
	}
}

// A confidence that is no share is held to one: in JSON there is no such number,
// in Avro there is.
func TestHostileConfidence(t *testing.T) {
	for _, c := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 2, 1e308} {
		if got := share(c); !(got >= 0 && got <= 1) {
			t.Errorf("%v is held to %v", c, got)
		}
	}
	d := &Decoder{Topics: Topics{StateChanged: "t"}}
	text := schemas.AppendTransitionJSON(nil, &attribution.Transition{EventID: "e", Identity: "i", Primitive: "a.b", Value: attribution.Value("1"), Confidence: 7, Count: 1, TS: 1})
	if e, err := d.Decode(&Record{Topic: "t", Value: text}); err == nil && e.Confidence != 1 {
		t.Errorf("%v", e.Confidence)
	}
}

// The values that a suspicion names are as hostile as any: depth, keys with dots,
// numbers beyond doubles.
func TestHostileReasons(t *testing.T) {
	deep := strings.Repeat("[", 60) + strings.Repeat("]", 60)
	e := &Event{Kind: Suspicion, ID: "e", Identity: "i", SuspicionID: "s", Primitives: []string{"a.b"}, Reasons: []Reason{{Primitive: "a.b", Kind: "alternates", Group: "\xff", Values: []attribution.Value{
		attribution.Value(deep), attribution.Value(`{"a.b":{"":1}}`), attribution.Value(`"\ud800"`), attribution.Value(`1e308`), attribution.Value(`"\u0000"`),
	}}}}
	for _, format := range []Format{OCSF, ECS} {
		line := NewFormatter(format, Options{}).Append(nil, e)
		if !json.Valid(line) || !utf8.Valid(line) || format == OCSF && bytes.Contains(line, []byte(`"values":["\ud800`)) {
			t.Errorf("%s: %s", format, line)
		}
	}
}
