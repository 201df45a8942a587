package processor

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/state"
)

// sighter counts in groups of keys, and says of each record which group it will read.
type sighter struct {
	counter
	asked *atomic.Int64
}

func (h *sighter) group(key []byte) []byte {
	g := make([]byte, 18)
	g[0] = 'r'
	copy(g[1:], key)
	return g
}

// ReadAhead implements AheadReader.
func (h *sighter) ReadAhead(r *kgo.Record) []byte {
	h.asked.Add(1)
	return h.group(r.Key)
}

func (h *sighter) Process(c *Context, r *kgo.Record) error {
	if r.Topic != testInput {
		return nil
	}
	g := h.group(r.Key)
	key := append(g, "count"...)
	v, err := c.Store().GetPrefetch(key, len(g))
	if err != nil {
		return err
	}
	n := uint64(1)
	if v != nil {
		n += binary.BigEndian.Uint64(v)
	}
	c.Store().Put(key, append(binary.BigEndian.AppendUint64(nil, n), make([]byte, 1000)...)) // so that the record cache does not hold them
	c.Emit(&kgo.Record{Topic: testOutput, Key: c.Copy(r.Key), Value: fmt.Appendf(nil, "%d", n)})
	return nil
}

// A store that is much larger than its caches is read ahead of a turn, and each
// transaction reads what the ones before it have written: every key counts without a
// gap.
func TestTurnsAreReadAhead(t *testing.T) {
	t.Parallel()
	const keys, rounds, turn = 4000, 4, 500
	c := newCluster(t)
	for range rounds {
		var records []*kgo.Record
		for k := range keys {
			records = append(records, &kgo.Record{Topic: testInput, Key: fmt.Appendf(nil, "key %d", k), Value: []byte("v")})
		}
		c.produce(records...)
	}
	store, err := state.Open("state", state.Options{FS: vfs.NewMem(), HoldBytes: 1 << 20, CacheBytes: 1 << 20, MemtableBytes: 64 << 10, Logger: testLogger()})
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, store)
	cfg := c.config(store)
	cfg.TurnRecords, cfg.MaxBatchRecords = turn, 1000
	var asked atomic.Int64
	cfg.NewHandler = func(task Task) (Handler, error) { return &sighter{counter{task}, &asked}, nil }
	p := start(t, cfg)
	c.await(testOutput, keys*rounds)
	p.halt()
	for key, values := range c.values(testOutput) {
		for i, v := range values {
			if v != fmt.Sprint(i+1) {
				t.Fatalf("%s counts %v", key, values)
			}
		}
		if len(values) != rounds {
			t.Fatalf("%s counts %v, want %d", key, values, rounds)
		}
	}
	if n := asked.Load(); n < turn { // how many are depends on how fast flushes are written
		t.Errorf("%d records were asked about, want %d or more: no turn was read ahead", n, turn)
	}
	c.checkStore(cfg)
}
