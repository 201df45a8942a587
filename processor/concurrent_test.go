package processor

import (
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// silent is a handler that has nothing to say.
type silent struct{}

func (silent) Process(*Context, *kgo.Record) error { return nil }
func (silent) Flush(*Context) error                { return nil }
func (silent) Reset()                              {}

// Real brokers refuse the offsets of a transaction while they write the markers
// of the one before it. Batches without output get over that in the session in
// hand.
func TestOffsetsWhileMarkersAreWritten(t *testing.T) {
	c := newCluster(t)
	c.feed(testInput, 5, 6)
	var asked atomic.Int64
	c.ControlKey(int16(kmsg.TxnOffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		// Two are refused, the third is taken, and so is the client's own.
		if n := asked.Add(1) % 4; n == 3 || n == 0 {
			return nil, nil, false
		}
		req := r.(*kmsg.TxnOffsetCommitRequest)
		resp := req.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
		for _, t := range req.Topics {
			topic := kmsg.NewTxnOffsetCommitResponseTopic()
			topic.Topic = t.Topic
			for _, p := range t.Partitions {
				partition := kmsg.NewTxnOffsetCommitResponseTopicPartition()
				partition.Partition, partition.ErrorCode = p.Partition, kerr.ConcurrentTransactions.Code
				topic.Partitions = append(topic.Partitions, partition)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true
	})
	cfg := c.config(newStore(t))
	cfg.NewHandler = func(Task) (Handler, error) { return silent{}, nil }
	cfg.MaxBatchRecords = 8
	read := make(map[TopicPartition]int64)
	done := make(chan struct{})
	cfg.OnCommit = func(commit Commit) {
		sum := int64(0)
		for tp, next := range commit.Consumed {
			read[tp] = next
		}
		for _, next := range read {
			sum += next
		}
		if sum == 5*6 {
			close(done)
		}
	}
	p := start(t, cfg)
	select {
	case <-done:
	case <-c.ctx.Done():
		t.Fatalf("read %v", read)
	}
	p.halt()
	if s := p.Status(); s.Counters.Rejoins > 0 || s.Counters.Aborts > 0 {
		t.Errorf("%d sessions were begun anew and %d batches aborted", s.Counters.Rejoins, s.Counters.Aborts)
	}
	if asked.Load() < 8 {
		t.Errorf("offsets were committed %d times: nothing was tested", asked.Load())
	}
}
