package history

import (
	"context"
	"log/slog"
	"math"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// Counts by minute are those of the entries, also after a restart.
func TestCountsAreThoseOfTheEntries(t *testing.T) {
	states := []string{"", "stable", "drifting"}
	rapid.Check(t, func(t *rapid.T) {
		path := tempDir(t)
		h, err := Open(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		type added struct {
			at   float64
			turn Turn
		}
		var all []added
		for i := range rapid.IntRange(1, 40).Draw(t, "entries") {
			e := Entry{Identity: "i", Kind: State, Recorded: float64(rapid.IntRange(0, 600).Draw(t, "recorded")), OldState: rapid.SampledFrom(states).Draw(t, "from"), NewState: rapid.SampledFrom(states[1:]).Draw(t, "to"), Source: Transitions, Offset: int64(i)}
			if rapid.IntRange(0, 4).Draw(t, "kind") == 0 {
				e.Kind = Suspicion
			} else {
				all = append(all, added{e.Recorded, Turn{e.OldState, e.NewState}})
			}
			if err := h.Add([]Entry{e}, nil); err != nil {
				t.Fatal(err)
			}
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				if err := h.Close(); err != nil {
					t.Fatal(err)
				}
				if h, err = Open(path, slog.New(slog.DiscardHandler)); err != nil {
					t.Fatal(err)
				}
			}
		}
		defer h.Close()
		since := float64(rapid.IntRange(0, 10).Draw(t, "since") * 60)
		want := map[Turn]int64{}
		for _, a := range all {
			if a.at >= since {
				want[a.turn]++
			}
		}
		last := int64(math.MaxInt64)
		got := h.Turned(since)
		for _, g := range got {
			if g.Count != want[g.Turn] || g.Count > last {
				t.Fatalf("%+v: %d, want %d, after %d", g.Turn, g.Count, want[g.Turn], last)
			}
			last = g.Count
		}
		if len(got) != len(want) {
			t.Fatalf("%d kinds of transitions, want %d", len(got), len(want))
		}
	})
}

func TestCountsOfLongAgoGo(t *testing.T) {
	h, err := Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	now := float64((keptMinutes + 10) * 60)
	for i, at := range []float64{60, now - 30} {
		if err := h.Add([]Entry{{Identity: "i", Kind: State, Recorded: at, NewState: "stable", Source: Transitions, Offset: int64(i)}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Retain(context.Background(), 0, math.MaxInt64); err != nil {
		t.Fatal(err)
	}
	if got := h.Turned(0); len(got) != 1 || got[0].Count != 2 {
		t.Fatalf("kept %+v, want both: nobody said what time it is", got)
	}
	if err := h.turns.forget(h.db, minuteOf(now)); err != nil {
		t.Fatal(err)
	}
	if got := h.Turned(0); len(got) != 1 || got[0].Count != 1 {
		t.Errorf("kept %+v, want the newer one", got)
	}
}

func tempDir(t *rapid.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "history")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
