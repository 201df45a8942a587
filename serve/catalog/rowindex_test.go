package catalog

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"handprint/attribution"
)

// rowsOf returns the primitives of an identity's rows, as its list has them.
func rowsOf(c *Catalog, id string) (names []string) {
	if n, ok := c.ids.find([]byte(id)); ok {
		c.eachRow(c.identities.at(n), func(p *primitive, _ *row) bool {
			names = append(names, p.name)
			return true
		})
	}
	slices.Sort(names)
	return names
}

// indexOf returns what the index has to have.
func indexOf(c *Catalog) map[rowKey]rowPlace {
	want := make(map[rowKey]rowPlace)
	for n := range uint32(c.identities.n) {
		i := c.identities.at(n)
		if i.rows() <= manyRows {
			continue
		}
		var p rowPlace
		for at, in := i.first, i.firstIn; in != 0; {
			p.at = at
			want[rowKey{n, in}] = p
			p.before, p.beforeIn = at, in
			r := c.row(in, at)
			at, in = r.next, r.nextIn
		}
	}
	return want
}

// However rows come and go, an identity with many is in the index, and no other.
func TestRowsOfAnIdentityWithMany(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := New()
		model := map[string]map[string]float64{"a": {}, "b": {}}
		for range rapid.IntRange(1, 8).Draw(t, "rounds") {
			id := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "id")
			from, n := rapid.IntRange(0, 2*manyRows).Draw(t, "from"), rapid.IntRange(1, 2*manyRows).Draw(t, "n")
			drop, seen := rapid.Bool().Draw(t, "drop"), float64(rapid.IntRange(1, 9).Draw(t, "seen"))
			c.Apply(func(w *Writer) {
				for k := range n {
					at := from + (k*7)%n
					name := fmt.Sprintf("x.p%d", at)
					if drop {
						delete(model[id], name)
						w.DropRow([]byte(id), []byte(name))
					} else {
						model[id][name] = seen
						w.PutRow([]byte(id), []byte(name), &Row{Value: []byte("1"), ChangeTS: seen, SeenTS: seen})
					}
				}
			})
			for _, c := range []*Catalog{c, throughSnapshot(t, c)} {
				if want := indexOf(c); !maps.Equal(c.rowIndex, want) {
					t.Fatalf("the index has %v, want %v", c.rowIndex, want)
				}
				for id, rows := range model {
					if got, want := rowsOf(c, id), slices.Sorted(maps.Keys(rows)); !slices.Equal(got, want) {
						t.Fatalf("%s has %v, want %v", id, got, want)
					}
					latest := 0.0
					for _, seen := range rows {
						latest = max(latest, seen)
					}
					if i, ok := c.Identity(id); ok && (i.SeenTS != latest || i.ChangeTS != latest || i.Rows != len(rows)) {
						t.Fatalf("%s: %+v, want %d rows, seen at %v", id, i, len(rows), latest)
					}
				}
			}
		}
	})
}

// A row of an identity with many is found without its list, which an attacker can make long.
func TestARowOfManyIsFoundWithoutTheOthers(t *testing.T) {
	c := New()
	c.Apply(func(w *Writer) {
		for n := range 2 * manyRows {
			w.PutRow([]byte("i"), fmt.Appendf(nil, "x.p%d", n), &Row{Value: []byte("1")})
		}
	})
	n, _ := c.ids.find([]byte("i"))
	i := c.identities.at(n)
	i.firstIn = 0
	for in := range uint16(2 * manyRows) {
		if c.find(n, i, in+1) == nil {
			t.Fatalf("row %d is not found", in)
		}
	}
}

// What attackers can make large is counted: names of primitives, and what a suspicion names.
func TestMemoryOfWhatIsMadeUp(t *testing.T) {
	c := New()
	grows := func(what string, by int64, f func(w *Writer)) {
		t.Helper()
		before := c.Bytes()
		c.Apply(f)
		if now := c.Bytes(); now-before < by || now-before > 4*by {
			t.Errorf("%s: %d bytes, then %d; want about %d more", what, before, now, by)
		}
	}
	grows("names", 1_000_000, func(w *Writer) {
		for n := range 100 {
			w.PutRow([]byte("i"), fmt.Appendf(nil, "x.p%d%s", n, strings.Repeat("y", 10_000)), &Row{Value: []byte("1")})
		}
	})
	suspicion := func(id, status string) *Suspicion {
		s := &Suspicion{ID: id, EventID: id + status, Identity: "i", Status: status, TS: 1, Summary: "words"}
		for n := range 100 {
			name := fmt.Sprintf("x.p%d", n)
			s.Primitives = append(s.Primitives, name)
			s.Reasons = append(s.Reasons, Reason{Primitive: name, Values: []string{strings.Repeat("v", 10_000)}})
		}
		return s
	}
	grows("a suspicion", 1_000_000, func(w *Writer) { w.PutSuspicion(suspicion("s1", Raised)) })
	grows("the next one", 1_000_000, func(w *Writer) { w.PutSuspicion(suspicion("s2", Raised)) })
	before := c.Bytes()
	c.Apply(func(w *Writer) { w.PutSuspicion(suspicion("s2", Grown)) })
	if now := c.Bytes(); now != before {
		t.Errorf("the same suspicion takes %d bytes, then %d", before, now)
	}
	if read := throughSnapshot(t, c); read.Bytes() != before {
		t.Errorf("%d bytes, %d from a snapshot", before, read.Bytes())
	}
	if n := c.WithoutRows().Bytes(); n < 2_000_000 || n > before-900_000 {
		t.Errorf("%d bytes of %d without rows", n, before)
	}
	c.Apply(func(w *Writer) { w.ForgetEvents() })
	if now := c.Bytes(); now > before-2_000_000 {
		t.Errorf("%d bytes of suspicions are left of %d", now, before)
	}
}

// manyAlike is a catalogue of two identities that agree about many primitives.
func manyAlike(rows int) (c *Catalog, a, b uint32) {
	c = New()
	c.Apply(func(w *Writer) {
		for n := range rows {
			for _, id := range []string{"a", "b"} {
				w.PutRow([]byte(id), fmt.Appendf(nil, "x.y.p%d", n), &Row{State: attribution.Stable, Confidence: 1, Value: []byte(`"v"`)})
			}
		}
		for n := range 2 * rows { // so that it is rare
			w.PutRow(fmt.Append(nil, n), []byte("x.y.p0"), &Row{State: attribution.Stable, Confidence: 1, Value: fmt.Append(nil, n)})
		}
	})
	a, _ = c.ids.find([]byte("a"))
	b, _ = c.ids.find([]byte("b"))
	return c, a, b
}

// Writers have their turn by the rows that are compared, not by the identities.
func TestComparingGivesWritersTheirTurn(t *testing.T) {
	const rows = 2500
	c, a, b := manyAlike(rows)
	c.mu.RLock()
	defer c.mu.RUnlock()
	had := make(chan struct{})
	go c.Apply(func(*Writer) { close(had) })
	for c.mu.TryRLock() { // until it waits
		c.mu.RUnlock()
		runtime.Gosched()
	}
	compared := 0
	for range scanPlaces / (2 * rows) {
		compared = c.compared(compared, a, b)
	}
	select {
	case <-had:
	default:
		t.Errorf("a writer waits while %d rows are compared", compared)
	}
}

// A suggestion of two identities that agree about any number of primitives names a bounded
// number, and has the score of all.
func TestSuggestionsNameABoundedNumber(t *testing.T) {
	c, _, _ := manyAlike(300)
	whole, _ := c.Compare("a", "b")
	pairs, complete := c.Suggest(t.Context(), 0, 10)
	alike, _, _ := c.Similar(t.Context(), "a", 10)
	if len(whole.Agree) != 300 || whole.Score <= 0 || !complete {
		t.Fatalf("%d agree, score %v, complete %v", len(whole.Agree), whole.Score, complete)
	}
	for what, list := range map[string][]attribution.Suggestion{"pairs": pairs, "alike": alike} {
		if len(list) != 1 || list[0].Score != whole.Score || len(list[0].Agree) != maxEvidence || cap(list[0].Agree) > 2*maxEvidence || list[0].Agree[0].Primitive != whole.Agree[0].Primitive {
			t.Errorf("%s: %d, %.300v", what, len(list), list)
		}
	}
}
