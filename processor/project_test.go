package processor

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

const testShown = "shown"

// projecting is a counter whose counts are outputs as well, and of which fail may
// make one fail.
type projecting struct {
	counter
	fail func() error
}

func (h *projecting) Project(key, value []byte) (topic string, k, v []byte, err error) {
	if bytes.HasPrefix(key, []byte("flip/")) {
		return "", nil, nil, fmt.Errorf("%q was not marked", key)
	}
	if err := h.fail(); err != nil {
		return "", nil, nil, err
	}
	return testShown, key, value, nil
}

func (h *projecting) ProjectKey(key []byte) (topic string, k []byte, err error) {
	return testShown, key, nil
}

// What a transaction has changed in the store is an output as it is at its end:
// of a key the last record has the last value, there is one for each changelog
// record of a key that was marked, and none of a transaction that failed.
func TestChangesAreOutputs(t *testing.T) {
	for _, c := range []struct {
		name   string
		fail   func() error // once
		aborts int64
	}{
		{"no failure", func() error { return nil }, 0},
		{"an error", func() error { return errTest }, 1},
		{"a panic", func() error { panic("poison") }, 1},
	} {
		fail, aborts := c.fail, c.aborts
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, kfake.SeedTopics(testTasks, testShown))
			const keys, n = 3, 40
			c.feed(testInput, keys, n)
			cfg := c.config(newStore(t))
			cfg.MaxBatchRecords = 20
			var asked atomic.Int64
			cfg.NewHandler = func(task Task) (Handler, error) {
				return &projecting{counter{task}, func() error {
					if asked.Add(1) == 5 {
						return fail()
					}
					return nil
				}}, nil
			}
			p := start(t, cfg)
			c.await(testOutput, keys*n*2)
			p.halt()
			c.checkCounts(keys, n, testInput, testCommands)
			c.checkStore(cfg)

			changes := make(map[string][]string)
			for key, values := range c.values(testChangelog) {
				if !bytes.HasPrefix([]byte(key), []byte("flip/")) {
					changes[key] = values
				}
			}
			if len(changes) != keys*2 {
				t.Errorf("%d keys have changed", len(changes))
			}
			if shown := c.values(testShown); fmt.Sprint(shown) != fmt.Sprint(changes) {
				t.Errorf("shown %q, changed %q", shown, changes)
			}
			if got := p.Status().Counters.Aborts; got != aborts {
				t.Errorf("%d batches failed, want %d", got, aborts)
			}
		})
	}
}
