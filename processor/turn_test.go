package processor

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A worker that is behind adds turns to its transaction, up to the bound; what
// changed in several of them goes to the changelog once.
func TestATransactionHasSeveralTurns(t *testing.T) {
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

// A record that cannot be processed yet, in a turn that is not the first, is
// read again with all of its batch, of which nothing remains; until it can be,
// a batch has one turn, so that those before it get on.
func TestAnotherTurnCannotBePrepared(t *testing.T) {
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

// After a batch that could not be committed the next has one turn, as it may
// have been more than the brokers take in the time of a transaction.
func TestAFailedBatchIsTriedAgainInSmall(t *testing.T) {
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
		if failed && r.Records > turn {
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
