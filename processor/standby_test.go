package processor

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/state"
)

// awaitStandbys waits until n copies are kept that have read all there is.
func (r *running) awaitStandbys(n int) {
	r.t.Helper()
	r.awaitStatus(func(s Status) bool {
		have := 0
		for _, c := range s.Standbys {
			if c.Lag == 0 {
				have++
			}
		}
		return have == n && len(s.Standbys) == n
	})
}

// restoredRecords returns how many records all restores so far have applied.
func (r *running) restoredRecords() int64 { return r.Status().Counters.RestoredRecords }

// Two processes share the tasks, each keeps copies of the other's, and when one
// dies the other goes on from them: only what they lacked is restored.
func TestTakeoverFromStandby(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	cfg.Standbys = 1
	cfg.MaxBatchRecords = 50
	c.feed(testInput, 40, 20)
	var crash atomic.Bool
	cfg.Fault = func(Step, []int32) error {
		if crash.Load() {
			return errTest
		}
		return nil
	}
	one := start(t, cfg)
	c.await(testOutput, 40*20*2)
	var mu sync.Mutex
	var phases []TaskReport
	cfg2 := c.second(t, cfg)
	cfg2.Fault = nil
	cfg2.Hooks.Task = func(r TaskReport) { mu.Lock(); defer mu.Unlock(); phases = append(phases, r) }
	two := start(t, cfg2)
	one.awaitTasks(testTasks / 2)
	two.awaitTasks(testTasks / 2)
	c.feed(testInput, 40, 5)
	c.await(testOutput, 40*25*2)
	one.awaitStandbys(testTasks / 2)
	two.awaitStandbys(testTasks / 2)
	restored := two.restoredRecords()
	crash.Store(true)
	c.feed(testInput, 40, 1)
	if err := one.wait(); !errors.Is(err, errTest) {
		t.Fatalf("Run returned %v, want the crash", err)
	}
	two.awaitTasks(testTasks)
	if more := two.restoredRecords() - restored; more != 0 {
		t.Errorf("%d records were restored, though the copies had them all", more)
	}
	c.feed(testInput, 40, 5)
	c.await(testOutput, 40*31*2)
	two.halt()
	c.checkCounts(40, 31, testInput, testCommands)
	c.checkStore(cfg2)
	mu.Lock()
	defer mu.Unlock()
	if !slices.ContainsFunc(phases, func(r TaskReport) bool { return r.State == TaskStandby && r.Worker == -1 }) {
		t.Errorf("no hook was told of a standby: %+v", phases)
	}
}

// The copies of two processes stay what the changelog says while tasks move
// between them under load, again and again.
func TestStandbysUnderLoad(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	cfg.Standbys, cfg.Threads, cfg.MaxBatchRecords = 1, 2, 20
	one := start(t, cfg)
	cfg2 := c.second(t, cfg)
	rounds := 3
	for i := range rounds {
		c.feed(testInput, 20, 5)
		two := start(t, cfg2)
		c.feed(testInput, 20, 5)
		one.awaitTasks(testTasks / 2)
		two.awaitTasks(testTasks / 2)
		c.await(testOutput, 20*10*2*(i+1))
		two.halt()
	}
	// Each task has something more to do, which only one that has all of its state
	// does. That it runs would not say so: a worker that the group has gone on without,
	// and that has not heard of it, still shows the tasks that others have had since.
	c.feed(testInput, 20, 1)
	c.await(testOutput, 20*(10*rounds+1)*2)
	one.halt()
	c.checkCounts(20, 10*rounds+1, testInput, testCommands)
	c.checkStore(cfg)
}

// A copy whose checkpoint is of another changelog, or beyond its end, is built
// anew from the changelog, like a restore would.
func TestStandbyRebuilds(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]state.Checkpoint{
		"other topic": {Offset: 1, Identity: "other"},
		"beyond":      {Offset: 1 << 40},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			cfg := c.config(newStore(t))
			cfg.Standbys = 1
			c.feed(testInput, 10, 3)
			one := start(t, cfg)
			c.await(testOutput, 10*3*2)
			cfg2 := c.second(t, cfg)
			for p := range int32(testTasks) {
				cp := bad
				if real, _, err := cfg.Store.Partition(p).Checkpoint(); err != nil {
					t.Fatal(err)
				} else if cp.Identity == "" {
					cp.Identity, cp.At = real.Identity, real.At
				}
				junk := func(yield func(k, v []byte) bool) { yield([]byte("junk"), []byte("junk")) }
				if err := cfg2.Store.Partition(p).Restore(junk, cp); err != nil {
					t.Fatal(err)
				}
			}
			two := start(t, cfg2)
			two.awaitTasks(testTasks / 2)
			two.awaitStandbys(testTasks / 2)
			one.halt()
			two.awaitTasks(testTasks)
			two.halt()
			c.checkStore(cfg2)
		})
	}
}

// A standby copy never takes over what its changelog does not say is committed.
func TestStandbyReadsCommittedOnly(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	client := c.newClient(kgo.TransactionalID("other"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	cfg := c.config(newStore(t))
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i, commit := range []bool{true, false, true} {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(c.ctx, &kgo.Record{Topic: testChangelog, Partition: 1, Key: []byte{byte('a' + i)}, Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		endTransaction(t, client, commit)
	}
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(c.ctx, &kgo.Record{Topic: testChangelog, Partition: 1, Key: []byte("open"), Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	p.standbys.decide(0, map[int32]bool{1: false})
	r := &running{Processor: p, t: t, done: make(chan struct{})}
	done := make(chan error)
	ctx, stop := context.WithCancel(c.ctx)
	go func() { done <- p.standbys.run(ctx) }()
	r.awaitStandbys(1)
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	endTransaction(t, client, false)
	if got := contents(t, cfg.Store, 1); len(got) != 2 || got["a"] == "" || got["c"] == "" {
		t.Errorf("the copy has %v", got)
	}
}
