package processor

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"handprint/processor/clocktest"
)

// A worker that is behind adds turns to its transaction, up to the bound; what
// changed in several of them goes to the changelog once.
func TestATransactionHasSeveralTurns(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const keys, n, turn, most = 3, 200, 4, 50
	c.feed(testInput, keys, n)
	cfg := c.config(newStore(t))
	cfg.TurnRecords, cfg.MaxBatchRecords = turn, most
	var mu sync.Mutex
	var longest, inLong, changes int64
	cfg.Hooks.Batch = func(r BatchReport) {
		mu.Lock()
		defer mu.Unlock()
		longest = max(longest, r.Records)
		if r.Records > turn && r.Outcome == Committed {
			inLong, changes = inLong+r.Records, changes+r.Changes
		}
	}
	p := start(t, cfg)
	c.await(testOutput, keys*n*2)
	p.halt()
	c.checkCounts(keys, n, testInput, testCommands)
	c.checkStore(cfg)
	mu.Lock()
	defer mu.Unlock()
	if longest <= turn || longest > most {
		t.Errorf("a transaction has %d records at most, want more than a turn of %d and no more than %d", longest, turn, most)
	}
	if inLong == 0 || changes >= inLong {
		t.Errorf("%d changes for %d records of few keys", changes, inLong)
	}
}

// Each transaction of a worker that is behind has twice the records of the one
// before at most, from one turn on; so has the first one after it has caught up,
// and the first ones after a failure.
func TestTransactionsGrow(t *testing.T) {
	for name, failing := range map[string]bool{"from the start": false, "after a failure": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			const keys, n, turn, most = 1, 900, 4, 200
			c.feed(testInput, keys, n)
			cfg := c.config(newStore(t))
			cfg.TurnRecords, cfg.MaxBatchRecords = turn, most
			fail := once(500)
			cfg.NewHandler = func(task Task) (Handler, error) {
				return &emitter{counter{task}, func(*Context, *kgo.Record) error {
					if failing && fail() {
						return errTest
					}
					return nil
				}}, nil
			}
			var mu sync.Mutex
			told := sync.NewCond(&mu)
			var sizes []int64 // of transactions; 0: one that failed
			var done int64
			cfg.Hooks.Batch = func(r BatchReport) {
				mu.Lock()
				defer mu.Unlock()
				if r.Outcome != Committed {
					r.Records = 0
				}
				sizes, done = append(sizes, r.Records), done+r.Records
				told.Broadcast()
			}
			drain := func(records int64) (transactions int) {
				c.await(testOutput, int(records))
				mu.Lock()
				defer mu.Unlock()
				for done < records {
					told.Wait()
				}
				return len(sizes)
			}
			p := start(t, cfg)
			caughtUp := drain(keys * n * 2) // each record leads to a command
			c.feed(testInput, keys, n)
			drain(2 * keys * n * 2)
			p.halt()

			allowed, longest, failed := int64(turn), int64(0), -1
			for i, size := range sizes {
				if i == caughtUp {
					allowed = turn
				}
				switch {
				case size == 0:
					allowed, failed = turn, i
				case size > min(allowed, most):
					t.Fatalf("transaction %d of %v has more than %d records", i, sizes, allowed)
				case failed >= 0 && i <= failed+carefulBatches: // it has one turn
				case size == allowed:
					allowed *= 2
				}
				longest = max(longest, size)
			}
			if longest <= 4*turn {
				t.Errorf("no transaction has grown: %v", sizes)
			}
			if failing == (failed < 0) {
				t.Errorf("the failure is not among %v", sizes)
			}
		})
	}
}

// A record that cannot be processed yet, in a turn that is not the first, is
// read again with all of its batch, of which nothing remains; until it can be,
// a batch has one turn, so that those before it get on.
func TestAnotherTurnCannotBePrepared(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const keys, n = 2, 60
	c.feed(testInput, keys, n)
	cfg := c.config(newStore(t))
	cfg.TurnRecords, cfg.MaxBatchRecords = 4, 40
	var refused atomic.Int64
	cfg.Prepare = func(_ context.Context, r *kgo.Record) error {
		if r.Topic == testInput && string(r.Value) == "30" && refused.Add(1) <= 6 {
			return errors.New("not yet")
		}
		return nil
	}
	p := start(t, cfg)
	c.await(testOutput, keys*n*2)
	p.halt()
	c.checkCounts(keys, n, testInput, testCommands)
	c.checkStore(cfg)
	if refused.Load() < 6 {
		t.Errorf("refused %d times", refused.Load())
	}
	if r := p.Status().Counters.Rejoins; r > 0 {
		t.Errorf("%d new sessions for a record that had to wait", r)
	}
}

// After a batch that could not be committed the next has one turn of half the size, as it may
// have been more than the brokers take in the time of a transaction.
func TestAFailedBatchIsTriedAgainInSmall(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const keys, n, turn = 1, 100, 4
	c.feed(testInput, keys, n)
	cfg := c.config(newStore(t))
	cfg.TurnRecords = turn
	fail := once(30)
	cfg.NewHandler = func(task Task) (Handler, error) {
		return &emitter{counter{task}, func(_ *Context, r *kgo.Record) error {
			if fail() {
				return errTest
			}
			return nil
		}}, nil
	}
	var mu sync.Mutex
	var failed bool
	cfg.Hooks.Batch = func(r BatchReport) {
		mu.Lock()
		defer mu.Unlock()
		if failed && r.Records > turn/2 {
			t.Errorf("a batch of %d records after one that failed", r.Records)
		}
		failed = r.Outcome != Committed
	}
	p := start(t, cfg)
	c.await(testOutput, keys*n*2)
	p.halt()
	c.checkCounts(keys, n, testInput, testCommands)
	if p.Status().Counters.Aborts != 1 {
		t.Errorf("%d batches failed, want 1", p.Status().Counters.Aborts)
	}
}

// A worker with slow handlers begins no turn that would leave its transaction too
// little time: none of them is over its time.
func TestSlowTurnsDoNotUseUpTheTransaction(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const n, slow = 70, 50 * time.Millisecond
	c.feed(testInput, 1, n)
	cfg := c.config(newStore(t))
	cfg.TurnRecords, cfg.MaxBatchRecords = 4, 64 // of which all would take 3 s
	cfg.TransactionTimeout = time.Second
	clock := clocktest.New(time.Unix(1e9, 0))
	cfg.Clock = clock
	var longest time.Duration // of one worker
	cfg.NewHandler = func(task Task) (Handler, error) {
		return &emitter{counter{task}, func(c *Context, r *kgo.Record) error {
			if r.Topic == testInput {
				clock.Advance(slow)
				longest = max(longest, clock.Now().Sub(c.Now()))
			}
			return nil
		}}, nil
	}
	p := start(t, cfg)
	c.await(testOutput, 2*n)
	p.halt()
	c.checkCounts(1, n, testInput, testCommands)
	if longest >= cfg.TransactionTimeout {
		t.Errorf("processing a batch took %s", longest)
	}
	if got := p.Status().Counters; got.Aborts != 0 || got.Rejoins != 0 {
		t.Errorf("%d batches failed, in %d more sessions", got.Aborts, got.Rejoins)
	}
}

// countsOnly is an emitter that sends no commands.
type countsOnly struct{ emitter }

func (h *countsOnly) Process(c *Context, r *kgo.Record) error {
	if err := h.before(c, r); err != nil {
		return err
	}
	return h.count(c, r.Topic+"/"+string(r.Key), r)
}

// A batch begins no turn that would use up its time if it took as long as the one before:
// what that turn would leave has to be read again, and all that was fetched with it.
func TestNoTurnIsBegunThatWouldBeEndedEarly(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const n, slow, turn = 40, maxProcessing / 10, 4
	c.feed(testInput, 1, n)
	cfg := c.config(newStore(t))
	cfg.TurnRecords, cfg.MaxBatchRecords = turn, 64
	clock := clocktest.New(time.Unix(1e9, 0))
	cfg.Clock = clock
	cfg.NewHandler = func(task Task) (Handler, error) {
		return &countsOnly{emitter{counter{task}, func(*Context, *kgo.Record) error {
			clock.Advance(slow)
			return nil
		}}}, nil
	}
	var mu sync.Mutex
	largest := int64(0)
	cfg.Hooks.Batch = func(r BatchReport) {
		mu.Lock()
		defer mu.Unlock()
		if largest = max(largest, r.Records); r.Records%turn != 0 {
			t.Errorf("a batch had %d records, turns have %d", r.Records, turn)
		}
	}
	p := start(t, cfg)
	c.await(testOutput, n)
	p.halt()
	c.checkStore(cfg)
	mu.Lock()
	defer mu.Unlock()
	if largest != 2*turn {
		t.Errorf("the largest batch had %d records, want two turns", largest)
	}
}

// The transactions that a task's input takes are of about the same size, in whole turns.
func TestTransactionsAreEven(t *testing.T) {
	for _, tt := range []struct {
		records     int64
		limit, turn int
		want        int
	}{
		{500_000, 160_000, 4000, 128_000},
		{160_000, 160_000, 4000, 160_000},
		{160_001, 160_000, 4000, 84_000},
		{100, 160_000, 4000, 4000},
		{0, 160_000, 4000, 4000},
		{10, 3, 4, 3},
		{7, 3, 2, 3}, // two turns would be more than the limit
	} {
		if got := evenShare(tt.records, tt.limit, tt.turn); got != tt.want {
			t.Errorf("of %d records, at most %d in a transaction, it has %d, want %d", tt.records, tt.limit, got, tt.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.Int64Range(1, 1<<24).Draw(t, "records")
		limit, turn := rapid.IntRange(1, 1<<18).Draw(t, "limit"), rapid.IntRange(1, 1<<13).Draw(t, "turn")
		each, fewest := int64(evenShare(records, limit, turn)), (records+int64(limit)-1)/int64(limit)
		if each < 1 || each > int64(limit) || each*fewest < records {
			t.Fatalf("%d transactions of %d for %d records, at most %d each", fewest, each, records, limit)
		}
	})
}
