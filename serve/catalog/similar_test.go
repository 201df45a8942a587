package catalog

import (
	"context"
	"fmt"
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
		got, complete := c.Suggest(context.Background(), 0, 1000)
		if !complete || len(got) != len(want) {
			t.Fatalf("%d suggestions, want %d", len(got), len(want))
		}
		for i := range want {
			if math.Abs(got[i].Score-want[i].Score) > 1e-9 {
				t.Fatalf("%d: %+v, want %+v", i, got[i], want[i])
			}
			similar, complete, ok := c.Similar(context.Background(), want[i].A, 100)
			found := false
			for _, s := range similar {
				found = found || s.B == want[i].B && math.Abs(s.Score-want[i].Score) < 1e-9
			}
			if !ok || !complete || !found {
				t.Fatalf("%s is not similar to %s: %+v", want[i].B, want[i].A, similar)
			}
		}
	})
}

// A search for who is like one with very many rows looks at a bounded number of rows, of the
// rarest values first, and ends with the request.
func TestASearchForAlikeIsBounded(t *testing.T) {
	const others = 300
	c := New()
	stable := func(v string) *Row { return &Row{State: attribution.Stable, Confidence: 1, Value: []byte(v)} }
	c.Apply(func(w *Writer) {
		for n := range 50_000 {
			w.PutRow([]byte("a"), fmt.Appendf(nil, "odd.y.p%d", n), stable(`"v"`))
		}
		for n := range others {
			w.PutRow(fmt.Append(nil, n), []byte("odd.y.p0"), stable(`"v"`))
			w.PutRow(fmt.Appendf(nil, "x%d", n), []byte("motor.z.x"), stable(fmt.Sprint(n)))
		}
		for _, id := range []string{"a", "rare"} {
			w.PutRow([]byte(id), []byte("motor.z.x"), stable(`"rare"`))
		}
	})
	found, complete, ok := c.Similar(t.Context(), "a", 10)
	if !ok || complete || len(found) == 0 || found[0].B != "rare" {
		t.Errorf("complete %v, found %v", complete, found)
	}
	if found, complete, ok = c.Similar(t.Context(), "rare", 10); !ok || !complete || len(found) != 1 || found[0].B != "a" {
		t.Errorf("of another: complete %v, found %v", complete, found)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if found, complete, ok = c.Similar(gone, "rare", 10); !ok || complete || len(found) != 0 {
		t.Errorf("after the request has ended: complete %v, found %v", complete, found)
	}
	if pairs, complete := c.Suggest(gone, 0, 10); complete || len(pairs) != 0 {
		t.Errorf("pairs after the end: complete %v, found %v", complete, pairs)
	}
}
