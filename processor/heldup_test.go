package processor

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/processor/clocktest"
)

// A transaction that a sensor leaves open holds up its partition: that is said with
// who it is, and no longer when it is over. No task is stuck by it.
func TestOpenTransactionOfASensor(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	clock := clocktest.New(time.Unix(1e9, 0))
	cfg := c.config(newStore(t))
	cfg.Clock, cfg.StallTimeout = clock, time.Minute
	c.feed(testInput, 5, 4)
	p := start(t, cfg)
	c.await(testOutput, 5*4*2)
	p.awaitTasks(testTasks)
	sensor := c.newClient(kgo.TransactionalID("sensor"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionTimeout(10*time.Minute))
	if err := sensor.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	first, err := sensor.ProduceSync(c.ctx, &kgo.Record{Topic: testInput, Partition: 2, Key: []byte("key0"), Value: []byte("open")}).First()
	if err != nil {
		t.Fatal(err)
	}
	c.produce(&kgo.Record{Topic: testInput, Partition: 2, Key: []byte("key0"), Value: []byte("behind")})
	clock.WaitTickers(2)
	p.awaitStatus(func(s Status) bool {
		clock.Advance(15 * time.Second)
		return len(s.HeldUp) == 1 && s.HeldUp[0].TransactionalID != ""
	})
	s := p.Status()
	if h := s.HeldUp[0]; h.Topic != testInput || h.Partition != first.Partition || h.Offset != first.Offset || h.ProducerID < 0 || h.TransactionalID != `"sensor"` {
		t.Errorf("it says %+v, want the transaction at offset %d of partition %d", h, first.Offset, first.Partition)
	}
	for _, task := range s.Tasks {
		if task.Stuck != "" {
			t.Errorf("task %d is stuck: %s", task.Partition, task.Stuck)
		}
	}
	if err := sensor.EndTransaction(context.Background(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	p.awaitStatus(func(s Status) bool {
		clock.Advance(15 * time.Second)
		return len(s.HeldUp) == 0
	})
	p.halt()
}
