package processor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"
)

// behind returns a configuration with which a worker that is behind has many turns
// in a transaction, and sends what each has put out; and the number of turns of
// the batch in hand, for what the worker calls. From the second on there is a
// transaction.
func (c *cluster) behind() (cfg Config, turns *int) {
	cfg, turns = c.config(newStore(c.t)), new(int)
	cfg.TurnRecords, cfg.MaxBatchRecords = 4, 64
	cfg.Fault = func(s Step, _ []int32) error {
		if s == AfterPoll {
			*turns++
		}
		return nil
	}
	cfg.Hooks.Batch = func(BatchReport) { *turns = 0 }
	return cfg, turns
}

// remembering counts keys, emits the counts, and keeps them in memory until Flush.
type remembering struct{ counts map[string]int }

func (h *remembering) Process(c *Context, r *kgo.Record) error {
	key := testInput + "/" + string(r.Key)
	if _, known := h.counts[key]; !known {
		v, err := c.Store().Get([]byte(key))
		if err != nil {
			return err
		}
		h.counts[key] = len(v)
	}
	h.counts[key]++
	c.EmitTo(testOutput, c.Copy([]byte(key)), c.Copy(fmt.Append(nil, h.counts[key])))
	return nil
}

func (h *remembering) Flush(c *Context) error {
	for key, n := range h.counts {
		c.Store().Put([]byte(key), make([]byte, n))
	}
	return nil
}

func (h *remembering) Reset() { clear(h.counts) }

// A batch that goes back when some of its outputs have been sent aborts them, and
// goes on in the same session; what handlers have in memory goes back with it.
func TestABatchGoesBackWithItsTransaction(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const keys, n, most = 2, 200, 3
	c.feed(testInput, keys, n)
	cfg, turns := c.behind()
	refused := 0
	cfg.Prepare = func(context.Context, *kgo.Record) error {
		if *turns < 2 || refused == most {
			return nil
		}
		refused++
		return errors.New("not yet")
	}
	cfg.NewHandler = func(Task) (Handler, error) { return &remembering{make(map[string]int)}, nil }
	p := start(t, cfg)
	c.await(testOutput, keys*n)
	p.halt()
	c.checkCounts(keys, n, testInput)
	c.checkStore(cfg)
	if got := p.Status().Counters; refused != most || got.Aborts != most || got.Rejoins != 0 {
		t.Errorf("%d batches went back, %d transactions were aborted in %d more sessions; want %d, %d, 0", refused, got.Aborts, got.Rejoins, most, most)
	}
}

// A processor that is told to stop between two turns commits the ones that were.
func TestStopBetweenTurns(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const keys, n = 2, 200
	c.feed(testInput, keys, n)
	cfg, turns := c.behind()
	count, told, stopped := cfg.Fault, make(chan struct{}), make(chan struct{})
	tell := sync.OnceFunc(func() { close(told); <-stopped })
	cfg.Fault = func(s Step, tasks []int32) error {
		if s == AfterPoll && *turns == 2 {
			tell()
		}
		return count(s, tasks)
	}
	p := start(t, cfg)
	<-told
	p.stop()
	close(stopped)
	if err := p.wait(); err != nil {
		t.Fatalf("a clean stop returned %v", err)
	}
	if got := p.Status().Counters.Aborts; got != 0 {
		t.Errorf("%d batches were aborted", got)
	}
	cfg.Fault = nil
	p = start(t, cfg)
	c.await(testOutput, keys*n*2)
	p.halt()
	c.checkCounts(keys, n, testInput, testCommands)
	c.checkStore(cfg)
}

// A crash between two turns leaves outputs in a transaction that nobody has ended:
// they are never seen, whether the store is still there or not.
func TestCrashBetweenTurns(t *testing.T) {
	for _, step := range []Step{AfterPoll, AfterProcess} {
		for name, empty := range map[string]bool{"": false, ", store lost": true} {
			t.Run(step.String()+name, func(t *testing.T) {
				t.Parallel()
				c := newCluster(t)
				const keys, n = 2, 100
				c.feed(testInput, keys, n)
				fs := vfs.NewMem()
				cfg, turns := c.behind()
				cfg.Store = openStore(t, fs)
				count := cfg.Fault
				cfg.Fault = func(s Step, tasks []int32) error {
					if s == step && *turns >= 2 {
						return errors.Join(errTest, c.awaitOpen(testOutput))
					}
					return count(s, tasks)
				}
				if err := start(t, cfg).wait(); !errors.Is(err, errTest) {
					t.Fatalf("Run returned %v, want the crash", err)
				} else if errors.Is(err, context.DeadlineExceeded) {
					t.Fatal("nothing was sent before the crash")
				}
				if open, err := c.open(testOutput); err != nil || !open {
					t.Errorf("the crash ended the transaction (%v)", err)
				}
				cfg.afterCrash(t, fs, empty)
				p := start(t, cfg)
				c.await(testOutput, keys*n*2)
				p.halt()
				c.checkCounts(keys, n, testInput, testCommands)
				c.checkStore(cfg)
			})
		}
	}
}
