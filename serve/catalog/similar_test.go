package catalog

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"handprint/attribution"
)

func TestSuggestionsAreThoseOfTheDomain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, m := New(), newModel()
		c.Apply(func(w *Writer) {
			for range rapid.IntRange(0, 80).Draw(t, "steps") {
				m.step(t, w)
			}
			for id := range m.merged { // the domain's function knows no pointers
				m.merged[id] = ""
				w.PutIdentity([]byte(id), []byte(m.own[id]), nil)
			}
		})
		var rows []attribution.StableRow
		for id, byPrimitive := range m.rows {
			for p, r := range byPrimitive {
				if r.State == attribution.Stable {
					rows = append(rows, attribution.StableRow{Identity: id, Primitive: p, Value: r.Value, Confidence: r.Confidence})
				}
			}
		}
		want := attribution.Suggest(rows, attribution.SuggestOptions{})
		got, complete := c.Suggest(0, 1000)
		if !complete || len(got) != len(want) {
			t.Fatalf("%d suggestions, want %d", len(got), len(want))
		}
		for i := range want {
			if math.Abs(got[i].Score-want[i].Score) > 1e-9 {
				t.Fatalf("%d: %+v, want %+v", i, got[i], want[i])
			}
			similar, ok := c.Similar(want[i].A, 100)
			found := false
			for _, s := range similar {
				found = found || s.B == want[i].B && math.Abs(s.Score-want[i].Score) < 1e-9
			}
			if !ok || !found {
				t.Fatalf("%s is not similar to %s: %+v", want[i].B, want[i].A, similar)
			}
		}
	})
}
