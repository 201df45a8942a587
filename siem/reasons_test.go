package siem

import (
	"encoding/json"
	"strings"
	"testing"

	"handprint/attribution"
	"handprint/schemas"
)

// The values of a reason stand with the primitive that it names, in whatever order
// the record has them, and however many reasons name one.
func TestReasonsBelongToTheirPrimitives(t *testing.T) {
	e := &Event{Kind: Suspicion, ID: "e", Identity: "i", SuspicionID: "s", Primitives: []string{"a.a", "b.b", "c.c"}, Reasons: []Reason{
		{Primitive: "c.c", Values: []attribution.Value{attribution.Value(`"C"`)}},
		{Primitive: "a.a", Values: []attribution.Value{attribution.Value(`1`)}},
		{Primitive: "c.c", Values: []attribution.Value{attribution.Value(`"D"`)}},
	}}
	var got struct {
		Info struct {
			Traits []struct {
				Name   string
				Values []string
			}
		} `json:"finding_info"`
	}
	if err := json.Unmarshal(NewFormatter(OCSF, Options{}).Append(nil, e), &got); err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(got.Info.Traits)
	if want := `[{"Name":"a.a","Values":["1"]},{"Name":"b.b","Values":null},{"Name":"c.c","Values":["C","D"]}]`; string(text) != want {
		t.Errorf("%s, not %s", text, want)
	}
}

// A suspicion that does not list all primitives says how many there are.
func TestPrimitivesThatAreNotListedCount(t *testing.T) {
	s := attribution.Suspicion{EventID: "1", Identity: "i", Primitives: []string{"a.a", "b.b"}, Total: 3000, Confidence: 0.6, TS: 5}
	var d Decoder
	var e Event
	if err := d.suspicion(&e, schemas.AppendSuspicionJSON(nil, &s)); err != nil {
		t.Fatal(err)
	}
	for format, want := range map[Format]string{ECS: "3000 traits of", OCSF: "3000 traits of", CEF: "cn1Label=primitiveCount cn1=3000"} {
		if got := string(NewFormatter(format, Options{}).Append(nil, &e)); !strings.Contains(got, want) {
			t.Errorf("%s does not say %q", got, want)
		}
	}
}
