package main

import (
	"strings"
	"testing"
	"time"

	"handprint/attribution"
	"handprint/internal/load"
	"handprint/schemas"
)

func TestOutcomesDifferByMoreThanTheirLastDigits(t *testing.T) {
	of := func(value string, confidence float64, state string) outcome {
		return outcome{"a b": write([]byte(value), confidence, state)}
	}
	var first outcomes
	first.compare(of("492.3867239545", 0.9, "stable"), outcome{}, &audit{})
	for name, c := range map[string]struct {
		rows outcome
		n    int64
	}{
		"the same":           {of("492.3867239545", 0.9, "stable"), 0},
		"another last digit": {of("492.38672395450006", 0.9, "stable"), 0},
		"another value":      {of("492.38673", 0.9, "stable"), 1},
		"a value of text":    {of(`"492.3867239545"`, 0.9, "stable"), 1},
		"another confidence": {of("492.3867239545", 0.91, "stable"), 1},
		"another state":      {of("492.3867239545", 0.9, "drifting"), 1},
		"no row":             {outcome{}, 1},
		"a row of its own":   {outcome{"a b": write([]byte("492.3867239545"), 0.9, "stable"), "c d": {}}, 1},
		"where a field ends": {outcome{"a b": write([]byte("492.3867239545"), 0.9, "sta", "ble")}, 1},
	} {
		var a audit
		first.compare(c.rows, outcome{}, &a)
		if a.DifferentRows != c.n || (a.Example != "") != (c.n > 0) {
			t.Errorf("%s: %d differ, want %d (%s)", name, a.DifferentRows, c.n, a.Example)
		}
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
		"handprint": {{Wall: time.Second, Audit: audit{Observations: 10}}},
		"streams":   {{Wall: 2 * time.Second, Audit: audit{Observations: 9, DifferentTransitions: 1}}},
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
