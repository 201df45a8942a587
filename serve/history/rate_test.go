package history

import (
	"log/slog"
	"slices"
	"testing"
)

func TestTransitionsByMinute(t *testing.T) {
	h, err := Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for i, at := range []float64{61, 119, 120, 299, 300} {
		if err := h.Add([]Entry{{Identity: "i", Kind: State, Recorded: at, NewState: "stable", Source: Transitions, Offset: int64(i)}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.ByMinute(299, 4); !slices.Equal(got, []int{2, 1, 0, 1}) {
		t.Errorf("%v", got)
	}
}
