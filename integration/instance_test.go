//go:build integration

package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"handprint/internal/faults"
	"handprint/state"
)

// An instance is killed at every step of a transaction, and before writes and
// syncs of its store, beside another that goes on.
func TestKillAtEveryStep(t *testing.T) {
	a := newTrial(t, 3)
	a.run(0)
	a.run(1)
	a.feed(300)
	a.rest()
	for i, point := range faults.Points() {
		t.Log("dying", point)
		a.crashAt(0, point, 1+i%3)
		if testing.Short() && i%2 == 1 {
			continue
		}
		a.audit()
	}
	a.finish()
}

// An instance with work in hand stands still for longer than its session, its
// tasks move, and it goes on.
func TestStalledInstance(t *testing.T) {
	for _, static := range []string{"false", "true"} {
		t.Run("static="+static, func(t *testing.T) {
			a := newTrial(t, 3, "--static-membership="+static)
			a.run(0)
			a.feed(300)
			a.rest()
			a.run(1)
			a.feed(300)
			a.rest()
			a.feed(3000)
			if err := a.Instance(0).Pause(); err != nil {
				t.Fatal(err)
			}
			a.feed(600)
			a.rest() // which only the other instance can have brought about
			if err := a.Instance(0).Resume(); err != nil {
				t.Fatal(err)
			}
			a.feed(600)
			a.finish()
		})
	}
}

// Instances join under load, one after the other up to four, and leave down to
// none; then one does what is left.
func TestJoinAndLeave(t *testing.T) {
	a := newTrial(t, 8)
	const most = 4
	for n := range most {
		a.run(n)
		a.FeedFor(a.ctx, 800, 2*time.Second)
		a.logged(n, `"task runs"`)
	}
	a.audit()
	for n := range most {
		a.Feed(a.ctx, 400)
		if err := a.Stop(a.ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	a.feed(200)
	a.run(0)
	a.finish()
}

// The disk is full: the instance ends, saying so, and comes back on the same
// state when there is space again.
func TestDiskFull(t *testing.T) {
	for _, test := range []struct {
		name string
		disk func(*trial) (full, ok func())
	}{
		{"injected", func(a *trial) (full, ok func()) {
			return func() { a.tell(0, faults.DiskLine(true)) }, func() {}
		}},
		{"file system", smallDisk},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newTrial(t, 2)
			full, ok := test.disk(a)
			a.run(0)
			a.feed(300)
			a.rest()
			full()
			a.feedUntilEnd(0, 200, 200*time.Millisecond)
			if code := a.Instance(0).ExitCode(); code != 1 && code != 4 {
				t.Errorf("exit code %d, want 1 (failed while running) or 4 (state directory)", code)
			}
			a.logged(0, "no space left on device")
			ok()
			a.run(0)
			a.finish()
		})
	}
}

// smallDisk puts the state on a file system of its own, and fills it with
// something else.
func smallDisk(a *trial) (full, ok func()) {
	if os.Getuid() != 0 {
		a.t.Skip("mounting a small disk needs root: sudo make integration runs it")
	}
	dir := a.Config(0).StateDir()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		a.t.Fatal(err)
	}
	mount(a, dir, "16m")
	ballast := filepath.Join(dir, "ballast")
	return func() { fill(a, ballast) }, func() {
		if err := os.Remove(ballast); err != nil {
			a.t.Fatal(err)
		}
	}
}

// A store that is damaged while nobody runs is set aside or mended, never
// trusted.
func TestTornStore(t *testing.T) {
	cut := func(part int64) func(string) error {
		return func(name string) error {
			info, err := os.Stat(name)
			if err != nil {
				return err
			}
			return os.Truncate(name, info.Size()*part/4)
		}
	}
	flip := func(name string) error {
		text, err := os.ReadFile(name)
		if err != nil || len(text) == 0 {
			return err
		}
		text[len(text)/2] ^= 0xff
		return os.WriteFile(name, text, 0o644)
	}
	for _, test := range []struct {
		name, suffix string
		do           func(string) error
	}{
		{"log cut off", ".log", cut(2)},
		{"log emptied", ".log", cut(0)},
		{"log with a byte changed", ".log", flip},
		{"manifest with a byte changed", "MANIFEST", flip},
		{"manifest emptied", "MANIFEST", cut(0)},
		{"table removed", ".sst", os.Remove},
		{"table cut off", ".sst", cut(3)},
		{"format cut off", "FORMAT", cut(1)},
		{"options emptied", "OPTIONS", cut(0)},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newTrial(t, 2)
			a.run(0)
			a.feed(400)
			a.rest()
			a.Instance(0).Kill()
			a.run(0) // which writes what was in the log into a table
			a.feed(200)
			a.rest()
			a.Instance(0).Kill()
			hit := 0
			for _, name := range a.StoreFiles(0) {
				if strings.Contains(filepath.Base(name), test.suffix) {
					hit++
					if err := test.do(name); err != nil {
						t.Fatal(err)
					}
				}
			}
			if hit == 0 {
				t.Fatalf("the store has no file %s: %v", test.suffix, a.StoreFiles(0))
			}
			a.feed(200)
			if _, err := a.Start(0); err != nil {
				t.Fatal(err)
			}
			a.finish()
		})
	}
}

// A state directory of a version to come is refused in one line and left as it is.
func TestNewerStateDirectory(t *testing.T) {
	a := newTrial(t, 2)
	a.run(0)
	a.feed(300)
	a.rest()
	a.Instance(0).Kill()
	format := filepath.Join(a.Config(0).StateDir(), "store", "FORMAT")
	was, err := os.ReadFile(format)
	if err != nil {
		t.Fatal(err)
	}
	version := fmt.Sprint(state.FormatVersion)
	if !bytes.Contains(was, []byte(version)) {
		t.Fatalf("the format file does not name version %s: %q", version, was)
	}
	if err := os.WriteFile(format, bytes.Replace(was, []byte(version), []byte("99"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	a.run(0)
	a.awaitDeath(0)
	if code := a.Instance(0).ExitCode(); code != 4 {
		t.Errorf("exit code %d, want 4", code)
	}
	a.logged(0, "newer version")
	if err := os.WriteFile(format, was, 0o644); err != nil {
		t.Fatal(err)
	}
	a.feed(200)
	a.run(0)
	a.finish()
}

// A store whose checkpoints are older than tombstones live is rebuilt: it may
// hold what was deleted since, and nothing would tell.
func TestStoreOlderThanTombstones(t *testing.T) {
	a := newTrial(t, 2)
	a.run(0)
	a.feed(400)
	a.rest()
	if err := a.Stop(a.ctx, 0); err != nil {
		t.Fatal(err)
	}
	s, err := state.Open(filepath.Join(a.Config(0).StateDir(), "store"), state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for p := range int32(2) {
		part := s.Partition(p)
		cp, found, err := part.Checkpoint()
		if err != nil || !found {
			t.Fatalf("checkpoint of task %d: %v %v", p, found, err)
		}
		cp.At = cp.At.Add(-25 * time.Hour)
		txn := part.Begin()
		// Something that the changelog does not have: what was deleted since.
		txn.Put([]byte("\xffdeleted"), []byte("x"))
		if err := txn.Commit(cp); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	a.feed(200)
	a.run(0)
	a.logged(0, "rebuilding the task's store from the whole changelog")
	a.finish()
}

// An instance of an earlier version runs in one group with a newer one, which is
// told so by upgrade-from, either is stopped in turn, and each takes over the
// other's state directory. When all are of this version they are started again
// without the setting, one after the other.
func TestRollingUpgrade(t *testing.T) {
	a := newTrial(t, 4)
	older, newer, from := upgrade(t, a.Config(0).Binary)
	as := func(binary string, flags ...string) func(int) {
		return func(n int) {
			t.Helper()
			c := a.Config(n)
			c.Binary, c.Flags = binary, append(slices.Clone(c.Flags), flags...)
			if _, err := a.StartAs(c, n); err != nil {
				t.Fatal(err)
			}
		}
	}
	runOld, runUpgrading, runNew := as(older), as(newer, "--upgrade-from", from), as(newer)
	replace := func(n int, run func(int)) {
		t.Helper()
		if err := a.Stop(a.ctx, n); err != nil {
			t.Fatal(err)
		}
		a.Feed(a.ctx, 300)
		run(n)
		a.FeedFor(a.ctx, 600, time.Second)
		a.audit()
	}
	runOld(0)
	runOld(1)
	a.FeedFor(a.ctx, 600, time.Second)
	a.audit()
	for n := range 2 { // up
		replace(n, runUpgrading)
	}
	replace(0, runOld) // one back down
	replace(0, runUpgrading)
	for n := range 2 { // nobody needs the old formats any more
		replace(n, runNew)
	}
	a.finish()
}
