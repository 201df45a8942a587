package processor

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/state"
)

// sendOutputs gives what the handlers have put out since the last call to the
// client, in their order. From then on it is the client's.
func (b *batch) sendOutputs(ctx context.Context) error {
	if err := b.beginTransaction(ctx); err != nil {
		return err
	}
	m := b.buffers.current
	for _, t := range b.tasks {
		for _, r := range t.context.out {
			b.send(ctx, r, m)
		}
		t.context.clear()
	}
	b.buffers.close()
	return b.gate.error()
}

// produce gives everything that is left to the client: outputs and commands, then
// one changelog record for each key that changed and what it is as an output.
func (b *batch) produce(ctx context.Context) error {
	if err := b.sendOutputs(ctx); err != nil {
		return err
	}
	for _, t := range b.tasks {
		if err := b.produceChanges(ctx, t); err != nil {
			return err
		}
	}
	b.buffers.close()
	return b.fault(AfterProduce)
}

func (b *batch) produceChanges(ctx context.Context, t *task) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = &batchError{fmt.Errorf("task %d: %w\n%s", t.partition, &panicError{cause: cause}, debug.Stack())}
		}
	}()
	projector, _ := t.handler.(Projector)
	var m *sendBuffer
	send := func(topic string, partition int32, key, value []byte) {
		r := m.record()
		r.Topic, r.Partition, r.Key, r.Value = topic, partition, m.copy(key), m.copy(value)
		b.send(ctx, r, m)
	}
	t.context.txn.Changes(func(c state.Change) bool {
		if IsPositions(c.Key) {
			err = &batchError{fmt.Errorf("task %d: the handler wrote the key of the positions, %q", t.partition, c.Key)}
			return false
		}
		if m, err = b.buffers.next(ctx, b.w.lifetime); err != nil {
			return false
		}
		send(b.w.cfg.Changelog, t.partition, c.Key, c.Value)
		b.changes++
		if projector == nil || !c.Marked {
			return !b.gate.shut()
		}
		topic, k, v, fault := projector.Project(c.Key, c.Value)
		if fault != nil {
			err = &batchError{fmt.Errorf("task %d: what a record of the store is as an output: %w", t.partition, fault)}
			return false
		}
		if topic != "" {
			const byKey = 0 // the partitioner has the last word
			send(topic, byKey, k, v)
		}
		return !b.gate.shut()
	})
	if err != nil || b.gate.shut() {
		return err
	}
	// Behind everything else: from here on the task has read as far as it says.
	if m, err = b.buffers.next(ctx, b.w.lifetime); err != nil {
		return err
	}
	send(b.w.cfg.Changelog, t.partition, positionsKey, t.inputs.record())
	b.changes++
	return nil
}

var positionsKey = []byte(PositionsKey)

// send gives a record to the client, made of m, unless one before it failed.
func (b *batch) send(ctx context.Context, r *kgo.Record, m *sendBuffer) {
	if b.gate.shut() {
		return
	}
	m.pending.Add(1)
	b.produced++
	b.sizes.sent(r)
	if !b.topics[r.Topic] {
		b.topics[r.Topic], b.newTopics = true, true
	}
	b.session.Produce(ctx, r, m.promise)
}

// flush waits until everything is acknowledged. A record that failed does not
// keep the client from committing the others, so the gate does.
func (b *batch) flush(ctx context.Context) error {
	if err := b.session.Client().Flush(ctx); err != nil {
		return fmt.Errorf("waiting for %d records to be acknowledged: %w", b.produced, err)
	}
	if err := b.gate.error(); err != nil {
		return err
	}
	for _, t := range b.tasks {
		if end := b.acks.changelogEnd(t.partition); end > 0 && end <= t.checkpoint.Offset {
			return fmt.Errorf("task %d: changelog %s[%d] took a record at offset %d, but the task's state is of offset %d: the topic was made anew, or cut",
				t.partition, b.w.cfg.Changelog, t.partition, end-1, t.checkpoint.Offset)
		}
	}
	if !b.newTopics {
		return nil
	}
	if err := settleTopics(ctx, b.session.Client()); err != nil {
		return fmt.Errorf("waiting for the client to know its topics: %w", err)
	}
	return nil
}

// settleTopics makes sure that cl, which has nothing buffered, knows the topics
// it has just produced to for the first time. It sends the records of a new
// topic before it publishes the topic to itself (franz-go v1.22.2,
// storePartitionsUpdate), and if the transaction ends in between, the end
// overlooks the topic: its sequence numbers are not reset with the epoch, and a
// transaction that has nothing else is aborted though a commit was asked for.
// Nothing is buffered, so aborting the buffered records does no more than take
// the lock that is held until the topic is published.
func settleTopics(ctx context.Context, cl *kgo.Client) error { return cl.AbortBufferedRecords(ctx) }
