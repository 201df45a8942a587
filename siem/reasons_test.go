package siem

import (
	"encoding/json"
	"testing"

	"handprint/attribution"
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
