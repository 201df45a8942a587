package attribution

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"
	"testing"

	"pgregory.net/rapid"
)

// everything is a series that forgets nothing it was ever given and works out
// what is kept from that (docs/attribution.md, "What is kept of a series").
type everything struct {
	t      *Thresholds
	hash   bool
	count  int64
	kept   []Entry
	pushed []pushed
}

type pushed struct {
	value     string
	ts        float64
	forgotten bool
}

func (s *everything) take(e Entry) Taken {
	defer s.forget()
	for i := range s.kept {
		if s.kept[i].Evidence == e.Evidence {
			place := s.kept[i].Place
			s.kept[i] = e
			s.kept[i].Place = place
			return Replaced
		}
	}
	s.count++
	if len(s.kept) == s.t.SeriesEntries && e.TS < s.ordered()[0].TS {
		return Beyond
	}
	s.kept = append(s.kept, e)
	if len(s.kept) > s.t.SeriesEntries {
		oldest := s.ordered()[0]
		s.kept = slices.DeleteFunc(s.kept, func(k Entry) bool { return k.Evidence == oldest.Evidence })
		if s.hash && string(oldest.Value) != "null" {
			s.pushed = append(s.pushed, pushed{value: string(oldest.Value), ts: oldest.TS})
		}
	}
	return Added
}

func (s *everything) ordered() []Entry {
	list := slices.Clone(s.kept)
	sort.SliceStable(list, func(i, j int) bool {
		if list[i].TS != list[j].TS {
			return list[i].TS < list[j].TS
		}
		return list[i].Place.Compare(list[j].Place) < 0
	})
	return list
}

func (s *everything) forget() {
	newest := math.Inf(-1)
	for _, e := range s.kept {
		newest = max(newest, e.TS)
	}
	for i := range s.pushed {
		if s.pushed[i].ts < newest-s.t.HashWindow {
			s.pushed[i].forgotten = true
		}
	}
	for {
		gone := s.gone()
		if len(gone) <= s.t.HashValues {
			return
		}
		var first string
		for v, ts := range gone {
			if first == "" || ts < gone[first] || ts == gone[first] && said(v) < said(first) {
				first = v
			}
		}
		for i := range s.pushed {
			if s.pushed[i].value == first {
				s.pushed[i].forgotten = true
			}
		}
	}
}

// said is what a JSON string says: Go compares it by code points.
func said(v string) (text string) {
	if err := json.Unmarshal([]byte(v), &text); err != nil {
		panic(err)
	}
	return text
}

// gone are the values that were pushed out, with their latest ts.
func (s *everything) gone() map[string]float64 {
	gone := make(map[string]float64)
	for _, p := range s.pushed {
		if ts, known := gone[p.value]; !p.forgotten && (!known || ts < p.ts) {
			gone[p.value] = p.ts
		}
	}
	return gone
}

var hashValues = []string{`null`, `"a"`, `"b"`, `"a!"`, `"é"`, `"\u0001"`, `"\""`, `"z"`, `"\\"`, `"c"`, `"d"`, `"e"`, `"f"`, `"g"`}

func TestTakeKeepsWhatTheSpecSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		thresholds := DefaultThresholds()
		thresholds.Window, thresholds.MinObservations, thresholds.CategoricalMajority = 1, 1, 1
		thresholds.SeriesEntries = rapid.IntRange(3, 6).Draw(t, "entries kept")
		thresholds.HashValues = rapid.IntRange(0, 5).Draw(t, "values kept")
		thresholds.HashWindow = float64(rapid.SampledFrom([]int{0, 3, 10, 1000}).Draw(t, "window"))
		kind := rapid.SampledFrom([]Kind{Hash, Hash, Categorical}).Draw(t, "kind")
		want, got := everything{t: &thresholds, hash: kind == Hash}, Series{}
		merger := NewMerger(&thresholds)
		for i := range rapid.IntRange(1, 60).Draw(t, "records") {
			at := Arrival{Time: int64(i / 3), Offset: int64(i)}
			e := Entry{
				TS: float64(i/2 + rapid.IntRange(0, 15).Draw(t, "ts")), Evidence: uint64(rapid.IntRange(0, 40).Draw(t, "evidence")),
				Value: Value(rapid.SampledFrom(hashValues).Draw(t, "value")), Place: at, Latest: at,
			}
			wantTaken := want.take(e)
			if taken, _, _ := got.Take(e, kind, &thresholds); taken != wantTaken {
				t.Fatalf("record %d: taken as %d, want %d", i, taken, wantTaken)
			}
			if got.Count != want.count {
				t.Fatalf("record %d: count %d, want %d", i, got.Count, want.count)
			}
			if g, w := fmt.Sprintf("%+v", got.Entries), fmt.Sprintf("%+v", want.ordered()); g != w {
				t.Fatalf("record %d: kept %s, want %s", i, g, w)
			}
			gone := make(map[string]float64)
			for _, g := range got.Gone {
				gone[string(g.Value)] = g.TS
			}
			if g, w := fmt.Sprint(gone), fmt.Sprint(want.gone()); g != w || len(gone) != len(got.Gone) {
				t.Fatalf("record %d: gone %s, want %s", i, g, w)
			}
			if kind == Hash {
				c, err := merger.Conclude(kind, &got)
				if err != nil {
					t.Fatal(err)
				}
				wantHash(t, &c, want.ordered(), want.gone(), &thresholds)
			}
		}
	})
}

// wantHash works a conclusion out from the section "Hash merger", word by word.
func wantHash(t *rapid.T, c *Conclusion, kept []Entry, gone map[string]float64, thresholds *Thresholds) {
	last := kept[len(kept)-1]
	distinct := make(map[string]bool)
	for _, e := range kept {
		if e.TS >= last.TS-thresholds.HashWindow && !bytes.Equal(e.Value, Null) {
			distinct[string(e.Value)] = true
		}
	}
	for v, ts := range gone {
		if ts >= last.TS-thresholds.HashWindow {
			distinct[v] = true
		}
	}
	rotations := max(0, len(distinct)-1)
	state := Conflicted
	switch {
	case rotations == 0:
		state = Stable
	case rotations <= 2:
		state = Drifting
	}
	if c.State != state || c.Confidence != 1/float64(1+rotations) || !bytes.Equal(c.Value, last.Value) || c.LastTS != last.TS {
		t.Fatalf("%s %s %v, want %s %s with %d rotations", c.State, c.Value, c.Confidence, state, last.Value, rotations)
	}
}

// Whichever of two records of one evidence is processed first, the one that
// arrived last counts, at the place of the one that arrived first.
func TestReplacementsDoNotDependOnTheOrderOfProcessing(t *testing.T) {
	thresholds := DefaultThresholds()
	first := Entry{TS: 9, Value: Value(`"old"`), Evidence: 7, Place: Arrival{Offset: 1}, Latest: Arrival{Offset: 1}}
	second := Entry{TS: 5, Value: Value(`"new"`), Evidence: 7, Place: Arrival{Offset: 2}, Latest: Arrival{Offset: 2}}
	want := second
	want.Place = first.Place
	for _, order := range [][]Entry{{first, second}, {second, first}} {
		var s Series
		for _, e := range order {
			s.Take(e, Categorical, &thresholds)
		}
		if s.Count != 1 || fmt.Sprintf("%+v", s.Entries) != fmt.Sprintf("%+v", []Entry{want}) {
			t.Errorf("%+v", s)
		}
	}
}

// Take's third answer is the entry that left, for whoever holds more of it.
func TestTakeTellsWhatLeft(t *testing.T) {
	thresholds := DefaultThresholds()
	var s Series
	entry := func(ts int, evidence uint64) Entry {
		at := Arrival{Offset: int64(evidence)}
		return Entry{TS: float64(ts), Value: Value(`"v"`), Evidence: evidence, Place: at, Latest: at}
	}
	for i := range thresholds.SeriesEntries {
		if _, _, had := s.Take(entry(100+i, uint64(i)), Categorical, &thresholds); had {
			t.Fatalf("entry %d pushes one out", i)
		}
	}
	tests := []struct {
		name  string
		entry Entry
		taken Taken
		left  int // evidence; -1: none
	}{
		{"older than all", entry(99, 1000), Beyond, -1},
		{"as old as the oldest, which leaves", entry(100, 1001), Added, 0},
		{"newer than all", entry(500, 1002), Added, 1001},
		{"in the middle", entry(110, 1003), Added, 1},
	}
	for _, tt := range tests {
		taken, left, had := s.Take(tt.entry, Categorical, &thresholds)
		if taken != tt.taken || had != (tt.left >= 0) || had && left.Evidence != uint64(tt.left) {
			t.Errorf("%s: %d, %+v %v", tt.name, taken, left, had)
		}
	}
	if want := int64(thresholds.SeriesEntries + len(tests)); s.Count != want {
		t.Errorf("count %d, want %d", s.Count, want)
	}
}
