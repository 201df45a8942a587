package faults

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

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

// A record takes long as often as it was said, and is then processed as ever.
func TestSlowRecords(t *testing.T) {
	f := &Faults{}
	f.listen(strings.NewReader(SlowLine(20*time.Millisecond, 2)))
	task := &countingHandler{}
	h := f.Handler(task)
	began := time.Now()
	for range 5 {
		if err := h.Process(nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); task.n != 5 || took < 40*time.Millisecond || f.slow.Load().left.Load() >= 0 {
		t.Errorf("%d records took %v", task.n, took)
	}
}

type countingHandler struct {
	handler
	n int
}

func (h *countingHandler) Process(*processor.Context, *kgo.Record) error { h.n++; return nil }
