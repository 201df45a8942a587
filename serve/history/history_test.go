package history

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func open(t *testing.T, dir string) *History {
	t.Helper()
	h, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestTimelinesAreAFilterOverTheEntries(t *testing.T) {
	h := open(t, t.TempDir())
	defer h.Close()
	rapid.Check(t, func(t *rapid.T) {
		if err := h.Reset(); err != nil {
			t.Fatal(err)
		}
		var all []Entry
		for n := range rapid.IntRange(0, 30).Draw(t, "entries") {
			all = append(all, Entry{
				Identity: rapid.SampledFrom([]string{"a", "b", "a\x00"}).Draw(t, "id"), Kind: rapid.SampledFrom([]Kind{State, Value}).Draw(t, "kind"),
				TS: float64(rapid.IntRange(-3, 9).Draw(t, "ts")), Recorded: float64(rapid.IntRange(0, 9).Draw(t, "recorded")),
				Primitive: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "primitive"), Source: Transitions, Partition: int32(n % 2), Offset: int64(n),
			})
		}
		for range 2 { // read twice, kept once
			if err := h.Add(all, map[string][]byte{"m": []byte("1")}); err != nil {
				t.Fatal(err)
			}
		}
		q := Query{Identity: "a", Limit: rapid.IntRange(1, 5).Draw(t, "limit"), From: float64(rapid.IntRange(-5, 5).Draw(t, "from")),
			To: float64(rapid.IntRange(0, 9).Draw(t, "to")), Primitive: rapid.SampledFrom([]string{"", "x"}).Draw(t, "p")}
		var want, got []string
		for i := range all {
			if e := &all[i]; q.takes(e) && e.TS >= q.From && (q.To == 0 || e.TS <= q.To) {
				want = append(want, fmt.Sprint(e.Offset))
			}
		}
		last := math.Inf(1)
		for {
			page, next, err := h.Timeline(q)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				if e.TS > last {
					t.Fatalf("%v after %v", e.TS, last)
				}
				last = e.TS
				got = append(got, fmt.Sprint(e.Offset))
			}
			if next == nil {
				break
			}
			q.After = next
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q of %+v", got, want, q)
		}
		before := float64(rapid.IntRange(0, 9).Draw(t, "before"))
		if _, err := h.Retain(context.Background(), before, 1<<40); err != nil {
			t.Fatal(err)
		}
		var arrived []float64
		if err := h.Since(0, func(e *Entry) bool { arrived = append(arrived, e.Recorded); return true }); err != nil {
			t.Fatal(err)
		}
		kept := slices.DeleteFunc(slices.Clone(all), func(e Entry) bool { return e.Recorded < before })
		if len(arrived) != len(kept) || !slices.IsSortedFunc(arrived, cmp.Compare) {
			t.Fatalf("%d entries from %v on, want %d", len(arrived), before, len(kept))
		}
		if len(kept) > 0 && h.Begins() > arrived[0] {
			t.Fatalf("complete from %v on, but there is %v", h.Begins(), arrived[0])
		}
	})
}

func TestPositionsAndBeginningOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	if err := h.Add([]Entry{{Identity: "a", Recorded: 7, Source: Suspicions}}, map[string][]byte{"p": []byte("9")}); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = open(t, dir)
	defer h.Close()
	if m, err := h.Mark("p"); err != nil || string(m) != "9" || h.Begins() != 7 {
		t.Errorf("%q, %v, begins %v", m, err, h.Begins())
	}
}

func TestTheOldestGoWhenThereAreTooManyBytes(t *testing.T) {
	h := open(t, t.TempDir())
	defer h.Close()
	for n := range 100 {
		if err := h.Add([]Entry{{Identity: "a", TS: 1, Recorded: float64(n), Source: Transitions, Offset: int64(n), Record: []byte(`"` + string(make([]byte, 0)) + `"`)}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	dropped, err := h.Retain(context.Background(), 0, h.Bytes()-2000)
	if err != nil || dropped == 0 || dropped == 100 || h.Begins() != float64(dropped) {
		t.Errorf("%d dropped, begins %v, %v", dropped, h.Begins(), err)
	}
}

// Records of identities, which do not go with time, do not make what happened go.
func TestRecordsOfIdentitiesLeaveTheEntries(t *testing.T) {
	h := open(t, t.TempDir())
	defer h.Close()
	if err := h.Add([]Entry{{Identity: "a", Recorded: 1, Source: Transitions}}, nil); err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{})
	for n := range 64 {
		text := make([]byte, 64<<10)
		_, _ = random.Read(text)
		if err := h.Publish([]Published{{fmt.Sprint(n), text}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.db.Flush(); err != nil {
		t.Fatal(err)
	}
	all, err := h.db.EstimateDiskUsage([]byte{byPublished}, []byte{byPublished + 1})
	if err != nil || all < 4<<20 {
		t.Fatalf("the records take %d: nothing is tried: %v", all, err)
	}
	if dropped, err := h.Retain(context.Background(), 0, h.Bytes()-1<<20); err != nil || dropped != 0 {
		t.Errorf("%d entries went: %v", dropped, err)
	}
}

// The numbers of transitions are those of the entries, also after a restart.
func TestChangesAreCounted(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	var all []Entry
	add := func(recorded float64, old, new string, kind Kind) {
		all = append(all, Entry{Identity: "a", Kind: kind, Recorded: recorded, OldState: old, NewState: new, Source: Transitions, Offset: int64(len(all))})
	}
	add(100, "", "unknown", State)
	add(200, "stable", "drifting", State)
	add(210, "stable", "drifting", State)
	add(220, "stable", "stable", Value)
	add(1200, "drifting", "stable", State)
	add(1200, "drifting", "a state to come", State)
	if err := h.Add(all, nil); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		for since, want := range map[float64]int{0: 4, 100: 4, 130: 3, 239: 3, 240: 1, 1200: 1, 1260: 0} {
			if got := h.Changes(since); got.Total() != want {
				t.Errorf("%d transitions since %v, want %d", got.Total(), since, want)
			}
		}
		if c := h.Changes(0); c[NoRow][0] != 1 || c[1][2] != 2 || c[2][1] != 1 {
			t.Errorf("the transitions are %v", c)
		}
	}
	check()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = open(t, dir)
	defer h.Close()
	check()
	// Weeks later the first are not counted any more, and take no memory.
	all = nil
	for n := range tallyMinutes + 10 {
		add(1e7+60*float64(n), "stable", "drifting", State)
	}
	if err := h.Add(all, nil); err != nil {
		t.Fatal(err)
	}
	if got := h.Changes(0); got.Total() > tallyMinutes {
		t.Errorf("%d transitions of %d minutes are counted", got.Total(), tallyMinutes)
	}
}

// Of records of one identity the last counts, a tombstone too, after a new start as well;
// dropping them all leaves what happened alone.
func TestTheLastRecordOfAnIdentity(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	rapid.Check(t, func(t *rapid.T) {
		if err := h.Unpublish(); err != nil {
			t.Fatal(err)
		}
		want := map[string][]byte{}
		for range rapid.IntRange(0, 5).Draw(t, "batches") {
			var batch []Published
			for range rapid.IntRange(0, 5).Draw(t, "records") {
				p := Published{Identity: rapid.SampledFrom([]string{"a", "b", "a\x00", ""}).Draw(t, "id")}
				if rapid.Bool().Draw(t, "there") {
					p.Record = []byte(rapid.String().Draw(t, "record"))
				}
				batch, want[p.Identity] = append(batch, p), p.Record
			}
			if err := h.Publish(batch, nil); err != nil {
				t.Fatal(err)
			}
		}
		for id, record := range want {
			if got, err := h.PublishedOf(id); err != nil || string(got) != string(record) || (got == nil) != (record == nil) {
				t.Errorf("%q: %q, want %q: %v", id, got, record, err)
			}
		}
	})
	entry := Entry{Identity: "a", Kind: Identity, Recorded: 1, Source: Identities, Origin: new(int64)}
	*entry.Origin = 7
	if err := cmp.Or(h.Add([]Entry{entry}, nil), h.Publish([]Published{{"a", []byte("kept")}}, map[string][]byte{"far": []byte("1")})); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = open(t, dir)
	defer h.Close()
	if got, err := h.PublishedOf("a"); err != nil || string(got) != "kept" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := h.Mark("far"); err != nil || string(got) != "1" {
		t.Errorf("%q, %v", got, err)
	}
	if err := h.Unpublish(); err != nil {
		t.Fatal(err)
	}
	if got, err := h.PublishedOf("a"); err != nil || got != nil {
		t.Errorf("%q, %v", got, err)
	}
	for _, want := range []bool{true, false} { // that the event is over goes with its entry
		if over, err := h.IsOver(7, 0); err != nil || over != want {
			t.Errorf("over %v, want %v: %v", over, want, err)
		}
		if other, err := h.IsOver(8, -1); err != nil || other {
			t.Errorf("another event: %v, %v", other, err)
		}
		if _, err := h.Retain(context.Background(), 100, 1<<40); err != nil {
			t.Fatal(err)
		}
	}
}

// That an event is over is said of it alone, and not of one that has its offset in a topic
// that was made anew; it goes with its own entry.
func TestAnEventIsOverByItsOffsetAndTime(t *testing.T) {
	h := open(t, t.TempDir())
	defer h.Close()
	offset := int64(3)
	over := func(millis int64) bool {
		t.Helper()
		is, err := h.IsOver(offset, millis)
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	add := func(ts, recorded float64) {
		t.Helper()
		e := Entry{Identity: "a", Kind: Identity, TS: ts, Recorded: recorded, Source: Identities, Offset: int64(recorded), Origin: &offset}
		if err := h.Add([]Entry{e}, nil); err != nil {
			t.Fatal(err)
		}
	}
	add(1_700_000_000.123, 10)
	if !over(1_700_000_000_123) || !over(-1) || over(1_700_000_000_124) {
		t.Error("the event of before is not over, or another is")
	}
	add(1_700_000_009.001, 20)
	if _, err := h.Retain(context.Background(), 15, 1<<40); err != nil {
		t.Fatal(err)
	}
	if over(1_700_000_000_123) || !over(1_700_000_009_001) || !over(-1) {
		t.Error("the newer event went with the entry of the older")
	}
}

// From when on entries are complete is the earliest of them, whoever adds beside whom.
func TestWhenTheHistoryBegins(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	const adders, each = 8, 50
	var adding sync.WaitGroup
	for a := range adders {
		adding.Go(func() {
			for n := range each {
				e := Entry{Identity: "a", Kind: State, Recorded: float64(1_000_000 - n*adders - a), Partition: int32(a), Offset: int64(n)}
				if err := h.Add([]Entry{e}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	adding.Wait()
	const want = 1_000_000 - (each-1)*adders - (adders - 1)
	if h.Begins() != want {
		t.Errorf("it begins at %v, want %v", h.Begins(), want)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if h = open(t, dir); h.Begins() != want {
		t.Errorf("after a new start it begins at %v, want %v", h.Begins(), want)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
}
