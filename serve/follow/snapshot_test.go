package follow

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/processor"
	"handprint/serve/catalog"
	"handprint/state"
)

// A snapshot of a catalogue that is being built anew would lack a part of the copy, and the
// next start would take it for the whole.
func TestACatalogueThatIsBeingBuiltIsNotKept(t *testing.T) {
	f := &Follower{cfg: Config{Snapshot: filepath.Join(t.TempDir(), "catalog")}}
	f.catalog.Store(catalog.New())
	f.fresh.Store(new([]Freshness))
	f.filling.Lock()
	if err := f.writeSnapshot(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.cfg.Snapshot); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a snapshot: %v", err)
	}
	f.filling.Unlock()
	if err := f.writeSnapshot(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.cfg.Snapshot); err != nil {
		t.Error(err)
	}
}

// A catalogue is not complete from when a copy begins anew until it is built, so no list
// shows a part of it.
func TestACatalogueThatIsBuiltAnewIsNotComplete(t *testing.T) {
	store, err := state.Open("copy", state.Options{FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	f, err := New(Config{Client: []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}, Partitions: 1, Store: store, CatalogMemory: 1 << 30, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer f.client.Close()
	complete := func(want bool, when string) {
		t.Helper()
		f.settlePhase(true, 0, 10)
		if _, phase := f.Catalog(); phase.Ready != want {
			t.Fatalf("%s: complete is %v", when, phase.Ready)
		}
	}
	complete(true, "at the start")
	f.onEmptied(0)
	complete(true, "nothing of the copy was shown yet")
	f.positions[0].Offset = 5
	f.onEmptied(0)
	complete(false, "the copy is empty")
	f.filling.Lock() // as while it is built
	f.rebuild = false
	complete(false, "it is being built")
	f.rebuild = true
	f.filling.Unlock()
	f.onApplied(0, nil, state.Checkpoint{Offset: 6, Identity: "log"})
	complete(true, "it is built")
}

// Records of several copies that wait for the catalogue have it built once.
func TestTheCatalogueIsBuiltOnceForAllThatWait(t *testing.T) {
	store, err := state.Open("copy", state.Options{FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	f := &Follower{cfg: Config{Partitions: 1, Store: store, Clock: processor.SystemClock{}, Logger: slog.New(slog.DiscardHandler)}}
	f.catalog.Store(catalog.New())
	f.phase.Store(&Phase{})
	before := f.catalog.Load()
	f.rebuild = true
	f.build(t.Context())
	built := f.catalog.Load()
	if built == before {
		t.Fatal("it is not built")
	}
	f.build(t.Context()) // of one that saw rebuild, and waited
	if f.catalog.Load() != built {
		t.Error("it is built a second time")
	}
}

// A catalogue is not complete while a copy that began anew has nothing yet, whatever comes
// of the others, and no snapshot says that it has that copy: neither one of before nor a
// new one.
func TestNoSnapshotHasACopyThatBeganAnew(t *testing.T) {
	store, err := state.Open("copy", state.Options{FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	f, err := New(Config{Client: []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}, Partitions: 2, Store: store, CatalogMemory: 1 << 30,
		Logger: slog.New(slog.DiscardHandler), Snapshot: filepath.Join(t.TempDir(), "catalog")})
	if err != nil {
		t.Fatal(err)
	}
	defer f.client.Close()
	there := func(want bool, when string) {
		t.Helper()
		if err := f.writeSnapshot(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(f.cfg.Snapshot); (err == nil) != want {
			t.Fatalf("%s: there is a snapshot: %v", when, err)
		}
		f.settlePhase(true, 0, 10)
		if _, phase := f.Catalog(); phase.Ready != want {
			t.Fatalf("%s: complete is %v", when, phase.Ready)
		}
	}
	f.positions[0].Offset, f.positions[1].Offset = 5000, 5000
	there(true, "at the start")
	f.onEmptied(0)
	there(false, "a copy began anew")
	f.onApplied(1, nil, state.Checkpoint{Offset: 5001, Identity: "log"})
	there(false, "another copy got a record, and the catalogue was built")
	f.onApplied(0, nil, state.Checkpoint{Offset: 1, Identity: "log"})
	there(true, "the copy has records again")
}

// What is shown of a copy that began anew is not as of the time that the one before had
// reached.
func TestACopyThatBeganAnewIsAsOfNoTime(t *testing.T) {
	f := &Follower{cfg: Config{Partitions: 2, Clock: processor.SystemClock{}, Logger: slog.New(slog.DiscardHandler)}, positions: make([]position, 2)}
	f.catalog.Store(catalog.New())
	f.phase.Store(&Phase{})
	f.fresh.Store(&[]Freshness{{AsOf: 7}, {AsOf: 8}})
	f.shown.reset(nil, 9)
	f.positions[0].Offset = 5
	f.onEmptied(0)
	if f.Freshness(0).AsOf != 0 || f.Freshness(-1).AsOf != 0 || f.Freshness(1).AsOf != 8 {
		t.Errorf("as of %v, the other %v, both %v", f.Freshness(0), f.Freshness(1), f.Freshness(-1))
	}
}

// A catalogue that lacks primitives is not kept: who begins with it would show a part of the
// rows as all.
func TestACrowdedCatalogueIsNotKept(t *testing.T) {
	dir := t.TempDir()
	f := &Follower{cfg: Config{Partitions: 1, Snapshot: filepath.Join(dir, "catalog"), Logger: slog.New(slog.DiscardHandler)}, positions: make([]position, 1)}
	c := catalog.New()
	f.catalog.Store(c)
	f.phase.Store(&Phase{})
	f.fresh.Store(new([]Freshness))
	c.Apply(func(w *catalog.Writer) {
		for n := 0; n < 1<<16; n++ {
			w.PutRow([]byte("i"), fmt.Appendf(nil, "x.p%d", n), &catalog.Row{Value: []byte("1")})
		}
	})
	if crowded, _ := c.IsCrowded(); !crowded {
		t.Fatal("there is room for all primitives")
	}
	if err := f.writeSnapshot(); err != nil {
		t.Error(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("%v, %v", files, err)
	}
}
