package processor

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/internal/unpack"
)

// A batch of an input topic that unpacks to more than Config.MaxBatchUnpacked is
// stepped over in a transaction, with its dead letter and with the offset behind
// it. The client reads its partition no further, so the session ends then. In
// the commands and the changelog, which nobody but the application may write to,
// it is a reason to stop.

// Dropper is implemented by a handler that can say that a batch of its input was
// dropped unread, usually by a dead letter. Without it the batch is logged and
// counted.
type Dropper interface {
	// Dropped is called in the place of the batch's records. An error is as fatal
	// as one of Process.
	Dropped(c *Context, b unpack.Batch) error
}

// dropped is a batch that the turn steps over.
type dropped struct{ unpack.Batch }

// describe reads the header of a batch that the client has refused.
func (b *batch) describe(ctx context.Context, large *kgo.ErrDecompressTooLarge) (*dropped, error) {
	limit, cancel := context.WithTimeout(ctx, sideTimeout)
	defer cancel()
	found, err := unpack.Describe(limit, b.w.p.side, large)
	if err != nil {
		return nil, err // another session meets the batch again
	}
	if found.Topic == b.w.cfg.Commands && !found.Aborted {
		return nil, fatal(fmt.Errorf("reading the commands: %w", found.TooLarge()))
	}
	return &dropped{found}, nil
}

// drop has a task's handler say that a batch is dropped.
func (b *batch) drop(t *task, d *dropped) error {
	if d.Aborted {
		return nil
	}
	b.w.log.Error("a batch of the input unpacks to more than max-batch-unpacked and is dropped", "topic", d.Topic, "partition", d.Partition,
		"from", d.First, "to", d.Last, "records", d.Records, "bytes", d.Bytes)
	dropper, ok := t.handler.(Dropper)
	if !ok {
		return nil
	}
	return guard(func() error { return dropper.Dropped(&t.context, d.Batch) })
}

// stepOver puts the offsets behind dropped batches into the offsets that the client
// is about to commit; it has not read them.
func (b *batch) stepOver(req *kmsg.TxnOffsetCommitRequest) {
	for tp, d := range b.dropped {
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch = tp.Partition, b.consumed[tp], d.Epoch
		at := slices.IndexFunc(req.Topics, func(t kmsg.TxnOffsetCommitRequestTopic) bool { return t.Topic == tp.Topic })
		if at < 0 {
			topic := kmsg.NewTxnOffsetCommitRequestTopic()
			topic.Topic = tp.Topic
			req.Topics, at = append(req.Topics, topic), len(req.Topics)
		}
		t := &req.Topics[at]
		t.Partitions = slices.DeleteFunc(t.Partitions, func(p kmsg.TxnOffsetCommitRequestTopicPartition) bool { return p.Partition == tp.Partition })
		t.Partitions = append(t.Partitions, p)
	}
}

// countDropped counts what a committed batch has stepped over.
func (b *batch) countDropped() {
	for _, d := range b.dropped {
		if !d.Aborted {
			b.w.p.losses.dropped(d.Topic, d.Records)
		}
	}
}
