package processor

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestCountsEveryRecordOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	store := newStore(t)
	c.feed(testInput, 10, 5)
	c.feed(testSingle, 3, 5)
	p := start(t, c.config(store))
	c.await(testOutput, 10*5*2+3*5)
	p.halt()
	c.checkInputs(10, 3, 5)
}

// checkInputs is checkCounts for keys in the input and singles in the single
// topic.
func (c *cluster) checkInputs(keys, singles, n int) {
	c.t.Helper()
	got := c.values(testOutput)
	for key := range got {
		if len(got[key]) != n {
			c.t.Errorf("%s was counted %v, want 1 to %d", key, got[key], n)
		}
	}
	if len(got) != 2*keys+singles {
		c.t.Errorf("%d keys were counted, want %d", len(got), 2*keys+singles)
	}
}

// A crash at any step, a restart with the same store and with an empty one: the
// outputs are those of a run without a crash.
func TestCrashAtEveryStep(t *testing.T) {
	for _, step := range Steps() {
		for _, empty := range []bool{false, true} {
			name := step.String()
			if empty {
				name += ", store lost"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c := newCluster(t)
				fs := vfs.NewMem()
				c.feed(testInput, 5, 3)
				cfg := c.config(openStore(t, fs))
				crash := once(2)
				cfg.MaxBatchRecords = 4
				cfg.Fault = func(s Step, _ []int32) error {
					if s == step && crash() {
						return errTest
					}
					return nil
				}
				if err := start(t, cfg).wait(); !errors.Is(err, errTest) {
					t.Fatalf("Run returned %v, want the crash", err)
				}
				cfg.afterCrash(t, fs, empty)
				c.feed(testInput, 5, 1)
				p := start(t, cfg)
				c.await(testOutput, 5*4*2)
				p.halt()
				c.checkCounts(5, 4, testInput, testCommands)
			})
		}
	}
}

// Two processes of two workers each crash again and again, wherever it comes,
// while records arrive and tasks move.
func TestManyCrashes(t *testing.T) {
	t.Parallel()
	const keys, rounds = 8, 3
	c := newCluster(t)
	rng := rand.New(rand.NewPCG(1, 2))
	configs := []Config{c.config(newStore(t)), c.second(t, c.config(nil))}
	runs := make([]*running, len(configs))
	boot := func(i int, crash bool) {
		cfg := configs[i]
		cfg.Threads, cfg.MaxBatchRecords, cfg.TransactionTimeout = 2, 5, time.Second
		cfg.SessionTimeout = time.Second
		if crash {
			step, due := Steps()[rng.IntN(len(Steps()))], once(1+rng.IntN(4))
			cfg.Fault = func(s Step, _ []int32) error {
				if s == step && due() {
					return errTest
				}
				return nil
			}
		}
		runs[i] = start(t, cfg)
	}
	for i := range configs {
		boot(i, true)
	}
	for range rounds {
		c.feed(testInput, keys, 2)
		var crashed int
		select {
		case <-runs[0].done:
			crashed = 0
		case <-runs[1].done:
			crashed = 1
		case <-c.ctx.Done():
			t.Fatal("no process crashes")
		}
		if err := runs[crashed].err; !errors.Is(err, errTest) {
			t.Fatalf("Run returned %v, want the crash", err)
		}
		boot(crashed, true)
	}
	for i := range configs {
		runs[i].stop()
		if err := runs[i].wait(); err != nil && !errors.Is(err, errTest) {
			t.Fatalf("Run returned %v", err)
		}
		boot(i, false)
	}
	c.await(testOutput, keys*rounds*2*2)
	for i := range configs {
		runs[i].halt()
	}
	c.checkCounts(keys, rounds*2, testInput, testCommands)
}
