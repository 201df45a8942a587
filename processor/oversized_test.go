package processor

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/unpack"
	"handprint/internal/unpack/unpacktest"
	"handprint/processor/clocktest"
)

// dropCounter notes dropped batches as outputs.
type dropCounter struct{ *emitter }

func (d dropCounter) Dropped(c *Context, b unpack.Batch) error {
	c.Emit(&kgo.Record{Topic: testOutput, Key: []byte("dropped"), Value: fmt.Appendf(nil, "%s %d %d %d", b.Topic, b.First, b.Last, b.Records)})
	return nil
}

const testUnpacked = 1 << 16

func (c *cluster) bomb(topic string, partition int32, records, size int) int64 {
	c.t.Helper()
	at, err := unpacktest.Send(c.ctx, c.client, topic, partition, records, size)
	if err != nil {
		c.t.Fatal(err)
	}
	return at
}

// A batch that unpacks to too much is stepped over with its dead letter, wherever
// it stands: first, between others, last, two in a row, and of many small records.
func TestTooLargeBatchesAreSteppedOver(t *testing.T) {
	for name, crash := range map[string]Step{"without a crash": -1, "crash before the commit": AfterFlush, "crash after it": AfterEnd} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			cfg := c.config(newStore(t))
			cfg.MaxBatchUnpacked = testUnpacked
			cfg.NewHandler = func(task Task) (Handler, error) {
				return dropCounter{&emitter{counter{task}, func(*Context, *kgo.Record) error { return nil }}}, nil
			}
			const keys, n = 5, 10
			var want []string
			bomb := func(records, size int) {
				for p := range int32(testTasks) {
					at := c.bomb(testInput, p, records, size)
					want = append(want, fmt.Sprintf("%s %d %d %d", testInput, at, at+int64(records)-1, records))
				}
			}
			bomb(1, 10*testUnpacked)
			c.feed(testInput, keys, n)
			bomb(3, testUnpacked)
			bomb(2000, 0)
			c.feed(testInput, keys, n)
			bomb(1, testUnpacked)
			if crash >= 0 {
				fail := once(2)
				cfg.Fault = func(step Step, _ []int32) error {
					if step == crash && fail() {
						return errTest
					}
					return nil
				}
				if err := start(t, cfg).wait(); err == nil {
					t.Fatal("it has not crashed")
				}
				cfg.Fault = nil
			}
			p := start(t, cfg)
			c.await(testOutput, 2*keys*n*2+len(want))
			p.halt()
			c.checkStore(cfg)
			got := c.values(testOutput)["dropped"]
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("dropped %v, want %v", got, want)
			}
			if lost := p.Status().LostOffsets[testInput]; crash < 0 && lost != (1+3+2000+1)*testTasks {
				t.Errorf("%d offsets are lost, want %d", lost, (1+3+2000+1)*testTasks)
			}
		})
	}
}

// A slow record before a batch that is too large ends the turn; the batch is
// dropped in its place.
func TestTooLargeBatchBehindSlowRecords(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	cfg.MaxBatchUnpacked = testUnpacked
	clock := clocktest.New(time.Unix(1e9, 0))
	cfg.Clock = clock
	var mu sync.Mutex
	var order []string
	cfg.NewHandler = func(task Task) (Handler, error) {
		return dropCounter{&emitter{counter{task}, func(_ *Context, r *kgo.Record) error {
			clock.Advance(2 * time.Second)
			if r.Topic == testInput {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, string(r.Value))
			}
			return nil
		}}}, nil
	}
	c.feed(testInput, 1, 5)
	for p := range int32(testTasks) {
		c.bomb(testInput, p, 2, testUnpacked)
	}
	c.feed(testInput, 1, 5)
	p := start(t, cfg)
	c.await(testOutput, 2*10+testTasks)
	p.halt()
	c.checkStore(cfg)
	if got := strings.Join(order, ""); got != "0123401234" {
		t.Errorf("the records were processed as %.100q", got)
	}
}

// A batch that is too large in the commands or in the changelog ends the processor
// with a line that names it.
func TestTooLargeBatchOfOurOwn(t *testing.T) {
	t.Parallel()
	for _, topic := range []string{testCommands, testChangelog} {
		c := newCluster(t)
		cfg := c.config(newStore(t))
		cfg.MaxBatchUnpacked = testUnpacked
		c.bomb(topic, 1, 1, testUnpacked)
		err := start(t, cfg).wait()
		if err == nil || !strings.Contains(err.Error(), topic+"[1]") || !strings.Contains(err.Error(), "max-batch-unpacked") {
			t.Errorf("%s: it ended with %v", topic, err)
		}
	}
}
