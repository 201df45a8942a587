package faults

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"handprint/processor"
)

func TestCrashIsDueOnce(t *testing.T) {
	f, died := &Faults{}, 0
	f.die = func() { died++ }
	f.listen(strings.NewReader("nonsense\n" + CrashLine("after-flush", 3)))
	for i := range 6 {
		for _, s := range processor.Steps() {
			_ = f.Step(s, nil)
			if want := map[bool]int{true: 1}[i > 2 || i == 2 && s >= processor.AfterFlush]; died != want {
				t.Fatalf("died %d times in batch %d %s, want %d", died, i, s, want)
			}
		}
	}
}

func TestDiskFull(t *testing.T) {
	f := &Faults{die: func() { t.Error("died") }}
	fs := f.FS(vfs.NewMem())
	file, err := fs.Create("x", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, full := range []bool{false, true, false} {
		f.listen(strings.NewReader(DiskLine(full)))
		if _, err := file.Write([]byte("y")); errors.Is(err, syscall.ENOSPC) != full {
			t.Errorf("disk full %v: writing: %v", full, err)
		}
	}
}

func TestStoreCrash(t *testing.T) {
	f, died := &Faults{}, 0
	f.die = func() { died++ }
	file, err := f.FS(vfs.NewMem()).Create("x", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	f.listen(strings.NewReader(CrashLine(StoreSync, 1)))
	if _, err := file.Write([]byte("y")); err != nil || died != 0 {
		t.Fatal("a write is no sync")
	}
	if err := file.Sync(); err != nil || died != 1 {
		t.Errorf("died %d times: %v", died, err)
	}
}
