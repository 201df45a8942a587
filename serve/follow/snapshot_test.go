package follow

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"handprint/serve/catalog"
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
