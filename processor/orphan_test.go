package processor

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// A process dies between two turns, when its transaction has commands and nothing
// else: those who take over its tasks end it, long before its time is over.
func TestAProcessDiesBetweenTurns(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const keys, n = 6, 50
	c.feed(testInput, keys, n)
	cfg := c.config(newStore(t))
	cfg.StaticMembership, cfg.SessionTimeout = false, time.Second
	cfg.TransactionTimeout = 10 * time.Minute
	successor := c.second(t, cfg)

	polls := 0
	cfg.Fault = func(s Step, _ []int32) error {
		if s == AfterPoll {
			polls++
		}
		if polls < 12 || s != AfterPoll { // the fifth turn of the fourth batch
			return nil
		}
		if err := c.awaitOpen(testCommands); err != nil {
			return err
		}
		return errTest
	}
	p := start(t, cfg)
	if err := p.wait(); !errors.Is(err, errTest) {
		t.Fatalf("Run returned %v, want the crash", err)
	}
	if open, err := c.open(testChangelog); open || err != nil {
		t.Fatalf("a transaction is open in the changelog: %v, error %v", open, err)
	}

	cfg = successor
	p = start(t, cfg)
	c.await(testOutput, keys*n*2)
	p.halt()
	c.checkCounts(keys, n, testInput, testCommands)
}

// A transaction of a process that lives is not touched.
func TestDepartedAreNotMembers(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	one := start(t, cfg)
	two := start(t, c.second(t, cfg))
	c.feed(testInput, 8, 5)
	c.await(testOutput, 8*5*2)
	var members map[string]bool
	err := until(c.ctx, func() (bool, error) {
		var err error
		members, err = two.memberProcesses(c.ctx)
		return err == nil && len(members) >= 2, nil // else a rebalance is under way
	})
	if err != nil || !members["one"] || !members["two"] || len(members) != 2 {
		t.Errorf("the members are %v, error %v", members, err)
	}
	for id, want := range map[string]string{
		"app-one-0": "one", "app-a-b-12": "a-b", "app-": "", "app-one": "", "other-one-0": "", "application-one-0": "",
	} {
		if got := one.processOf(id); got != want {
			t.Errorf("%s is of process %q, want %q", id, got, want)
		}
	}
	one.halt()
	two.halt()
}

// A process that is started again with fewer threads ends what a worker that it has
// no longer left open.
func TestFewerThreadsEndTheirOrphans(t *testing.T) {
	t.Parallel()
	for _, step := range []Step{AfterFlush, AfterOffsets} {
		t.Run(step.String(), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			const keys, n = 8, 20
			cfg := c.config(newStore(t))
			cfg.StaticMembership, cfg.SessionTimeout, cfg.TransactionTimeout = false, time.Second, 10*time.Minute
			again := cfg
			again.Store = newStore(t)
			cfg.Threads = 2
			var running atomic.Pointer[running]
			cfg.Fault = func(s Step, tasks []int32) error {
				p := running.Load()
				if s != step || p == nil {
					return nil
				}
				for _, task := range p.Status().Tasks {
					if task.Worker == 1 && slices.Contains(tasks, task.Partition) {
						return errTest
					}
				}
				return nil
			}
			p := start(t, cfg)
			p.awaitTasks(testTasks)
			running.Store(p)
			c.feed(testInput, keys, n)
			if err := p.wait(); !errors.Is(err, errTest) {
				t.Fatal(err)
			}
			p = start(t, again)
			c.await(testOutput, keys*n*2)
			p.halt()
			c.checkCounts(keys, n, testInput, testCommands)
		})
	}
}
