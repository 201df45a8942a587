package main

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A round has one to three faults, the seed says which, no two hit the same
// instance, and one at most the brokers, the wire, the input, and the group.
func TestPlan(t *testing.T) {
	candidates := func(on target) []int {
		switch on {
		case onAbsent:
			return []int{3, 4}
		case onFaulty:
			return []int{1, 2}
		case onBrokers, onWire, onGroup, onInput:
			return upTo(1)
		}
		return upTo(3)
	}
	drawn := make(map[string]bool)
	for round := range 2000 {
		faults := plan(source(1, round), kinds, candidates, time.Second)
		again := plan(source(1, round), kinds, candidates, time.Second)
		if len(faults) < 1 || len(faults) > 3 || texts(faults) != texts(again) {
			t.Fatalf("round %d: %s, and again %s", round, texts(faults), texts(again))
		}
		var hit []string
		for _, f := range faults {
			drawn[f.kind.name] = true
			if once := f.kind.on.once(); once != "" {
				hit = append(hit, once)
			}
			if f.kind.on.instance() {
				hit = append(hit, fmt.Sprint("instance ", f.target))
			}
			if !slices.Contains(candidates(f.kind.on), f.target) {
				t.Errorf("round %d: %s is not to be hit", round, &f)
			}
		}
		slices.Sort(hit)
		if len(slices.Compact(slices.Clone(hit))) != len(hit) {
			t.Errorf("round %d hits twice: %s", round, texts(faults))
		}
	}
	for _, k := range kinds {
		if !drawn[k.name] {
			t.Errorf("%s was never drawn", k.name)
		}
	}
}
