package processor

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/state"
)

// tally counts records by key and emits every hundredth count.
type tally struct{ buf [8]byte }

func (h *tally) Process(c *Context, r *kgo.Record) error {
	v, err := c.Store().Get(r.Key)
	if err != nil {
		return err
	}
	var n uint64
	if v != nil {
		n = binary.BigEndian.Uint64(v)
	}
	n++
	binary.BigEndian.PutUint64(h.buf[:], n)
	c.Store().Put(r.Key, h.buf[:])
	if n%100 == 0 {
		c.Emit(&kgo.Record{Topic: testOutput, Key: bytes.Clone(r.Key), Value: []byte("100 more")})
	}
	return nil
}

func (*tally) Flush(*Context) error { return nil }
func (*tally) Reset()               {}

// BenchmarkRecords is a record of 300 bytes from input to store, with the
// broker of the tests in the same process.
func BenchmarkRecords(b *testing.B) {
	fake, err := kfake.NewCluster(kfake.NumBrokers(1),
		kfake.SeedTopics(testTasks, testInput, testCommands, testChangelog, testOutput))
	if err != nil {
		b.Fatal(err)
	}
	defer fake.Close()
	store, err := state.Open("state", state.Options{FS: vfs.NewMem(), CacheBytes: 64 << 20, Logger: testLogger()})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	seeds := kgo.SeedBrokers(fake.ListenAddrs()...)
	feeder, err := kgo.NewClient(seeds, kgo.MaxBufferedRecords(1<<20))
	if err != nil {
		b.Fatal(err)
	}
	defer feeder.Close()
	value := make([]byte, 300)
	for i := range b.N {
		feeder.Produce(b.Context(), &kgo.Record{Topic: testInput, Key: fmt.Appendf(nil, "key%d", i%10_000), Value: value}, nil)
	}
	if err := feeder.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	reached := make(map[TopicPartition]int64)
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	p, err := New(Config{
		ApplicationID: "app", InstanceID: "one", Client: []kgo.Opt{seeds}, Inputs: []string{testInput},
		Commands: testCommands, Changelog: testChangelog, Partitions: testTasks, Store: store,
		NewHandler: func(Task) (Handler, error) { return new(tally), nil }, Logger: testLogger(),
		OnCommit: func(c Commit) {
			for tp, offset := range c.Consumed {
				reached[tp] = offset
			}
			total := int64(0)
			for _, offset := range reached {
				total += offset
			}
			if total == int64(b.N) {
				stop()
			}
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	if err := p.Run(ctx); err != nil {
		b.Fatal(err)
	}
}
