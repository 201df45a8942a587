//go:build integration

package integration

import (
	"context"
	"sync"
	"testing"
	"time"
)

// The instances of an application are restarted one after the other, five times
// round, under load. In the middle all are down for a moment, and the group is
// deleted. Nothing is lost, and nothing is twice.
func TestRollingRestartsOfInstances(t *testing.T) {
	a := newTrial(t, 6)
	const instances, rounds = 3, 5
	for n := range instances {
		a.run(n)
	}
	a.feed(300)
	a.rest()
	for round := range rounds {
		flowing, stop := context.WithCancel(a.ctx)
		var input sync.WaitGroup
		input.Go(func() {
			for flowing.Err() == nil {
				a.FeedFor(flowing, 200, 400*time.Millisecond)
			}
		})
		if round == rounds/2 {
			if err := a.StopAll(a.ctx); err != nil {
				t.Error(err)
			}
			if err := a.DeleteGroup(a.ctx); err != nil {
				t.Error(err)
			}
			for n := range instances {
				a.run(n)
			}
			a.moving()
		}
		for n := range instances {
			if err := a.Stop(a.ctx, n); err != nil {
				t.Error(err)
			}
			a.run(n)
			a.moving()
		}
		stop()
		input.Wait()
		if t.Failed() {
			t.FailNow()
		}
		a.audit()
		if testing.Short() && round == rounds/2 {
			break
		}
	}
	a.finish()
}

// moving waits until the group is whole, and some of what flows is processed.
func (a *trial) moving() {
	a.t.Helper()
	before := a.committed()
	a.await(func() bool { return a.committed() > before }, "nothing is processed any more; see %s", a.Dir)
}

// committed is how many offsets the group has committed; 0 while it cannot be said.
func (a *trial) committed() (sum int64) {
	ctx, cancel := context.WithTimeout(a.ctx, 10*time.Second)
	defer cancel()
	sum, err := a.CommittedOffsets(ctx)
	if err != nil {
		return 0
	}
	return sum
}
