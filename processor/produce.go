package processor

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/state"
)

// minSorted is how many records are worth to be brought into the order of their
// partitions before they are sent.
const minSorted = 64

// sendOutputs gives what the handlers have put out since the last call to the
// client, partition by partition, and in their order within each. From then on it is
// the client's.
func (b *batch) sendOutputs(ctx context.Context) error {
	if err := b.beginTransaction(ctx); err != nil {
		return err
	}
	b.sentAt = time.Now()
	m, n := b.buffers.current, 0
	for _, t := range b.tasks {
		n += len(t.context.out)
	}
	if n < minSorted {
		for _, t := range b.tasks {
			for _, r := range t.context.out {
				b.send(ctx, r, m)
			}
		}
	} else {
		b.sendSorted(ctx, m)
	}
	for _, t := range b.tasks {
		t.context.clear()
	}
	b.buffers.close()
	return b.gate.error()
}

// sendSorted is sendOutputs of many records.
func (b *batch) sendSorted(ctx context.Context, m *sendBuffer) {
	b.sort.begin(b.lanes)
	for _, t := range b.tasks {
		for _, r := range t.context.out {
			if p, n := b.sort.add(r.Topic, r.Key, r.Partition); n > 0 {
				r.Partition = hint(p, n)
			}
			b.outputs = append(b.outputs, r)
		}
	}
	for _, i := range b.sort.sorted() {
		b.send(ctx, b.outputs[i], m)
	}
	clear(b.outputs)
	b.outputs = b.outputs[:0]
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

// maxShown is how many changes are sent to the changelog before those of them that are
// outputs too are sent. They lie in memory that was just looked at.
const maxShown = 1 << 13

// produceChanges gives the changelog records of a task to the client, and what they are
// as outputs: in pieces, each of them the changelog records first, and then the outputs
// partition by partition.
func (b *batch) produceChanges(ctx context.Context, t *task) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = &batchError{fmt.Errorf("task %d: %w\n%s", t.partition, &panicError{cause: cause}, debug.Stack())}
		}
	}()
	projector, _ := t.handler.(Projector)
	b.shown = b.shown[:0]
	t.context.txn.Changes(func(c state.Change) bool {
		if IsPositions(c.Key) {
			err = &batchError{fmt.Errorf("task %d: the handler wrote the key of the positions, %q", t.partition, c.Key)}
			return false
		}
		var m *sendBuffer
		if m, err = b.next(ctx); err != nil {
			return false
		}
		b.sendCopy(ctx, m, b.w.cfg.Changelog, t.partition, c.Key, c.Value)
		b.changes++
		if projector != nil && c.Marked {
			if b.shown = append(b.shown, c.Place); len(b.shown) == maxShown {
				err = b.produceShown(ctx, t, projector)
			}
		}
		return err == nil && !b.gate.shut()
	})
	if err == nil && !b.gate.shut() {
		err = b.produceShown(ctx, t, projector)
	}
	if err != nil || b.gate.shut() {
		return err
	}
	// Behind everything else: from here on the task has read as far as it says.
	m, err := b.next(ctx)
	if err != nil {
		return err
	}
	b.sendCopy(ctx, m, b.w.cfg.Changelog, t.partition, positionsKey, t.inputs.record())
	b.changes++
	return nil
}

// produceShown sends what the changes b.shown are as outputs.
func (b *batch) produceShown(ctx context.Context, t *task, projector Projector) error {
	b.sort.begin(b.lanes)
	for _, place := range b.shown {
		topic, key, err := projector.ProjectKey(t.context.txn.ChangeAt(place).Key)
		if err != nil {
			return shownError(t, err)
		}
		b.sort.add(topic, key, 0)
	}
	for _, i := range b.sort.sorted() {
		c := t.context.txn.ChangeAt(b.shown[i])
		topic, k, v, err := projector.Project(c.Key, c.Value)
		if err != nil {
			return shownError(t, err)
		}
		if topic == "" {
			continue
		}
		m, err := b.next(ctx)
		if err != nil {
			return err
		}
		b.sendCopy(ctx, m, topic, b.sort.hint(i), k, v)
		if b.gate.shut() {
			break
		}
	}
	b.shown = b.shown[:0]
	return nil
}

func shownError(t *task, err error) error {
	return &batchError{fmt.Errorf("task %d: what a record of the store is as an output: %w", t.partition, err)}
}

// next returns the buffer that the next record is made of.
func (b *batch) next(ctx context.Context) (*sendBuffer, error) {
	before := b.buffers.current
	m, err := b.buffers.next(ctx, b.w.lifetime)
	if m != before {
		b.sentAt = time.Now()
	}
	return m, err
}

// sendCopy sends a record made of a copy of key and value.
func (b *batch) sendCopy(ctx context.Context, m *sendBuffer, topic string, partition int32, key, value []byte) {
	r := m.record()
	r.Topic, r.Partition, r.Key, r.Value = topic, partition, m.copy(key), m.copy(value)
	b.send(ctx, r, m)
}

var positionsKey = []byte(PositionsKey)

// send gives a record to the client, made of m, unless one before it failed.
func (b *batch) send(ctx context.Context, r *kgo.Record, m *sendBuffer) {
	if b.gate.shut() {
		return
	}
	if r.Timestamp.IsZero() {
		r.Timestamp = b.sentAt // the client would look at the clock for each
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
