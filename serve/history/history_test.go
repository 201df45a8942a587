package history

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
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
