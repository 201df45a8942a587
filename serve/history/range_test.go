package history

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// All parts of a range, one behind the other, are a filter over the entries in the order
// of their arrival, whatever comes and goes between a part's beginning and end.
func TestRangesAreAFilterOverTheEntries(t *testing.T) {
	h := open(t, t.TempDir())
	defer h.Close()
	rapid.Check(t, func(t *rapid.T) {
		if err := h.Reset(); err != nil {
			t.Fatal(err)
		}
		sources := map[Kind]Source{State: Transitions, Value: Changelog, Suspicion: Suspicions, Identity: Identities}
		kinds := []Kind{State, Value, Suspicion, Identity}
		var all []Entry
		for n := range rapid.IntRange(0, 40).Draw(t, "entries") {
			e := Entry{
				Identity: rapid.SampledFrom([]string{"a", "b", "a\x00"}).Draw(t, "id"), Kind: rapid.SampledFrom(kinds).Draw(t, "kind"),
				TS: float64(n % 3), Recorded: float64(rapid.IntRange(-1, 9).Draw(t, "recorded")), Partition: int32(n % 2), Offset: int64(n),
			}
			if e.Source = sources[e.Kind]; e.Kind == State || e.Kind == Value {
				e.Primitive = rapid.SampledFrom([]string{"x.one", "x.two", "y.one", "x"}).Draw(t, "primitive")
				e.NewState = rapid.SampledFrom([]string{"stable", "drifting"}).Draw(t, "state")
			}
			all = append(all, e)
		}
		if err := h.Add(all, nil); err != nil {
			t.Fatal(err)
		}
		q := RangeQuery{
			From: float64(rapid.IntRange(-1, 9).Draw(t, "from")), To: float64(rapid.IntRange(-1, 9).Draw(t, "to")), Limit: rapid.IntRange(1, 10).Draw(t, "limit"),
			Identity: rapid.SampledFrom([]string{"", "", "a"}).Draw(t, "of"), Primitive: rapid.SampledFrom([]string{"", "", "x.one"}).Draw(t, "p"),
			Domain: rapid.SampledFrom([]string{"", "", "x"}).Draw(t, "domain"), NewStates: rapid.SampledFrom([][]string{nil, nil, {"stable"}}).Draw(t, "states"),
			Kinds: rapid.SliceOfNDistinct(rapid.SampledFrom(kinds), 0, 4, func(k Kind) Kind { return k }).Draw(t, "kinds"),
		}
		slices.SortStableFunc(all, func(x, y Entry) int { return strings.Compare(string(arrivalKey(&x)), string(arrivalKey(&y))) })
		var want, got []string
		for i := range all {
			e := &all[i]
			recorded := max(0, e.Recorded)
			if recorded < q.From || q.To != 0 && recorded >= q.To || len(q.Kinds) > 0 && !slices.Contains(q.Kinds, e.Kind) ||
				q.Identity != "" && e.Identity != q.Identity || q.Primitive != "" && e.Primitive != q.Primitive ||
				q.Domain != "" && strings.Split(e.Primitive, ".")[0] != q.Domain || len(q.NewStates) > 0 && !slices.Contains(q.NewStates, e.NewState) {
				continue
			}
			want = append(want, fmt.Sprint(e.Offset))
		}
		for parts := 0; ; parts++ {
			r, err := h.Range(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			// One comes within the part, and all go.
			late := Entry{Identity: "a", Kind: State, Source: Transitions, Primitive: "x.one", NewState: "stable", Recorded: q.From, Offset: 1000}
			if err := h.Add([]Entry{late}, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := h.Retain(context.Background(), 1000, 1<<40); err != nil {
				t.Fatal(err)
			}
			n := 0
			err = errors.Join(r.Each(context.Background(), func(e *Entry) error {
				n++
				got = append(got, fmt.Sprint(e.Offset))
				return nil
			}), r.Close())
			if err != nil {
				t.Fatal(err)
			}
			if err := h.Add(all, nil); err != nil {
				t.Fatal(err)
			}
			if q.After = r.Next(); q.After == nil {
				break
			}
			if n != q.Limit || parts > 50 {
				t.Fatalf("part %d has %d of %d, and there are more", parts, n, q.Limit)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

// A range that is ended, and one that fails half-way, say so, and leave nothing open.
func TestARangeEnds(t *testing.T) {
	h := open(t, t.TempDir())
	var entries []Entry
	for n := range 3000 {
		entries = append(entries, Entry{Identity: "a", Kind: State, Source: Transitions, Recorded: 1, Offset: int64(n)})
	}
	if err := h.Add(entries, nil); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.Range(ended, RangeQuery{Limit: 5000}); !errors.Is(err, context.Canceled) {
		t.Errorf("a range that nobody waits for: %v", err)
	}
	r, err := h.Range(context.Background(), RangeQuery{Limit: 5000})
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("the disk is full")
	if err := r.Each(context.Background(), func(*Entry) error { return full }); !errors.Is(err, full) {
		t.Errorf("a reader that fails: %v", err)
	}
	if err := errors.Join(r.Close(), h.Close()); err != nil {
		t.Error(err)
	}
}

// What happened to one identity is found among its own entries, however many others
// there are; if its own are too many, the part says that it ended by looking.
func TestARangeOfOneIdentityLooksAtItsOwn(t *testing.T) {
	h := open(t, t.TempDir())
	defer h.Close()
	var entries []Entry
	for n := range 50 {
		id := "others"
		if n%20 == 0 { // 0, 20, 40
			id = "a"
		}
		entries = append(entries, Entry{Identity: id, Kind: State, Source: Transitions, TS: float64(100 - n), Recorded: float64(n), Offset: int64(n)})
	}
	if err := h.Add(entries, nil); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		q       RangeQuery
		want    string
		next    bool
		bounded bool
	}{
		{RangeQuery{Identity: "a", Limit: 9, looks: 5}, "0 20 40", false, false},
		{RangeQuery{Identity: "a", Limit: 2, looks: 5}, "0 20", true, false},
		{RangeQuery{Identity: "a", From: 20, To: 40, Limit: 2, looks: 5}, "20", false, false},
		{RangeQuery{Identity: "nobody", Limit: 2, looks: 5}, "", false, false},
		{RangeQuery{Identity: "a", Limit: 9, looks: 2}, "0", true, true},
		{RangeQuery{Primitive: "nothing", Limit: 9, looks: 5}, "", true, true},
	} {
		r, err := h.Range(context.Background(), test.q)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		err = errors.Join(r.Each(context.Background(), func(e *Entry) error {
			got = append(got, fmt.Sprint(e.Offset))
			return nil
		}), r.Close())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Join(got, " ") != test.want || (r.Next() != nil) != test.next || r.IsBounded() != test.bounded {
			t.Errorf("%+v: %v, next %v, bounded %v; want %+v", test.q, got, r.Next(), r.IsBounded(), test)
		}
	}
}

// A range, and another one that begins where it ends, have every entry once together,
// whatever the time between them is.
func TestRangesMeetAtAnyTime(t *testing.T) {
	h := open(t, t.TempDir())
	defer h.Close()
	const first = 1_796_013_627.580
	var entries []Entry
	for n := range 5 {
		entries = append(entries, Entry{Identity: "a", Kind: State, Source: Transitions, Recorded: first + float64(n)/1000, Offset: int64(n)})
	}
	if err := h.Add(entries, nil); err != nil {
		t.Fatal(err)
	}
	count := func(from, to float64) (n int) {
		r, err := h.Range(t.Context(), RangeQuery{From: from, To: to, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if err := r.Each(t.Context(), func(*Entry) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, between := range []float64{first, first + 0.0003, first + 0.0007, first + 0.001, first + 0.0039, first + 0.004} {
		want := 0
		for n := range entries {
			if math.Round((between-first)*1e4)/10 > float64(n) {
				want++
			}
		}
		shown, err := strconv.ParseFloat(strconv.FormatFloat(WholeMillis(between), 'f', 3, 64), 64)
		if err != nil {
			t.Fatal(err)
		}
		if before, after := count(0, between), count(shown, first+1); before != want || after != len(entries)-want {
			t.Errorf("%d entries before %.4f and %d from %.3f on, want %d and %d", before, between, after, shown, want, len(entries)-want)
		}
	}
}

// A part has one entry at least, whatever its limit, and says when the history began at
// the moment of the range.
func TestARangeIsOfOneMoment(t *testing.T) {
	h := open(t, t.TempDir())
	defer h.Close()
	entry := func(n int, recorded float64) Entry {
		return Entry{Identity: "a", Kind: State, Source: Transitions, Primitive: "x.one", NewState: "stable", Recorded: recorded, Offset: int64(n)}
	}
	empty, err := h.Range(t.Context(), RangeQuery{})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Add([]Entry{entry(1, 5), entry(2, 6), entry(3, 7)}, nil); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", "a"} {
		r, err := h.Range(t.Context(), RangeQuery{Identity: id})
		if err != nil {
			t.Fatal(err)
		}
		// The first goes, and an older one comes.
		if n, err := h.Retain(t.Context(), 5.5, 1<<40); err != nil || n != 1 {
			t.Fatalf("%d entries were dropped: %v", n, err)
		}
		if err := h.Add([]Entry{entry(1, 5)}, nil); err != nil {
			t.Fatal(err)
		}
		var got []float64
		err = r.Each(t.Context(), func(e *Entry) error { got = append(got, e.Recorded); return nil })
		if err = errors.Join(err, r.Close()); err != nil || fmt.Sprint(got) != "[5]" || r.Next() == nil || r.Begins() != 5 {
			t.Errorf("identity %q: %v, next %v, begins %v: %v", id, got, r.Next(), r.Begins(), err)
		}
	}
	if begins := empty.Begins(); !math.IsInf(begins, 1) || empty.Close() != nil {
		t.Errorf("a history that was empty begins at %v", begins)
	}
}
