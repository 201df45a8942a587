package processor

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"pgregory.net/rapid"

	"handprint/internal/unpack"
	"handprint/processor/clocktest"
	"handprint/state"
)

// sendTo sends records of one key to a partition of the input, in small batches.
func (c *cluster) sendTo(partition int32, n int) {
	c.t.Helper()
	client := c.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	const batch = 10
	for from := 0; from < n; from += batch {
		var records []*kgo.Record
		for i := from; i < min(n, from+batch); i++ {
			records = append(records, &kgo.Record{Topic: testInput, Partition: partition, Key: fmt.Append(nil, "k", partition), Value: fmt.Append(nil, i)})
		}
		if err := client.ProduceSync(c.ctx, records...).FirstErr(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// fetchLittle has each fetch bring a batch or two of each partition.
func (c *cluster) fetchLittle() {
	c.ControlKey(int16(kmsg.Fetch), func(in kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		topics := in.(*kmsg.FetchRequest).Topics
		for i := range topics {
			for j := range topics[i].Partitions {
				topics[i].Partitions[j].PartitionMaxBytes = 1
			}
		}
		return nil, nil, false
	})
}

// silent has a handler that sends no commands, so that input alone is behind.
func silent(task Task) (Handler, error) { return &quietCounter{counter{task}}, nil }

type quietCounter struct{ counter }

func (h *quietCounter) Process(c *Context, r *kgo.Record) error {
	return h.count(c, r.Topic+"/"+string(r.Key), r)
}

// The client reads one of the tasks that are behind, the one whose last turn is the longest
// ago. It also reads each task that has waited for maxPaused, and each that keeps up.
func TestTasksThatAreBehindTakeTurns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const turn = 10
		clock := clocktest.New(time.Unix(1e9, 0))
		stall := time.Duration(rapid.SampledFrom([]int{0, 8, 3600}).Draw(t, "stall")) * time.Second
		b := &batch{w: &worker{cfg: &Config{TurnRecords: turn, StallTimeout: stall, Clock: clock}, tasks: map[int32]*task{}}}
		behind := 0
		for p := range int32(rapid.IntRange(0, 8).Draw(t, "tasks")) {
			one := &task{partition: p}
			one.state.Store(TaskRunning)
			one.load.rest = rapid.Int64Range(0, 2*turn).Draw(t, "rest")
			one.load.served = clock.Now().Add(-time.Duration(rapid.IntRange(0, 7000).Draw(t, "ago")) * time.Millisecond)
			if one.load.rest >= turn {
				behind++
			}
			b.w.tasks[p] = one
		}
		paused := b.pausable()
		read := 0
		for _, one := range b.w.tasks {
			ago := clock.Now().Sub(one.load.served)
			wait := time.Duration(maxPaused)
			if stall == 8*time.Second {
				wait = time.Second
			}
			switch {
			case one.load.rest < turn && paused[one]:
				t.Fatalf("task %d is paused, but not behind", one.partition)
			case ago >= wait && paused[one]:
				t.Fatalf("task %d is paused, and was read %s ago", one.partition, ago)
			case one.load.rest < turn:
			case !paused[one]:
				read++
				if ago < wait {
					for _, other := range b.w.tasks {
						if other.load.rest >= turn && other.load.served.Before(one.load.served) {
							t.Fatalf("task %d is read before task %d, whose turn is longer ago", one.partition, other.partition)
						}
					}
				}
			}
		}
		if behind > 0 && read == 0 {
			t.Fatalf("none of %d tasks that are behind is read", behind)
		}
	})
}

// Between two transactions no task is paused whose last turn was longer ago than a task
// may wait. The handler moves the clock, so that tasks wait for long.
func TestNoTaskWaitsLongForItsTurn(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.fetchLittle()
	const n, turn, most = 400, 4, 64
	for p := range int32(testTasks) {
		c.sendTo(p, n)
	}
	cfg := c.config(newStore(t))
	cfg.TurnRecords, cfg.MaxBatchRecords = turn, most
	clock := clocktest.New(time.Unix(1e9, 0))
	const wait = time.Second // less than the transactions of the other tasks take
	cfg.Clock, cfg.StallTimeout = clock, pausedShare*wait
	cfg.NewHandler = func(task Task) (Handler, error) {
		return &slowCounter{quietCounter{counter{task}}, clock}, nil
	}
	served := make(map[int32]time.Time)
	waits, began := 0, make(chan struct{})
	var p *running
	cfg.OnCommit = func(commit Commit) { // on the goroutine of the only worker
		<-began
		for tp := range commit.Consumed {
			if tp.Topic == testInput {
				served[tp.Partition] = clock.Now()
			}
		}
		for paused := range p.workers[commit.Worker].batch.paused {
			waits++
			if at, ok := served[paused.partition]; ok && clock.Now().Sub(at) > wait {
				t.Errorf("task %d is paused, though its last turn was %s ago", paused.partition, clock.Now().Sub(at))
			}
		}
	}
	p = start(t, cfg)
	close(began)
	c.await(testOutput, testTasks*n)
	p.halt()
	if waits == 0 {
		t.Error("no task was ever paused")
	}
}

// slowCounter takes 50 ms for a record.
type slowCounter struct {
	quietCounter
	clock *clocktest.Clock
}

func (h *slowCounter) Process(c *Context, r *kgo.Record) error {
	h.clock.Advance(50 * time.Millisecond)
	return h.quietCounter.Process(c, r)
}

// Tasks whose turn it is, but that have nothing left but records of an aborted
// transaction, do not keep another from its own.
func TestATurnWithoutRecordsIsOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.fetchLittle()
	const n, turn = 300, 4
	cfg := c.config(newStore(t))
	cfg.TurnRecords, cfg.MaxBatchRecords, cfg.NewHandler = turn, 40, silent
	cfg.Clock = clocktest.New(time.Unix(1e9, 0)) // no wait is ever over
	for p := range int32(testTasks - 1) {
		c.sendTo(p, turn)
		c.aborted(p, 20*turn)
	}
	c.sendTo(testTasks-1, n)
	p := start(t, cfg)
	c.await(testOutput, n+turn*(testTasks-1))
	p.halt()
	c.checkStore(cfg)
}

// aborted writes records to a partition of the input that no reader will see.
func (c *cluster) aborted(partition int32, n int) {
	c.t.Helper()
	client := c.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("aborts"))
	if err := client.BeginTransaction(); err != nil {
		c.t.Fatal(err)
	}
	for range n {
		client.Produce(c.ctx, &kgo.Record{Topic: testInput, Partition: partition, Key: []byte("aborted")}, nil)
	}
	if err := client.Flush(c.ctx); err != nil {
		c.t.Fatal(err)
	}
	if err := client.EndTransaction(context.WithoutCancel(c.ctx), kgo.TryAbort); err != nil {
		c.t.Fatal(err)
	}
}

// A partition whose fetches fail does not keep the input of the other tasks paused.
func TestAPartitionThatFailsPausesNoOther(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.fetchLittle()
	const n = 400
	for p := range int32(testTasks) {
		c.sendTo(p, n)
	}
	cfg := c.config(newStore(t))
	cfg.TurnRecords, cfg.MaxBatchRecords, cfg.NewHandler = 4, 20, silent
	cfg.Clock = clocktest.New(time.Unix(1e9, 0)) // no wait is ever over
	var once sync.Once
	var mu sync.Mutex
	done := map[int32]int64{}
	told := sync.NewCond(&mu)
	cfg.OnCommit = func(commit Commit) {
		mu.Lock()
		defer mu.Unlock()
		for tp, next := range commit.Consumed {
			if tp.Topic != testInput {
				continue
			}
			if done[tp.Partition] = next; tp.Partition == 0 {
				once.Do(func() {
					c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: testInput, Partitions: []int32{0}, Count: -1})
				})
			}
		}
		told.Broadcast()
	}
	p := start(t, cfg)
	context.AfterFunc(c.ctx, told.Broadcast)
	mu.Lock()
	for p := int32(1); p < testTasks; p++ {
		for done[p] < n && c.ctx.Err() == nil {
			told.Wait()
		}
		if done[p] < n {
			t.Errorf("task %d has read %d of %d records beside a partition that fails", p, done[p], n)
		}
	}
	mu.Unlock()
	p.halt()
}

// A batch that is too large to unpack is dropped, also if its partition is paused between
// its fetch and its poll.
func TestALargeBatchOfAPausedTaskIsDropped(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.fetchLittle()
	const n, before = 900, 300
	c.sendTo(0, before)
	c.bomb(testInput, 0, 1, 10*testUnpacked)
	c.sendTo(0, n)
	for p := int32(1); p < testTasks; p++ {
		c.sendTo(p, n)
	}
	cfg := c.config(newStore(t))
	cfg.MaxBatchUnpacked, cfg.TurnRecords, cfg.MaxBatchRecords, cfg.StallTimeout = testUnpacked, 10, 40, 0
	cfg.NewHandler = func(task Task) (Handler, error) { return &quietDropper{quietCounter{counter{task}}}, nil }
	p := start(t, cfg)
	c.await(testOutput, before+testTasks*n+1)
	p.halt()
	c.checkStore(cfg)
}

// quietDropper says what it drops.
type quietDropper struct{ quietCounter }

func (h *quietDropper) Dropped(c *Context, b unpack.Batch) error {
	c.Emit(&kgo.Record{Topic: testOutput, Key: []byte("dropped"), Value: fmt.Appendf(nil, "%s %d", b.Topic, b.First)})
	return nil
}

// A task that keeps up never rests, however far another is behind; one that waits for its
// turn does.
func TestOnlyATaskThatWaitsRests(t *testing.T) {
	s, err := state.Open("store", state.Options{FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	b := &batch{w: &worker{cfg: &Config{}, tasks: map[int32]*task{}}, paused: map[*task]bool{}}
	for p := range int32(2) {
		one := &task{partition: p}
		one.state.Store(TaskRunning)
		tx := s.Partition(p).WriteBack()
		one.context.txn, b.w.tasks[p] = tx, one
		const keys = 80_000 // some 20 MiB
		key := func(k int) []byte { return fmt.Appendf(nil, "key %d", k) }
		for k := range keys {
			tx.Put(key(k), bytes.Repeat([]byte{byte(k)}, 150))
		}
		if err := tx.Commit(state.Checkpoint{Offset: 1, At: time.Unix(1e9, 0)}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			for k := range keys {
				if _, err := tx.Get(key(k)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	b.paused[b.w.tasks[1]] = true
	if err := b.rest(); err != nil {
		t.Fatal(err)
	}
	// A commit a minute later waits until what is under way is written.
	rests := b.w.tasks[1].context.txn
	if err := rests.Commit(state.Checkpoint{Offset: 2, At: time.Unix(1e9+60, 0)}); err != nil {
		t.Fatal(err)
	}
	if err := b.land(); err != nil {
		t.Fatal(err)
	}
	if n := rests.Remembered(); n > 1<<20 {
		t.Errorf("the task that waits does not rest: it remembers %d bytes", n)
	}
	if n := b.w.tasks[0].context.txn.Remembered(); n < 16<<20 {
		t.Errorf("the task that keeps up remembers %d bytes", n)
	}
	for _, one := range b.w.tasks {
		if err := one.context.txn.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
