package ingest

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestObservationIsWrittenInOrder(t *testing.T) {
	o := Observation{
		ID: "i", Attacker: "a", Primitive: "p.q", Value: List([]string{"x", `"\` + "\n\x01é\xff"}), Confidence: 0.4,
		WindowStart: 1772359200, WindowEnd: 1772359201.5, Source: "s", Evidence: "e", TS: 1772359201.5,
	}
	const want = `{"id":"i","attacker_uuid":"a","primitive":"p.q","value":["x","\"\\\n\u0001é�"],"confidence":0.4,` +
		`"window_start_ts":1772359200,"window_end_ts":1772359201.5,"source":"s","evidence_ref":"e","envelope_v":1,"ts":1772359201.5}`
	if got := string(o.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for v, want := range map[string]string{
		Value{}.String(): "null", Text("").String(): `""`, List(nil).String(): "[]",
	} {
		if v != want {
			t.Errorf("got %s, want %s", v, want)
		}
	}
}

func TestObservationReadsAsWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		number := rapid.Float64().Draw(t, "number")
		o := Observation{ID: text, Value: Text(text), TS: number, Confidence: -number}
		var got struct {
			ID, Value      string
			TS, Confidence float64
		}
		if err := json.Unmarshal(o.AppendJSON(nil), &got); err != nil {
			t.Fatal(err)
		}
		if utf8.ValidString(text) && (got.ID != text || got.Value != text) || got.TS != number || got.Confidence != -number {
			t.Fatalf("%q, %v reads as %+v", text, number, got)
		}
	})
}
