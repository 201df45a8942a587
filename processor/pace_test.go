package processor

import (
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"handprint/processor/clocktest"
)

// A turn has between one record and the configured number, halves after a failure
// and has its full size again after enough batches that were committed in time.
func TestPaceProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{TurnRecords: rapid.IntRange(1, 10_000).Draw(t, "turn"), MaxBatchRecords: rapid.IntRange(1, 100_000).Draw(t, "batch")}
		p := newPace(&cfg)
		limit := min(cfg.TurnRecords, cfg.MaxBatchRecords)
		for range rapid.IntRange(0, 50).Draw(t, "events") {
			before := p.records
			switch rapid.IntRange(0, 2).Draw(t, "event") {
			case 0:
				p.failed(int64(before))
				if p.records != max(1, before/2) {
					t.Fatalf("%d records after a failure with %d", p.records, before)
				}
			case 1:
				p.ended(rapid.IntRange(1, before).Draw(t, "after"))
			case 2:
				took := time.Duration(rapid.IntRange(0, 20).Draw(t, "took")) * time.Second
				p.committed(took, 10*time.Second, true)
			}
			if p.records < 1 || p.records > limit {
				t.Fatalf("%d records of at most %d", p.records, limit)
			}
		}
		for range carefulBatches + 20 {
			p.committed(time.Millisecond, 10*time.Second, true)
		}
		if p.records != limit || p.careful != 0 {
			t.Fatalf("%d records and %d careful batches after many that were in time, want %d", p.records, p.careful, limit)
		}
	})
}

// Records that take so long that a full turn of them would outlast its transaction
// are committed in smaller batches, without a failure, and each once. The handler
// moves the clock, so nothing depends on how fast the machine is.
func TestSlowRecordsEndATurnEarly(t *testing.T) {
	for name, test := range map[string]struct {
		slow    time.Duration
		records int64 // of a batch, at most: those that fit into the time, and one
	}{
		"many for each batch": {20 * time.Millisecond, 51},
		"few":                 {400 * time.Millisecond, 4},
		"one":                 {5 * time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			const keys, n = 3, 40
			c.feed(testInput, keys, n)
			cfg := c.config(newStore(t))
			cfg.TurnRecords = 0 // the default: all that there is
			clock := clocktest.New(time.Unix(1e9, 0))
			cfg.Clock = clock
			cfg.NewHandler = func(task Task) (Handler, error) {
				return &emitter{counter{task}, func(*Context, *kgo.Record) error {
					clock.Advance(test.slow)
					return nil
				}}, nil
			}
			var mu sync.Mutex
			cfg.Hooks.Batch = func(r BatchReport) {
				mu.Lock()
				defer mu.Unlock()
				if r.Records > test.records {
					t.Errorf("a batch of %d records, want at most %d", r.Records, test.records)
				}
			}
			p := start(t, cfg)
			c.await(testOutput, keys*n*2)
			p.halt()
			c.checkCounts(keys, n, testInput, testCommands)
			c.checkStore(cfg)
			if got := p.Status().Counters; got.Aborts != 0 || got.Rejoins != 0 {
				t.Errorf("%d batches failed, in %d more sessions", got.Aborts, got.Rejoins)
			}
		})
	}
}
