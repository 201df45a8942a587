//go:build integration

package integration

import (
	"os"
	"testing"
)

// A second process on the state directory of one that runs is refused, and so is
// one on a copy of it, which must not fence the first one off under its name.
// When the first one is gone, the copy may take its place.
func TestOneProcessForAStateDirectory(t *testing.T) {
	a := newTrial(t, 3)
	a.run(0)
	a.feed(300)
	a.rest()

	second := a.Config(0)
	if _, err := a.StartAs(second, 1); err != nil {
		t.Fatal(err)
	}
	a.awaitDeath(1)
	if code := a.Instance(1).ExitCode(); code != 4 {
		t.Errorf("on the same directory: exit code %d, want 4", code)
	}
	a.logged(0, "in use by another process") // they have one log

	// At rest nothing is written, so the copy is whole.
	if err := os.CopyFS(a.Config(2).StateDir(), os.DirFS(a.Config(0).StateDir())); err != nil {
		t.Fatal(err)
	}
	a.run(2)
	a.awaitDeath(2)
	if code := a.Instance(2).ExitCode(); code != 1 {
		t.Errorf("on a copy: exit code %d, want 1", code)
	}
	a.logged(2, "looks like a copy")
	if !a.Instance(0).Running() {
		t.Fatal("the first process has ended")
	}
	a.feed(300)
	a.audit()

	if err := a.Stop(a.ctx, 0); err != nil {
		t.Fatal(err)
	}
	a.run(2)
	a.feed(300)
	a.finish(0)
}
