package processor

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/processor/clocktest"
)

// awaitTasks waits until n tasks run, as far as their workers know. A worker that gets no
// answer from the group goes on showing its old tasks, whoever has them now.
func (r *running) awaitTasks(n int) {
	r.t.Helper()
	r.awaitStatus(func(s Status) bool {
		have := 0
		for _, t := range s.Tasks {
			if t.State == TaskRunning {
				have++
			}
		}
		return have == n
	})
}

// awaitStatus waits until the status is as it should be.
func (r *running) awaitStatus(good func(Status) bool) {
	r.t.Helper()
	deadline := time.NewTimer(testPatience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !good(r.Status()) {
		select {
		case <-tick.C:
		case <-r.done:
			r.t.Fatalf("the processor ended: %v", r.err)
		case <-deadline.C:
			r.t.Fatalf("it does not come to this: %+v", r.Status())
		}
	}
}

// second returns cfg for another process of the application.
func (c *cluster) second(t *testing.T, cfg Config) Config {
	cfg.InstanceID, cfg.Store = "two", newStore(t)
	return cfg
}

// A second process joins and the first one leaves, under load: nothing is lost
// and nothing is done twice, and each store is what its changelog says.
func TestTasksMoveBetweenProcesses(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	cfg.StaticMembership = false
	cfg.MaxBatchRecords = 7
	c.feed(testInput, 10, 5)
	one := start(t, cfg)
	c.await(testOutput, 10*5)
	cfg2 := c.second(t, cfg)
	two := start(t, cfg2)
	c.feed(testInput, 10, 5)
	one.awaitTasks(testTasks / 2)
	two.awaitTasks(testTasks / 2)
	c.feed(testInput, 10, 5)
	c.await(testOutput, 10*10)
	one.halt()
	two.awaitTasks(testTasks)
	c.feed(testInput, 10, 5)
	c.await(testOutput, 10*20*2)
	// And back: the first one's store is behind by now.
	cfg.InstanceID = "three" // of the same directory, but not the same member
	three := start(t, cfg)
	three.awaitTasks(testTasks / 2)
	two.halt()
	three.awaitTasks(testTasks)
	c.feed(testInput, 10, 1)
	c.await(testOutput, 10*21*2)
	three.halt()
	for _, p := range []*running{one, two, three} {
		if n := p.Status().Counters.Rejoins; n != 0 {
			t.Errorf("a rebalance made %s join again %d times", p.cfg.InstanceID, n)
		}
	}
	c.checkCounts(10, 21, testInput, testCommands)
	c.checkStore(cfg)
}

// checkStore fails unless the store of cfg holds what a store restored from the
// whole changelog holds, for every task.
func (c *cluster) checkStore(cfg Config) {
	c.t.Helper()
	for p := range cfg.Partitions {
		want := make(map[string]string)
		for _, r := range c.committed(testChangelog)[p] {
			if r.Value == nil {
				delete(want, string(r.Key))
			} else {
				want[string(r.Key)] = string(r.Value)
			}
		}
		if got := contents(c.t, cfg.Store, p); !maps.Equal(got, want) {
			c.t.Errorf("task %d: the store has %v, the changelog %v", p, got, want)
		}
	}
}

// Tasks move between the workers of one process, which share a store.
func TestTasksMoveBetweenWorkers(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	cfg.Threads = 3
	cfg.MaxBatchRecords = 5
	refuse := once(9)
	cfg.NewHandler = func(task Task) (Handler, error) {
		return &emitter{counter{task}, func(*Context, *kgo.Record) error {
			if refuse() {
				return errTest // a worker leaves and joins again
			}
			return nil
		}}, nil
	}
	cfg.StaticMembership = false
	c.feed(testInput, 10, 10)
	p := start(t, cfg)
	c.await(testOutput, 10*10*2)
	p.halt()
	c.checkCounts(10, 10, testInput, testCommands)
	c.checkStore(cfg)
}

// A member that is stalled with a batch in hand until the group has given its
// tasks to another must not commit that batch.
func TestStalledMemberDoesNotCommit(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	cfg.StaticMembership = false
	cfg.RebalanceTimeout = 500 * time.Millisecond
	c.feed(testInput, 5, 4)
	stalled, release := make(chan struct{}), make(chan struct{})
	stall := sync.OnceFunc(func() { close(stalled); <-release })
	cfg.NewHandler = func(task Task) (Handler, error) {
		return &emitter{counter{task}, func(*Context, *kgo.Record) error { stall(); return nil }}, nil
	}
	one := start(t, cfg)
	<-stalled
	cfg2 := c.second(t, cfg)
	cfg2.NewHandler = newCounter
	two := start(t, cfg2)
	c.await(testOutput, 5*4*2) // the other one has done it all
	close(release)
	c.feed(testInput, 5, 1)
	c.await(testOutput, 5*5*2)
	one.awaitTasks(testTasks / 2)
	two.awaitTasks(testTasks / 2)
	if n := one.Status().Counters.Aborts; n == 0 {
		t.Error("the stalled batch was not rolled back")
	}
	one.halt()
	two.halt()
	c.checkCounts(5, 5, testInput, testCommands)
}

// While a task restores, the others of its worker run; its records are neither
// processed nor committed until it has caught up.
func TestRestoreRunsApartFromProcessing(t *testing.T) {
	t.Parallel()
	const late = 2
	c := newCluster(t)
	writer := c.newClient(kgo.TransactionalID("former"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionTimeout(testPatience))
	if err := writer.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := writer.ProduceSync(c.ctx, &kgo.Record{Topic: testChangelog, Partition: late, Key: []byte("former"), Value: []byte("owner")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	manual := c.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for p := range int32(testTasks) {
		if err := manual.ProduceSync(c.ctx, &kgo.Record{Topic: testInput, Partition: p, Key: fmt.Appendf(nil, "key%d", p)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	cfg := c.config(newStore(t))
	p := start(t, cfg)
	p.awaitTasks(testTasks - 1)
	c.await(testOutput, 3+2) // the command to the late task waits as well
	p.awaitStatus(func(s Status) bool {
		return slices.ContainsFunc(s.Tasks, func(one TaskStatus) bool {
			return one.Partition == late && one.State == TaskRestoring && one.Restore != nil && one.Restore.Total == 1
		})
	})
	offsets, err := kadm.NewClient(c.client).FetchOffsets(c.ctx, cfg.ApplicationID)
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := offsets.Lookup(testInput, late); ok && o.At > 0 {
		t.Errorf("offset %d of the late task was committed", o.At)
	}
	endTransaction(t, writer, true)
	c.await(testOutput, 4*2)
	p.halt()
	if got := contents(t, cfg.Store, late); got["former"] != "owner" || len(got[testInput+"/key2"]) != 8 {
		t.Errorf("the late task's store has %v", got)
	}
	c.checkStore(cfg)
}

// A processor that is stopped while it restores ends at once.
func TestStopWhileRestoring(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	writer := c.newClient(kgo.TransactionalID("former"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionTimeout(testPatience))
	if err := writer.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := writer.ProduceSync(c.ctx, &kgo.Record{Topic: testChangelog, Partition: 1, Value: []byte("open")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	p := start(t, c.config(newStore(t)))
	p.awaitTasks(testTasks - 1)
	p.halt()
}

// What was aborted in an input is not read.
func TestAbortedInputIsNotRead(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	writer := c.newClient(kgo.TransactionalID("sensor"))
	for i, commit := range []bool{false, true, false, true} {
		if err := writer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := writer.ProduceSync(c.ctx, &kgo.Record{Topic: testInput, Key: []byte("key0"), Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		endTransaction(t, writer, commit)
	}
	p := start(t, c.config(newStore(t)))
	c.await(testOutput, 2*2)
	p.halt()
	c.checkCounts(1, 2, testInput, testCommands)
}

// No transaction commits anything without offsets, which are what fences a
// member that has lost its tasks; ticks go through the commands topic.
func TestEveryTransactionCarriesOffsets(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var mu sync.Mutex
	offsets := make(map[string]bool) // transactional ids with offsets in the open transaction
	commits := 0
	c.ControlKey(int16(kmsg.TxnOffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		offsets[r.(*kmsg.TxnOffsetCommitRequest).TransactionalID] = true
		return nil, nil, false
	})
	c.ControlKey(int16(kmsg.EndTxn), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		req := r.(*kmsg.EndTxnRequest)
		if req.Commit {
			commits++
			if !offsets[req.TransactionalID] {
				t.Error("a transaction without offsets was committed")
			}
		}
		delete(offsets, req.TransactionalID)
		return nil, nil, false
	})
	clock := clocktest.New(time.Unix(1e9, 0))
	cfg := c.config(newStore(t))
	cfg.Clock = clock
	cfg.TickInterval = time.Minute
	cfg.Tick = func(now time.Time) (key, value []byte) { return []byte("tick"), []byte(now.Format(time.RFC3339)) }
	p := start(t, cfg)
	p.awaitTasks(testTasks)
	clock.WaitTickers(2)
	for i := range 3 {
		clock.Advance(time.Minute)
		c.await(testOutput, (i+1)*testTasks)
	}
	p.halt()
	if got := c.values(testCommands)["tick"]; len(got) != 3*testTasks {
		t.Errorf("%d ticks were written, want %d", len(got), 3*testTasks)
	}
	for p, records := range c.committed(testCommands) {
		if len(records) != 3 {
			t.Errorf("task %d got %d ticks, want 3", p, len(records))
		}
	}
	if commits == 0 {
		t.Error("nothing was committed")
	}
	if s := p.Status(); s.Counters.Ticks != 3*testTasks {
		t.Errorf("%d ticks were counted", s.Counters.Ticks)
	}
}

// A worker that cannot reach the brokers for longer than its session lasts has
// lost its tasks by the time it can again.
func TestSessionTimesOut(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	cfg.StaticMembership = false
	cfg.SessionTimeout = 400 * time.Millisecond
	c.feed(testInput, 5, 2)
	var cut cutter
	cfg.Client = append(cfg.Client, kgo.Dialer(cut.dial))
	one := start(t, cfg)
	c.await(testOutput, 5*2*2)
	cut.cut()
	cfg2 := c.second(t, cfg)
	cfg2.Client = []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}
	two := start(t, cfg2)
	two.awaitTasks(testTasks)
	c.feed(testInput, 5, 2)
	c.await(testOutput, 5*4*2)
	cut.mend()
	one.awaitTasks(testTasks / 2)
	c.feed(testInput, 5, 2)
	c.await(testOutput, 5*6*2)
	one.halt()
	two.halt()
	c.checkCounts(5, 6, testInput, testCommands)
}

// The group's coordinator refuses a commit in the middle of a rebalance: the
// batch is done again.
func TestOffsetsRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.feed(testInput, 5, 4)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.IllegalGeneration})
	p := start(t, c.config(newStore(t)))
	c.await(testOutput, 5*4*2)
	p.halt()
	c.checkCounts(5, 4, testInput, testCommands)
	if n := p.Status().Counters.Aborts; n != 1 {
		t.Errorf("%d batches were rolled back, want 1", n)
	}
}
