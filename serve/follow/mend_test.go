package follow

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/processor/clocktest"
	"handprint/serve/catalog"
	"handprint/state"
)

// mended is a follower whose catalogue is complete, on a clock that stands still.
func mended(t *testing.T) (*Follower, *clocktest.Clock) {
	t.Helper()
	store, err := state.Open("copy", state.Options{FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	clock := clocktest.New(time.Unix(1_700_000_000, 0))
	f, err := New(Config{Client: []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}, Partitions: 1, Store: store, CatalogMemory: 1 << 30, Clock: clock, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.client.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	f.settlePhase(true, 0, 10)
	return f, clock
}

func (f *Follower) isComplete() bool {
	f.settlePhase(true, 0, 10)
	return f.phase.Load().Ready
}

// A catalogue that could not be built is built by itself after a while, though no record
// comes; before that no record has it tried again and again.
func TestACatalogueThatCouldNotBeBuiltIsTriedAgain(t *testing.T) {
	f, clock := mended(t)
	f.positions[0].Offset = 5
	f.onEmptied(0)
	f.emptied = nil // the copy has records
	failing, fail := context.WithCancel(t.Context())
	fail()
	before := f.catalog.Load()
	f.build(failing)
	failed := f.catalog.Load()
	if failed == before || f.isComplete() {
		t.Fatalf("it was tried: %v; it is complete: %v", failed != before, f.isComplete())
	}
	f.mendOnce(t.Context())
	f.onApplied(0, nil, state.Checkpoint{Offset: 6, Identity: "log"})
	if f.catalog.Load() != failed || f.isComplete() {
		t.Error("it is tried again at once")
	}
	clock.Advance(buildAgain)
	f.mendOnce(t.Context())
	if f.catalog.Load() == failed || !f.isComplete() {
		t.Error("it is not tried again")
	}
	built := f.catalog.Load()
	f.mendOnce(t.Context())
	if f.catalog.Load() != built {
		t.Error("it is built though it is complete")
	}
}

// A catalogue that has left primitives out is built anew when there is room for them.
func TestACrowdedCatalogueIsBuiltAnewWhenThereIsRoom(t *testing.T) {
	f, _ := mended(t)
	c := f.catalog.Load()
	c.Apply(func(w *catalog.Writer) {
		for n := range catalog.MaxMadeUp + 1 {
			w.PutRow(fmt.Append(nil, n), fmt.Appendf(nil, "odd.p%d", n), &catalog.Row{Value: []byte("1")})
		}
	})
	f.mendOnce(t.Context())
	if crowded, _ := c.IsCrowded(); !crowded || f.catalog.Load() != c || !f.isComplete() {
		t.Fatalf("crowded %v, another catalogue %v, complete %v", crowded, f.catalog.Load() != c, f.isComplete())
	}
	c.Apply(func(w *catalog.Writer) {
		for n := range catalog.MaxMadeUp {
			w.DropRow(fmt.Append(nil, n), fmt.Appendf(nil, "odd.p%d", n))
		}
	})
	f.mendOnce(t.Context())
	if crowded, _ := f.catalog.Load().IsCrowded(); crowded || f.catalog.Load() == c || !f.isComplete() {
		t.Errorf("crowded %v, another catalogue %v, complete %v", crowded, f.catalog.Load() != c, f.isComplete())
	}
}
