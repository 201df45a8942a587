package main

import (
	"strings"
	"testing"
	"time"

	"handprint/attribution"
	"handprint/internal/load"
	"handprint/schemas"
)

func TestDigestIsOfWhatIsThereNotOfItsOrder(t *testing.T) {
	var ab, ba, aab digest
	ab.add("a", "1")
	ab.add("b", "2")
	ba.add("b", "2")
	ba.add("a", "1")
	aab.add("a", "1")
	aab.add("a", "1")
	aab.add("b", "2")
	if ab.String() != ba.String() {
		t.Error("the order matters")
	}
	if ab.String() == aab.String() {
		t.Error("how often something is there does not matter")
	}
	var glued digest
	glued.add("a1")
	glued.add("b2")
	if glued.String() == ab.String() {
		t.Error("where a field ends does not matter")
	}
}

func TestATransitionTellsItsObservation(t *testing.T) {
	for _, n := range []int{0, 1, 4_000_000} {
		text := schemas.AppendTransitionJSON(nil, &attribution.Transition{
			Identity: "i", Primitive: "a.b", IsNew: true, Value: attribution.Null, TS: load.Start + float64(n)*load.Step,
		})
		if got, ok := observationOf(text); !ok || got != n {
			t.Errorf("observation %d of %s, want %d", got, text, n)
		}
	}
	// A peer writes its fields in another order and with spaces.
	if got, ok := observationOf([]byte(`{"ts": 1700000001.0, "old_state": null}`)); !ok || got != 4 {
		t.Errorf("observation %d, %t, want 4", got, ok)
	}
	if _, ok := observationOf([]byte(`{}`)); ok {
		t.Error("a record without ts was taken")
	}
}

func TestTheTableSaysWhatDiffers(t *testing.T) {
	chosen, err := choose("handprint,streams,copy")
	if err != nil {
		t.Fatal(err)
	}
	p := &plan{observations: 10, contenders: chosen, rounds: 1, threads: 1, audit: true, load: load.Config{Attackers: 1, Partitions: 1}}
	results := map[string][]result{
		"handprint": {{Wall: time.Second, Audit: audit{Observations: 10, RowDigest: "x", TransitionDigest: "y"}}},
		"streams":   {{Wall: 2 * time.Second, Audit: audit{Observations: 9, RowDigest: "x", TransitionDigest: "z"}}},
		"copy":      {{Wall: time.Second / 2}},
	}
	var out strings.Builder
	printTable(&out, p, results)
	for line, want := range map[string]string{
		"observations/s":                   "10 5 2.00 20 0.50",
		"observations that its rows count": "all not all",
		"its final rows":                   "equal equal",
		"its transitions":                  "equal different",
	} {
		found := false
		for _, l := range strings.Split(out.String(), "\n") {
			rest, ok := strings.CutPrefix(strings.Join(strings.Fields(l), " "), line+" ")
			found = found || ok && rest == want
		}
		if !found {
			t.Errorf("no line %q with %q in\n%s", line, want, out.String())
		}
	}
	p.audit = false
	out.Reset()
	printTable(&out, p, results)
	if strings.Contains(out.String(), "its final rows") || !strings.Contains(out.String(), "observations/s") {
		t.Errorf("the table of a run whose outputs were not read back says of them:\n%s", out.String())
	}
}

func TestChooseNamesWhoThereIs(t *testing.T) {
	if _, err := choose("handprint,nobody"); err == nil || !strings.Contains(err.Error(), "streams") {
		t.Errorf("error %v does not say who there is", err)
	}
}
