package schemas

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"handprint/attribution"
	"handprint/internal/canonical"
)

const typical = `{"id":"01J9ZK7M3N","attacker_uuid":"53c969f842390f5e1d36b702f302386a","primitive":"toolchain.ssh.hassh_client",` +
	`"value":"ec7378c1a92f5a8dde7e8b7a1ddf33d1","confidence":0.8,"window_start_ts":1701015184.825,"window_end_ts":1701015244.825,` +
	`"source":"cowrie-lab-3","evidence_ref":"cowrie:session:4f1c0be2a9d1","envelope_v":1,"ts":1701015245.825}`

// minimal is the smallest record, with more members behind it.
func minimal(more string) string {
	return `{"attacker_uuid":"a","primitive":"x.y","value":1,"evidence_ref":"e","ts":5` + more + `}`
}

// without is the smallest record with one member replaced, or left out.
func without(name, instead string) string {
	members := []string{`"attacker_uuid":"a"`, `"primitive":"x.y"`, `"value":1`, `"evidence_ref":"e"`, `"ts":5`}
	var kept []string
	for _, m := range members {
		if !strings.HasPrefix(m, `"`+name+`"`) {
			kept = append(kept, m)
		}
	}
	if instead != "" {
		kept = append(kept, `"`+name+`":`+instead)
	}
	return "{" + strings.Join(kept, ",") + "}"
}

func TestDecodeTypical(t *testing.T) {
	var d ObservationDecoder
	var o attribution.Observation
	if err := d.Decode([]byte(typical), &o); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s|%s|%s|%s|%s|%s|%s|%v|%v|%v|%v|%v", o.ID, o.Attacker, o.Primitive, o.Value, o.Evidence, o.Source,
		o.IdentityRef, o.TS, o.WindowStart, o.WindowEnd, o.Confidence, o.HasConfidence)
	want := `01J9ZK7M3N|53c969f842390f5e1d36b702f302386a|toolchain.ssh.hassh_client|"ec7378c1a92f5a8dde7e8b7a1ddf33d1"|` +
		`cowrie:session:4f1c0be2a9d1|cowrie-lab-3||1.701015245825e+09|1.701015184825e+09|1.701015244825e+09|0.8|true`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDecodeTakes(t *testing.T) {
	tests := []struct {
		name, record string
		check        func(o *attribution.Observation) bool
	}{
		{"nothing but what is required", minimal(""), func(o *attribution.Observation) bool {
			return o.ID == nil && o.Source == nil && !o.HasConfidence && o.WindowStart == 0 && o.WindowEnd == 0
		}},
		{"null for absent", minimal(`,"id":null,"confidence":null,"window_start_ts":null,"window_end_ts":null,"window":null,"source":null,"envelope_v":null,"v":null,"identity_ref":null`),
			func(o *attribution.Observation) bool { return !o.HasConfidence && o.WindowStart == 0 }},
		{"empty optional strings", minimal(`,"id":"","source":"","identity_ref":""`), func(o *attribution.Observation) bool { return len(o.ID) == 0 }},
		{"null as a value", without("value", "null"), func(o *attribution.Observation) bool { return string(o.Value) == "null" }},
		{"an object as a value", without("value", `{"b":1.0,"a":[-0]}`), func(o *attribution.Observation) bool { return string(o.Value) == `{"a":[0],"b":1}` }},
		{"half a surrogate pair in the value", without("value", `"\uD800"`), func(o *attribution.Observation) bool { return string(o.Value) == `"\ud800"` }},
		{"version 1 in other words", minimal(`,"envelope_v":1.0,"v":10e-1`), nil},
		{"the alias alone", minimal(`,"v":1`), nil},
		{"a nested window", minimal(`,"window":{"start_ts":1,"end_ts":2.5,"zone":"UTC"}`), func(o *attribution.Observation) bool { return o.WindowStart == 1 && o.WindowEnd == 2.5 }},
		{"a nested window of nulls", minimal(`,"window":{"start_ts":null,"end_ts":null}`), func(o *attribution.Observation) bool { return o.WindowStart == 0 }},
		{"an empty nested window", minimal(`,"window":{}`), nil},
		{"both windows", minimal(`,"window":{"start_ts":1,"end_ts":2},"window_start_ts":3`), func(o *attribution.Observation) bool { return o.WindowStart == 3 && o.WindowEnd == 2 }},
		{"a window backwards and before 1970", minimal(`,"window_start_ts":5,"window_end_ts":-1e300`), func(o *attribution.Observation) bool { return o.WindowEnd == -1e300 }},
		{"confidence 0", minimal(`,"confidence":0`), func(o *attribution.Observation) bool { return o.HasConfidence && o.Confidence == 0 }},
		{"confidence -0", minimal(`,"confidence":-0.0`), func(o *attribution.Observation) bool { return o.HasConfidence && o.Confidence == 0 }},
		{"confidence 1", minimal(`,"confidence":1.0`), func(o *attribution.Observation) bool { return o.Confidence == 1 }},
		{"ts 0", without("ts", "-0"), func(o *attribution.Observation) bool { return o.TS == 0 }},
		{"a vast ts", without("ts", "1e308"), func(o *attribution.Observation) bool { return o.TS == 1e308 }},
		{"unknown members", minimal(`,"colour":["red",{"x":1e3}],"type":"identity.merged","winner_uuid":5,"":0`), nil},
		{"names in other case", minimal(`,"TS":"x","Value":{}`), func(o *attribution.Observation) bool { return o.TS == 5 }},
		{"the last of two", `{"ts":"x","value":"old","attacker_uuid":7,"window":[],` + minimal(`,"window":{"start_ts":1},"window":{"end_ts":2}`)[1:],
			func(o *attribution.Observation) bool {
				return o.TS == 5 && string(o.Value) == "1" && string(o.Attacker) == "a" && o.WindowStart == 0 && o.WindowEnd == 2
			}},
		{"escapes in names and strings", strings.Replace(without("attacker_uuid", `"\u0061\ud83d\ude00"`), `"ts"`, `"\u0074s"`, 1),
			func(o *attribution.Observation) bool { return string(o.Attacker) == "a😀" && o.TS == 5 }},
		{"several strings with escapes", minimal(`,"id":"\u0061","source":"\u0062\u0063","identity_ref":"\n","evidence_ref":"\t\t"`),
			func(o *attribution.Observation) bool {
				return string(o.ID) == "a" && string(o.Source) == "bc" && string(o.IdentityRef) == "\n" && string(o.Evidence) == "\t\t"
			}},
		{"white space around it", " \n" + minimal("") + "\r\n\t ", nil},
		{"a nul in a string", without("evidence_ref", `"\u0000"`), func(o *attribution.Observation) bool { return string(o.Evidence) == "\x00" }},
	}
	var d ObservationDecoder
	var o attribution.Observation
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := d.Decode([]byte(tt.record), &o); err != nil {
				t.Fatalf("%s: %v", tt.record, err)
			}
			if tt.check != nil && !tt.check(&o) {
				t.Errorf("%s became %+v, value %s", tt.record, o, o.Value)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	deep := strings.Repeat("[", 129) + strings.Repeat("]", 129)
	tests := []struct{ record, reason string }{
		{"", "not JSON: empty"},
		{" ", "not JSON: empty"},
		{"not json", "not JSON: no JSON literal at byte 1"},
		{"\ufeff" + minimal(""), "not JSON: no JSON value at byte 0"},
		{"{", "not JSON: unexpected end at byte 1"},
		{"[1", "not JSON: unexpected end at byte 2"},
		{minimal("")[:20], "not JSON: unexpected end at byte 20"},
		{minimal("") + "x", "not JSON: more after the value at byte 75"},
		{minimal(",}"), "not JSON: no object key at byte 75"},
		{"null", "not an object: null"},
		{"[]", "not an object: an array"},
		{`"text"`, "not an object: a string"},
		{"42", "not an object: a number"},
		{"true false", "not JSON: more after the value at byte 5"},
		{without("ts", "NaN"), "not JSON: no JSON value at byte 73"},
		{minimal(",\"x\":\"\xff\""), "not JSON: invalid UTF-8 at byte 80"},
		{minimal(",\"\xff\":1"), "not JSON: invalid UTF-8 at byte 76"},
		{without("value", "\"\xed\xa0\x80\""), "not JSON: invalid UTF-8 at byte 74"},

		{without("attacker_uuid", ""), "attacker_uuid: missing"},
		{without("attacker_uuid", "null"), "attacker_uuid: null"},
		{without("attacker_uuid", `""`), "attacker_uuid: empty"},
		{without("attacker_uuid", "42"), "attacker_uuid: a number, not a string"},
		{without("attacker_uuid", `"\ud800"`), "attacker_uuid: half a surrogate pair is no text"},
		{without("primitive", ""), "primitive: missing"},
		{without("primitive", "null"), "primitive: null"},
		{without("primitive", `""`), "primitive: empty"},
		{without("primitive", `["x.y"]`), "primitive: an array, not a string"},
		{without("evidence_ref", ""), "evidence_ref: missing"},
		{without("evidence_ref", "null"), "evidence_ref: null"},
		{without("evidence_ref", `""`), "evidence_ref: empty"},
		{without("evidence_ref", `{"a":1}`), "evidence_ref: an object, not a string"},
		{without("value", ""), "value: missing"},
		{without("value", "1e999"), "value: not finite"},
		{without("value", `[{"a":-1e309}]`), "value: not finite"},
		{without("value", deep), "value: nested deeper than 128"},
		{without("ts", ""), "ts: missing"},
		{without("ts", "null"), "ts: null"},
		{without("ts", `"5"`), "ts: a string, not a number"},
		{without("ts", "true"), "ts: a boolean, not a number"},
		{without("ts", "-0.001"), "ts: negative"},
		{without("ts", "1e999"), "ts: not finite"},
		{minimal(`,"confidence":1.01`), "confidence: outside 0 to 1"},
		{minimal(`,"confidence":-1e-300`), "confidence: outside 0 to 1"},
		{minimal(`,"confidence":"0.5"`), "confidence: a string, not a number"},
		{minimal(`,"confidence":1e400`), "confidence: not finite"},
		{minimal(`,"id":5`), "id: a number, not a string"},
		{minimal(`,"source":1.5`), "source: a number, not a string"},
		{minimal(`,"identity_ref":false`), "identity_ref: a boolean, not a string"},
		{minimal(`,"envelope_v":"1"`), "envelope_v: a string, not a number"},
		{minimal(`,"envelope_v":2`), "envelope_v: unknown envelope version"},
		{minimal(`,"envelope_v":0`), "envelope_v: unknown envelope version"},
		{minimal(`,"envelope_v":1,"v":1.5`), "v: unknown envelope version"},
		{minimal(`,"v":true`), "v: a boolean, not a number"},
		{minimal(`,"window_start_ts":"yesterday"`), "window_start_ts: a string, not a number"},
		{minimal(`,"window_end_ts":[]`), "window_end_ts: an array, not a number"},
		{minimal(`,"window_end_ts":1e309`), "window_end_ts: not finite"},
		{minimal(`,"window":[1,2]`), "window: an array, not an object"},
		{minimal(`,"window":"1-2"`), "window: a string, not an object"},
		{minimal(`,"window":{"start_ts":"1"}`), "window.start_ts: a string, not a number"},
		{minimal(`,"window":{"end_ts":{}},"window_end_ts":1`), "window.end_ts: an object, not a number"},
		{minimal(`,"window":{"end_ts":1e999}`), "window: not finite"},
		{minimal(`,"colour":[1e999]`), "not JSON: number too large for a double at byte 85"},
		{`{"value":1e999,` + minimal("")[1:], "value: not finite"},
		{minimal(`,"colour":` + deep), "not JSON: nested deeper than 128 at byte 212"},
	}
	for _, name := range []string{"x", ".", "x.", ".x", "x..y", "X.y", "x.Y", "x y.z", "x.y-z", "motor,x", "x.é", "x.y\\n", "x.y."} {
		tests = append(tests, struct{ record, reason string }{without("primitive", `"`+name+`"`),
			"primitive: not two or more tokens of a-z, 0-9 and _, joined by dots"})
	}
	var d ObservationDecoder
	var o attribution.Observation
	for _, tt := range tests {
		err := d.Decode([]byte(tt.record), &o)
		if wantBad(t, tt.record, err) && err.Error() != tt.reason {
			t.Errorf("%.100s: %q, want %q", tt.record, err, tt.reason)
		}
	}
}

// wantBad checks what every Bad promises.
func wantBad(t *testing.T, record string, err error) bool {
	t.Helper()
	var b *Bad
	if !errors.As(err, &b) {
		t.Errorf("%.100q: error %v, want a *Bad", record, err)
		return false
	}
	if len(b.Reason) == 0 || len(b.Reason) > 320 {
		t.Errorf("%.100q: a reason of %d bytes", record, len(b.Reason))
	}
	for _, c := range []byte(b.Reason) {
		if c < ' ' || c >= utf8.RuneSelf {
			t.Errorf("%.100q: reason %q is not printable ASCII", record, b.Reason)
			break
		}
	}
	return true
}

func TestDecodeKeepsToTheSizeLimit(t *testing.T) {
	pad := func(n int) []byte {
		return []byte(minimal(`,"p":"` + strings.Repeat("x", n-len(minimal(`,"p":""`))) + `"`))
	}
	var o attribution.Observation
	for _, tt := range []struct {
		limit, size int
		ok          bool
	}{
		{0, DefaultMaxBytes, true}, {0, DefaultMaxBytes + 1, false}, {100, 100, true}, {100, 101, false}, {1 << 20, DefaultMaxBytes + 1, true},
	} {
		d := ObservationDecoder{MaxBytes: tt.limit}
		record := pad(tt.size)
		if err := d.Decode(record, &o); len(record) != tt.size || (err == nil) != tt.ok {
			t.Errorf("limit %d, %d bytes: %v", tt.limit, len(record), err)
		}
	}
}

// TestDecodeOwesNothingToTheRecordBefore decodes every pair of records with
// one decoder and with two.
func TestDecodeOwesNothingToTheRecordBefore(t *testing.T) {
	records := []string{typical, minimal(""), "{", minimal(`,"window":{"start_ts":1},"confidence":0.5,"id":"\u0061"`), without("value", `{"b":1,"a":2}`), "[]", without("ts", "")}
	for _, before := range records {
		for _, record := range records {
			var used, fresh ObservationDecoder
			var got, want attribution.Observation
			_ = used.Decode([]byte(before), &got)
			gotErr, wantErr := used.Decode([]byte(record), &got), fresh.Decode([]byte(record), &want)
			if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) || gotErr == nil && fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Errorf("%s after %s: %+v, %v; else %+v, %v", record, before, got, gotErr, want, wantErr)
			}
		}
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	var d ObservationDecoder
	var o attribution.Observation
	for _, record := range []string{
		typical,
		minimal(`,"id":"\u0061\u0062","window":{"start_ts":1,"end_ts":2},"colour":["red",{"x":1e3}]`),
		without("value", `{"b":[1,2,3],"a":"x"}`),
	} {
		src := []byte(record)
		if n := testing.AllocsPerRun(200, func() { _ = d.Decode(src, &o) }); n != 0 {
			t.Errorf("%s: %v allocations", record, n)
		}
	}
}

// TestDecodeReadsWhatWasWritten writes records with members in any order.
func TestDecodeReadsWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(1, 20, -1)
		attacker, evidence, source := text.Draw(t, "attacker"), text.Draw(t, "evidence"), rapid.String().Draw(t, "source")
		ts := rapid.Float64Range(0, 1e12).Draw(t, "ts")
		confidence := rapid.Float64Range(0, 1).Draw(t, "confidence")
		quote := func(s string) string { return string(canonical.AppendString(nil, s)) }
		number := func(f float64) string { return string(canonical.AppendFloat(nil, f)) }
		members := rapid.Permutation([]string{
			`"attacker_uuid":` + quote(attacker), `"evidence_ref": ` + quote(evidence), `"source" :` + quote(source),
			`"ts":` + number(ts), `"confidence":` + number(confidence), `"primitive":"a.b_1"`, `"value":[` + quote(source) + `]`,
			quote(rapid.StringMatching(`x[^"]{0,5}`).Draw(t, "unknown")) + `:{"ts":[null]}`,
		}).Draw(t, "members")
		record := "{" + strings.Join(members, ",") + "}"
		var d ObservationDecoder
		var o attribution.Observation
		if err := d.Decode([]byte(record), &o); err != nil {
			t.Fatalf("%s: %v", record, err)
		}
		if string(o.Attacker) != attacker || string(o.Evidence) != evidence || string(o.Source) != source ||
			o.TS != ts || o.Confidence != confidence || !o.HasConfidence || string(o.Value) != "["+quote(source)+"]" {
			t.Fatalf("%s became %+v", record, o)
		}
	})
}

func FuzzObservationDecode(f *testing.F) {
	for _, seed := range []string{typical, minimal(""), minimal(`,"window":{"start_ts":1,"end_ts":null},"v":1`), without("value", `{"b":[1e2],"a":"\ud800"}`), "[]", "{", without("ts", "1e999")} {
		f.Add([]byte(seed))
	}
	var d ObservationDecoder
	f.Fuzz(func(t *testing.T, record []byte) {
		var o attribution.Observation
		if err := d.Decode(record, &o); err != nil {
			wantBad(t, string(record), err)
			return
		}
		if len(o.Attacker) == 0 || len(o.Evidence) == 0 || !attribution.ValidPrimitive(o.Primitive) || len(o.Value) == 0 ||
			!(o.TS >= 0) || !(o.Confidence >= 0 && o.Confidence <= 1) {
			t.Fatalf("%q became %+v", record, o)
		}
		for _, text := range [][]byte{o.ID, o.Attacker, o.Evidence, o.Source, o.IdentityRef} {
			if !utf8.Valid(text) {
				t.Fatalf("%q holds %q", record, text)
			}
		}
		again, rest, err := canonical.Append(nil, o.Value)
		if err != nil || len(rest) > 0 || string(again) != string(o.Value) {
			t.Fatalf("%q: the value %s is not canonical: %s, %v", record, o.Value, again, err)
		}
	})
}

func BenchmarkObservationDecode(b *testing.B) {
	for _, bench := range []struct{ name, record string }{
		{"typical", typical},
		{"array", strings.Replace(typical, `"ec7378c1a92f5a8dde7e8b7a1ddf33d1"`, `["curve25519-sha256","ecdh-sha2-nistp256"]`, 1)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			record := []byte(bench.record)
			var d ObservationDecoder
			var o attribution.Observation
			b.SetBytes(int64(len(record)))
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Decode(record, &o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
