//go:build integration

package integration

import (
	"context"
	"testing"
	"time"
)

// Brokers are restarted one after the other, cleanly and hard, five times round,
// under load.
func TestRollingRestarts(t *testing.T) {
	l := brokersOurs(t)
	a := newTrial(t, 4)
	a.run(0)
	a.run(1)
	rounds := 5
	if testing.Short() {
		rounds = 1
	}
	for _, how := range []struct {
		name string
		end  func(context.Context, int) error
	}{{"cleanly", l.Cluster.Stop}, {"hard", l.Cluster.Kill}} {
		for round := range rounds {
			for b := range l.Cluster.Size() {
				a.Feed(a.ctx, 200)
				if err := how.end(a.ctx, b); err != nil {
					t.Fatal(err)
				}
				a.FeedFor(a.ctx, 200, time.Second)
				if err := l.Heal(a.ctx, b); err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("round %d, %s", round+1, how.name)
			a.audit()
		}
	}
	a.finish()
}

// Two of three brokers die, and with them the majority; later they come back.
func TestLossOfMajority(t *testing.T) {
	l := brokersOurs(t)
	a := newTrial(t, 4)
	a.run(0)
	a.run(1)
	a.feed(400)
	a.rest()
	for first := range l.Cluster.Size() {
		second := (first + 1) % l.Cluster.Size()
		a.Feed(a.ctx, 200)
		for _, b := range []int{first, second} {
			if err := l.Cluster.Kill(a.ctx, b); err != nil {
				t.Fatal(err)
			}
		}
		a.FeedFor(a.ctx, 300, 3*time.Second)
		if err := l.Heal(a.ctx, first, second); err != nil {
			t.Fatal(err)
		}
		for n := range 2 { // an instance may have given up; its supervisor starts it again
			a.run(n)
		}
		a.audit()
	}
	a.finish()
}

// An instance is started while no broker runs, so that its connections are
// refused: it ends with exit code 3 when its patience is over, and one with more
// patience gets on when they come.
func TestStartWithBrokersDown(t *testing.T) {
	l := brokersOurs(t)
	a := newTrial(t, 2)
	a.feed(300)
	all := make([]int, l.Cluster.Size())
	for b := range all {
		all[b] = b
		if err := l.Cluster.Kill(a.ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	// A proxy would take the connections in place of a broker.
	impatient, patient := a.Config(0), a.Config(1)
	impatient.Brokers, patient.Brokers = l.Cluster.Addrs(), l.Cluster.Addrs()
	impatient.Flags = append(impatient.Flags, "--connect-timeout", "2s")
	if _, err := a.StartAs(patient, 1); err != nil {
		t.Fatal(err)
	}
	a.logged(1, "no broker answers, trying again")
	if _, err := a.StartAs(impatient, 0); err != nil {
		t.Fatal(err)
	}
	a.awaitDeath(0)
	if code := a.Instance(0).ExitCode(); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	if err := l.Heal(a.ctx, all...); err != nil {
		t.Fatal(err)
	}
	a.run(0)
	if !a.Instance(1).Running() {
		t.Error("the instance with patience has given up")
		a.run(1)
	}
	a.finish()
}

// A broker stands still for longer than the session of the instances whose
// group it coordinates, perhaps, and goes on.
func TestPausedBroker(t *testing.T) {
	l := brokersOurs(t)
	a := newTrial(t, 3)
	a.run(0)
	a.feed(300)
	a.rest()
	for b := range l.Cluster.Size() {
		if err := l.Cluster.Pause(a.ctx, b); err != nil {
			t.Fatal(err)
		}
		a.FeedFor(a.ctx, 300, 8*time.Second)
		if err := l.Cluster.Resume(a.ctx, b); err != nil {
			t.Fatal(err)
		}
		if err := l.Heal(a.ctx); err != nil {
			t.Fatal(err)
		}
		a.run(0)
		a.audit()
	}
	a.finish()
}
