package processor

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"handprint/processor/clocktest"
)

// While another task of the worker keeps up, a task that is flooded has a slice of
// each transaction and no more. The handler moves the clock, so nothing depends on
// how fast the machine is.
func TestAFloodOfOneTaskLeavesTheOthersTheirTurns(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	byHand := c.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	send := func(partition int32, key, value string, n int) {
		var records []*kgo.Record
		for i := range n {
			records = append(records, &kgo.Record{Topic: testInput, Partition: partition, Key: []byte(key), Value: fmt.Appendf(nil, "%s %d", value, i)})
		}
		if err := byHand.ProduceSync(c.ctx, records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	const flood, slow = 300, 5 * time.Millisecond
	cfg := c.config(newStore(t))
	cfg.TurnRecords = 0 // the default: all that there is
	clock := clocktest.New(time.Unix(1e9, 0))
	began := clock.Now()
	cfg.Clock = clock
	var mu sync.Mutex
	slices := map[time.Time]time.Duration{} // what the handler took in each batch
	cfg.NewHandler = func(task Task) (Handler, error) {
		return &emitter{counter{task}, func(ctx *Context, r *kgo.Record) error {
			if string(r.Key) == "flood" && r.Topic == testInput {
				clock.Advance(slow)
				mu.Lock()
				slices[ctx.Now()] += slow
				mu.Unlock()
			}
			return nil
		}}, nil
	}
	p := start(t, cfg)
	send(0, "quiet", "q", 1)
	c.await(testOutput, 2)   // the record, and the command that it leads to
	send(0, "quiet", "r", 1) // it has caught up, and has input again
	c.await(testOutput, 4)
	send(1, "flood", "f", flood)
	c.await(testOutput, 4+2*flood)
	p.halt()
	c.checkStore(cfg)
	mu.Lock()
	defer mu.Unlock()
	shared, long := 0, 0
	for at, took := range slices {
		if at.Sub(began) >= keepsUpFor {
			continue
		}
		shared++
		if took > fairSlice+slow { // what it is is known only after the first one
			long++
		}
		if took > maxSlices*fairSlice+slow || long > 2 {
			t.Errorf("a batch had %s of the flood while another task kept up, want %s at most", took, fairSlice+slow)
		}
	}
	if want := int(keepsUpFor / (fairSlice + slow) / 2); shared < want {
		t.Errorf("the flood was in %d batches while another task kept up, want %d at least", shared, want)
	}
}

// A task that has come to the end of a backlog and gets nothing but commands, which
// the tasks that are behind send it, does not cut their transactions into slices. The
// handler moves the clock.
func TestCommandsAloneCutNoTransaction(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	byHand := c.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	const behind, flood, slow = testTasks - 1, 200, 5 * time.Millisecond // commands go to task 0
	send := func(partition int32, n int) {
		var records []*kgo.Record
		for i := range n {
			records = append(records, &kgo.Record{Topic: testInput, Partition: partition, Key: []byte("k"), Value: fmt.Append(nil, i)})
		}
		if err := byHand.ProduceSync(c.ctx, records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	cfg := c.config(newStore(t))
	cfg.TurnRecords = 0 // the default: all that there is
	clock := clocktest.New(time.Unix(1e9, 0))
	cfg.Clock = clock
	var longest, took time.Duration
	var batch time.Time
	cfg.NewHandler = func(task Task) (Handler, error) {
		return &emitter{counter{task}, func(ctx *Context, r *kgo.Record) error {
			if task.Partition != behind || r.Topic != testInput {
				return nil
			}
			if now := ctx.Now(); now != batch {
				batch, took = now, 0
			}
			clock.Advance(slow)
			took += slow
			longest = max(longest, took)
			return nil
		}}, nil
	}
	p := start(t, cfg)
	send(0, 1) // its end
	c.await(testOutput, 2)
	for i := range 3 {
		send(behind, 1)
		c.await(testOutput, 2+2*(i+1))
	}
	send(behind, flood)
	c.await(testOutput, 8+2*flood)
	p.halt()
	c.checkStore(cfg)
	if least := maxSlices*fairSlice + 2*slow; longest <= least {
		t.Errorf("the longest batch took %s beside a task that has commands only, want more than %s", longest, least)
	}
}

// What is left of a task's input is not forgotten when a batch has nothing but commands of
// the task: it has not come to its end, and keeps up with nothing when it goes on.
func TestCommandsSayNothingOfTheInput(t *testing.T) {
	const turn, commands = 4000, "commands"
	for _, rest := range []int64{maxMarkers + 1, turn - 1, turn, 10 * turn} {
		one := &task{inputs: inputs{list: []input{{Position: Position{Topic: testInput}}, {Position: Position{Topic: commands}}}}}
		one.state.Store(TaskRunning)
		one.load.rest = rest
		cfg := &Config{Inputs: []string{testInput}, Commands: commands, TurnRecords: turn, MaxBatchRecords: turn, Clock: clocktest.New(time.Unix(1e9, 0))}
		b := &batch{w: &worker{cfg: cfg, tasks: map[int32]*task{0: one}}, tasks: []*task{one}, fetch: fetchFor(turn)}
		b.consumed = map[TopicPartition]int64{{commands, 0}: 7}
		b.ends = map[TopicPartition]int64{{commands, 0}: 7}
		b.noteLoads()
		if one.load.caughtUp {
			t.Errorf("a task with %d records left counts as one at the end of its input, after commands", rest)
		}
		b.consumed = map[TopicPartition]int64{{testInput, 0}: 9}
		b.ends = map[TopicPartition]int64{{testInput, 0}: 9 + 2*maxMarkers}
		b.noteLoads()
		if !one.load.keptUp.IsZero() {
			t.Errorf("a task with %d records left counts as one that keeps up when it goes on", rest)
		}
	}
}

// A task is told once that it has a backlog, and once that it has come to its end.
func TestTheEndsOfABacklogAreSeenOnce(t *testing.T) {
	const turn = 4000
	one := &task{inputs: inputs{list: []input{{Position: Position{Topic: testInput}}}}}
	one.state.Store(TaskRunning)
	cfg := &Config{Inputs: []string{testInput}, TurnRecords: turn, MaxBatchRecords: turn, Clock: clocktest.New(time.Unix(1e9, 0))}
	b := &batch{w: &worker{cfg: cfg, tasks: map[int32]*task{0: one}}, tasks: []*task{one}, fetch: fetchFor(turn)}
	for i, tt := range []struct {
		left        int64
		began, done bool
	}{{0, false, false}, {turn - 1, false, false}, {turn, true, false}, {9 * turn, false, false}, {turn - 1, false, false},
		{maxMarkers, false, true}, {0, false, false}, {turn, true, false}, {0, false, true}} {
		b.consumed = map[TopicPartition]int64{{testInput, 0}: 9}
		b.ends = map[TopicPartition]int64{{testInput, 0}: 9 + tt.left}
		one.load.began, one.load.done = false, false // rest has seen them
		b.noteLoads()
		if one.load.began != tt.began || one.load.done != tt.done {
			t.Errorf("batch %d, %d left: begun %v, done %v; want %v and %v", i, tt.left, one.load.began, one.load.done, tt.began, tt.done)
		}
	}
}

// Flooded tasks share the slice: none starves, whatever a record of another costs or
// how many it has, and each gets at least half of an equal share. The quiet task's
// record comes at once. The handler moves the clock.
func TestFloodedTasksShareTheSlice(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { shareTheSlice(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

func shareTheSlice(t *testing.T, draw *rand.Rand) {
	c := newCluster(t)
	floods := 1 + draw.IntN(testTasks-1)
	cost := make(map[int32]time.Duration)
	var records []*kgo.Record
	total := 0
	for p := int32(1); p <= int32(floods); p++ {
		cost[p] = time.Duration(400+draw.IntN(1100)) * time.Microsecond // less than a share of the slice
		// Enough for the whole time during which the quiet task counts as keeping up.
		n := int(keepsUpFor/cost[p]) + draw.IntN(100)
		total += n
		for i := range n {
			records = append(records, &kgo.Record{Topic: testInput, Partition: p, Key: fmt.Appendf(nil, "flood %d", p), Value: fmt.Append(nil, i)})
		}
	}
	byHand := c.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	cfg := c.config(newStore(t))
	cfg.TurnRecords = 0 // the default
	clock := clocktest.New(time.Unix(1e9, 0))
	began := clock.Now()
	cfg.Clock = clock
	sent := make(chan struct{})
	var mu sync.Mutex
	batches := map[time.Time]map[int32]time.Duration{}
	cfg.NewHandler = func(task Task) (Handler, error) {
		return &emitter{counter{task}, func(ctx *Context, r *kgo.Record) error {
			d, flooded := cost[task.Partition]
			if r.Topic != testInput || !flooded {
				return nil
			}
			<-sent // so every flood is there before the first is taken in
			clock.Advance(d)
			mu.Lock()
			defer mu.Unlock()
			if batches[ctx.Now()] == nil {
				batches[ctx.Now()] = map[int32]time.Duration{}
			}
			batches[ctx.Now()][task.Partition] += d
			return nil
		}}, nil
	}
	p := start(t, cfg)
	for i := range 2 { // it catches up, and has input again
		if err := byHand.ProduceSync(c.ctx, &kgo.Record{Topic: testInput, Partition: 0, Key: []byte("quiet"), Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		c.await(testOutput, 2*(i+1))
	}
	if err := byHand.ProduceSync(c.ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	close(sent)
	c.await(testOutput, 4+2*total)
	p.halt()
	c.checkStore(cfg)

	mu.Lock()
	defer mu.Unlock()
	got, all, long := map[int32]time.Duration{}, time.Duration(0), 0
	for at, took := range batches {
		if at.Sub(began) >= keepsUpFor {
			continue
		}
		sum, slack := time.Duration(0), time.Duration(0)
		for task, d := range took {
			got[task] += d
			sum += d
			slack += cost[task]
		}
		all += sum
		if sum > fairSlice+slack { // what a task is is known only after its first one
			long++
		}
		// One that was taken for keeping up may have several, and the slice comes after it.
		if sum > (maxSlices+1)*fairSlice+slack || long > 2*floods {
			t.Errorf("a batch had %v of floods while another task kept up, want %s and a record of each, or %d times that, at most", took, fairSlice, maxSlices+1)
		}
	}
	for task := range cost {
		// What the first batch has of one task alone does not count.
		if least := all/time.Duration(2*floods) - fairSlice; got[task] < least-maxSlices*fairSlice {
			t.Errorf("task %d had %s of %s, want %s at least; costs %v, %v", task, got[task], all, least, cost, got)
		}
	}
}

// With a record a transaction, tasks that are behind take turns of some records each: no
// task waits until all that a large fetch has brought of another is done.
func TestSmallTransactionsAreOfAllTasks(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	client := c.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(4<<10))
	const n, size = 1500, 500
	for p := range int32(testTasks) {
		var records []*kgo.Record
		for range n {
			records = append(records, &kgo.Record{Topic: testInput, Partition: p, Key: fmt.Append(nil, "k", p), Value: make([]byte, size)})
		}
		if err := client.ProduceSync(c.ctx, records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	cfg := c.config(newStore(t))
	cfg.MaxBatchRecords, cfg.TurnRecords, cfg.NewHandler = 1, 1, silent
	var mu sync.Mutex
	seen, commits, all := map[int32]bool{}, 0, make(chan struct{})
	cfg.OnCommit = func(commit Commit) {
		mu.Lock()
		defer mu.Unlock()
		before := len(seen)
		if before < testTasks {
			commits++
		}
		for tp := range commit.Consumed {
			if tp.Topic == testInput {
				seen[tp.Partition] = true
			}
		}
		if before < testTasks && len(seen) == testTasks {
			close(all)
		}
	}
	p := start(t, cfg)
	select {
	case <-all:
	case <-c.ctx.Done():
		t.Error("a task has nothing")
	}
	p.halt()
	mu.Lock()
	defer mu.Unlock()
	// A fetch of each, and one more that was under way.
	if most := (testTasks + 1) * 2 * minFetch / size; commits > most {
		t.Errorf("after %d transactions each task has had a record, want %d at most", commits, most)
	}
}

// Flooded tasks share a whole slice, however long the other tasks took.
func TestSharesOfASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tasks := rapid.IntRange(1, 20).Draw(t, "tasks")
		quiet := time.Duration(rapid.Int64Range(0, int64(maxSlices*fairSlice)).Draw(t, "quiet"))
		s, used := floodShares{tasks: tasks}, quiet
		for i := range tasks {
			until := s.next(used, 0, time.Minute)
			if share := until - used; share < fairSlice/time.Duration(tasks)-time.Microsecond {
				t.Fatalf("task %d of %d has %s of %s after %s of others", i, tasks, share, fairSlice, quiet)
			}
			used += time.Duration(rapid.Int64Range(0, int64(until-used)).Draw(t, "took"))
		}
		if used > quiet+fairSlice {
			t.Fatalf("together they had %s, want %s at most", used-quiet, fairSlice)
		}
		if until := (&floodShares{tasks: 1}).next(quiet, 0, quiet); until > quiet {
			t.Fatalf("a turn that has to end after %s goes on until %s", quiet, until)
		}
	})
}

// Only flooded tasks with records in a turn share its slice: none is kept for one that
// was in an earlier turn of the batch.
func TestOnlyTheTasksOfATurnShareItsSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &batch{w: &worker{cfg: &Config{TurnRecords: 1}}}
		var want int
		for p := range int32(rapid.IntRange(1, 6).Draw(t, "tasks")) {
			one := &task{partition: p}
			one.load.flooded = rapid.Bool().Draw(t, "flooded")
			b.tasks = append(b.tasks, one)
			parts := rapid.IntRange(0, 2).Draw(t, "parts")
			for range parts {
				b.turn.parts = append(b.turn.parts, fetched{task: one, records: make([]*kgo.Record, rapid.IntRange(0, 3).Draw(t, "records"))})
			}
			if one.load.flooded && parts > 0 {
				want++
			}
		}
		if got := b.floodsLast(); got != want {
			t.Fatalf("%d tasks share the slice, %d flooded ones are in the turn", got, want)
		}
		shares, quiet := 0, true
		for i, f := range b.turn.parts {
			if f.flooded != f.task.load.flooded || !f.flooded && !quiet {
				t.Fatalf("part %d, of task %d, is in its place as one that is flooded: %v", i, f.task.partition, f.flooded)
			}
			quiet = !f.flooded
			if f.flooded && (i == 0 || f.task != b.turn.parts[i-1].task) {
				shares++
			}
		}
		if shares != want {
			t.Fatalf("%d shares are dealt out, want %d", shares, want)
		}
	})
}

// While there is a flood, no partition gets more of a fetch than its part, unless that
// would be too little, and without one it gets what it always does.
func TestNoPartitionFillsAFetchWhileThereIsAFlood(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fetch := rapid.IntRange(1, 1<<30).Draw(t, "fetch")
		tasks := rapid.IntRange(0, 1000).Draw(t, "tasks")
		whole := int(fetchFor(rapid.IntRange(1, 1_000_000).Draw(t, "records")))
		if whole < minFetch || whole > wholeFetch {
			t.Fatalf("%d bytes, want %d to %d", whole, minFetch, wholeFetch)
		}
		if got := fetchBytes(false, int32(whole), fetch, tasks); int(got) != whole {
			t.Fatalf("%d bytes without a flood, want %d", got, whole)
		}
		got := int(fetchBytes(true, int32(whole), fetch, tasks))
		if got < min(minFairFetch, whole-1) || got >= whole {
			t.Fatalf("%d bytes, want %d to %d", got, minFairFetch, whole)
		}
		if got > minFairFetch && got*tasks > fetch {
			t.Fatalf("%d bytes for each of %d tasks are more than the %d of a fetch", got, tasks, fetch)
		}
	})
}

// The key that takes most of a task's time is named, with its share of it and
// what the task does, and no longer than keys may be shown.
func TestTheCostliestKeyIsNamed(t *testing.T) {
	var l taskLoad
	at := time.Unix(1e9, 0)
	l.show(at)
	long := make([]byte, 1000)
	for i := range long {
		long[i] = 0xff
	}
	for i := range 13_000 {
		l.spent(fmt.Appendf(nil, "attacker-%d", i), 10*time.Microsecond)
		l.spent(long, 40*time.Microsecond)
	}
	if l.shown.Load() != nil {
		t.Error("a load is shown before it is known")
	}
	at = at.Add(loadWindow)
	l.show(at)
	got := l.shown.Load()
	if got == nil || got.Records != 26_000/loadWindow.Seconds() || got.Busy != 0.13 {
		t.Fatalf("load %+v, want 5200 records a second and 0.13 of the time", got)
	}
	if len(got.Costliest) == 0 || len(got.Costliest) > 3*maxShownKey || got.Share < 0.75 || got.Share > 0.85 {
		t.Errorf("the costliest key is %q with %v of the time, want the long one with 0.8", got.Costliest, got.Share)
	}
}
