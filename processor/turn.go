package processor

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// turn is what a batch polls, processes and produces at once.
type turn struct {
	parts  []fetched // what was polled, a partition each
	tasks  []*task   // those that have records in it
	count  int64     // records polled
	behind int64     // offsets that could have been polled besides
	memory *turnMemory
}

type fetched struct {
	task    *task
	records []*kgo.Record
}

const (
	// turnsInMemory is how many turns may be on their way to the brokers, the
	// one in hand included.
	turnsInMemory = 4
	// nextTurnWait is how long a batch waits for the records of another turn
	// when it knows that there are some.
	nextTurnWait = 20 * time.Millisecond
	// turnsFor is how long after its beginning a batch begins another turn.
	turnsFor = 500 * time.Millisecond
)

// joinPatience is how long a batch is held up by a join of the group, which
// other members may delay for much longer, before it is given back so that
// nothing of the rebalance waits for it.
const joinPatience = 500 * time.Millisecond

// poll makes a turn of what was polled, and says whether there is anything to
// process. A record of a task that does not run must not be processed, and must
// not be committed with the others either, as the client commits whatever was
// polled; so such a turn, if it is the first, goes back as a whole. It is rare:
// partitions are paused until their task runs.
func (b *batch) poll(ctx context.Context, fetches kgo.Fetches) (ready bool, err error) {
	b.endTurn()
	if err := b.fetchErrors(ctx, fetches); err != nil {
		return false, err
	}
	owned := b.w.owned()
	admitted := true
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		n := len(p.Records)
		if n == 0 {
			return
		}
		b.turn.count += int64(n)
		t := b.w.tasks[p.Partition]
		if t == nil || !t.running() || !owned(t) {
			admitted = false
			return
		}
		if !t.inBatch {
			t.inBatch = true
			b.tasks = append(b.tasks, t)
			b.touched = append(b.touched, t.partition)
		}
		if !t.inTurn {
			t.inTurn = true
			b.turn.tasks = append(b.turn.tasks, t)
		}
		b.turn.parts = append(b.turn.parts, fetched{t, p.Records})
		tp, next := TopicPartition{p.Topic, p.Partition}, p.Records[n-1].Offset+1
		b.consumed[tp], b.ends[tp] = next, p.LastStableOffset
		b.turn.behind += max(0, p.LastStableOffset-next)
	})
	b.count += b.turn.count
	switch {
	case b.turn.count == 0:
		return false, nil
	case admitted && !b.w.ownership.takeMoved() && b.w.ownership.balancer.awaitJoined(ctx, joinPatience):
		return true, nil
	}
	return false, b.giveBack(ctx, "the group has moved tasks")
}

// giveBack returns what was polled, so that it is polled again. Once the batch
// has produced something only a new session can do that.
func (b *batch) giveBack(ctx context.Context, why string) error {
	if b.begun {
		return fmt.Errorf("a transaction cannot be ended as it was begun: %s", why)
	}
	b.clear()
	return b.w.rewind(ctx)
}

// prepare makes sure that what was polled can be processed. If it cannot yet, it
// goes back and is polled again.
func (b *batch) prepare(ctx context.Context) (ready bool, err error) {
	if b.w.cfg.Prepare == nil {
		return true, nil
	}
	limit, cancel := context.WithTimeout(ctx, b.w.cfg.RebalanceTimeout/4)
	defer cancel()
	for _, f := range b.turn.parts {
		for _, r := range f.records {
			if err := b.w.cfg.Prepare(limit, r); err != nil {
				if ctx.Err() == nil {
					b.w.log.Warn("records cannot be processed yet, they are read again", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "error", err)
				}
				b.w.held.Store(true)
				b.w.unready = &recordAt{TopicPartition{r.Topic, r.Partition}, r.Offset}
				return false, b.giveBack(ctx, "records cannot be processed yet")
			}
		}
	}
	b.w.held.Store(false)
	if u := b.w.unready; u != nil && (b.consumed[u.in] > u.offset || b.w.tasks[u.in.Partition] == nil) {
		b.w.unready = nil
	}
	return true, nil
}

// recordAt says where a record is.
type recordAt struct {
	in     TopicPartition
	offset int64
}

// fetchErrors sees to the errors that come with fetches. The client goes on by
// itself after nearly all of them.
func (b *batch) fetchErrors(ctx context.Context, fetches kgo.Fetches) error {
	var stop error
	fetches.EachError(func(topic string, partition int32, err error) {
		switch {
		case (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) && b.w.alive():
			return // a wake, the end, or nothing came for another turn
		case errors.Is(err, kgo.ErrClientClosed):
			stop = errors.New("the client was closed")
			return
		case errors.Is(err, kerr.FencedInstanceID):
			stop = errDisplaced(b.w.cfg.InstanceID)
			return
		case errors.Is(err, kerr.GroupAuthorizationFailed), errors.Is(err, kerr.TopicAuthorizationFailed),
			errors.Is(err, kerr.InconsistentGroupProtocol):
			stop = fatal(fmt.Errorf("reading as group %s: %w", b.w.cfg.ApplicationID, err))
			return
		}
		b.w.p.counters.fetchErrors.Add(1)
		b.w.log.Warn("reading failed, the client tries again", "topic", topic, "partition", partition, "error", err)
	})
	if ctx.Err() != nil {
		return nil
	}
	return stop
}

// takeTurn processes what was polled and gives what follows to the client.
func (b *batch) takeTurn(ctx context.Context) error {
	if err := b.fault(AfterPoll); err != nil {
		return err
	}
	if err := b.remember(ctx); err != nil {
		return err
	}
	if err := b.process(); err != nil {
		return err
	}
	b.times.end(&b.times.process)
	if err := b.fault(AfterProcess); err != nil {
		return err
	}
	// Past this point there is a transaction. It has the offsets of at least
	// one record, and so a member that has lost the partition in the
	// meantime cannot commit it.
	if !b.begun {
		if err := b.session.Begin(); err != nil {
			return fmt.Errorf("beginning a transaction: %w", err)
		}
		b.begun = true
	}
	for _, t := range b.turn.tasks {
		b.produce(ctx, t)
	}
	b.times.end(&b.times.produce)
	return nil
}

// another polls for another turn, and tells whether there is one. There is none
// for a batch that has kept up with its input: it is committed at once. One that
// is behind goes on, as every transaction costs the brokers the same however
// much is in it; unless it would come to records that cannot be processed yet,
// which are only given back as a whole.
func (b *batch) another(ctx context.Context) (bool, error) {
	room := b.w.cfg.MaxBatchRecords - int(b.count)
	if b.turn.behind < int64(b.w.cfg.TurnRecords) || room <= 0 || b.gate.shut() || b.w.unready != nil || b.w.isWoken() ||
		b.w.cfg.Clock.Now().Sub(b.now) >= turnsFor {
		return false, nil
	}
	wait, cancel := context.WithTimeout(ctx, nextTurnWait)
	defer cancel()
	ready, err := b.poll(ctx, b.w.poll(wait, min(room, b.w.cfg.TurnRecords)))
	if err == nil && ready {
		ready, err = b.prepare(ctx)
	}
	b.times.end(&b.times.poll)
	return ready, err
}

// process gives the records of the turn to the handlers.
func (b *batch) process() error {
	for _, t := range b.turn.tasks {
		b.lend(t)
	}
	for _, f := range b.turn.parts {
		for _, r := range f.records {
			if err := b.processRecord(f.task, r); err != nil {
				return &batchError{fmt.Errorf("task %d: processing %s[%d] at offset %d: %w", f.task.partition, r.Topic, r.Partition, r.Offset, err)}
			}
		}
	}
	b.sizes.read(b)
	return nil
}

// lend gives a task the memory of the turn in hand.
func (b *batch) lend(t *task) {
	t.context.now = b.now
	t.context.memory, t.context.kept = &b.turn.memory.batchMemory, &b.kept
}

// produce gives what the tasks have put out to the client.
func (b *batch) produce(ctx context.Context, t *task) {
	for _, r := range t.context.out {
		b.send(ctx, r)
	}
	clear(t.context.out)
	t.context.out = t.context.out[:0]
}

// conclude ends the work of the handlers: what they have to say about all turns
// together goes to the client, and then one changelog record for each key that
// changed.
func (b *batch) conclude(ctx context.Context) error {
	for _, t := range b.tasks {
		if err := b.remember(ctx); err != nil {
			return err
		}
		b.lend(t)
		if err := guard(func() error { return t.handler.Flush(&t.context) }); err != nil {
			return &batchError{fmt.Errorf("task %d: flushing: %w", t.partition, err)}
		}
		b.produce(ctx, t)
		var err error
		t.context.txn.Changes(func(key, value []byte) bool {
			if b.turn.memory.used >= b.w.cfg.TurnRecords {
				if err = b.remember(ctx); err != nil {
					return false
				}
			}
			m := b.turn.memory
			r := m.record()
			r.Topic, r.Partition, r.Key, r.Value = b.w.cfg.Changelog, t.partition, m.copy(key), m.copy(value)
			b.changes++
			b.send(ctx, r)
			return !b.gate.shut()
		})
		if err != nil {
			return err
		}
		if b.gate.shut() {
			break
		}
	}
	return b.fault(AfterProduce)
}

func (b *batch) send(ctx context.Context, r *kgo.Record) {
	if !b.gate.shut() {
		b.produced++
		b.sizes.sent(r)
		if !b.topics[r.Topic] {
			b.topics[r.Topic], b.fresh = true, true
		}
		b.turn.memory.pending.Add(1)
		b.session.Produce(ctx, r, b.turn.memory.promise)
	}
}

// endTurn lets go of the turn in hand.
func (b *batch) endTurn() {
	for _, t := range b.turn.tasks {
		t.inTurn = false
	}
	clear(b.turn.parts)
	clear(b.turn.tasks)
	b.giveMemoryBack()
	b.turn = turn{parts: b.turn.parts[:0], tasks: b.turn.tasks[:0]}
}

// turnMemory is the memory of a turn: the client has what is in it until it has
// told the fate of each record.
type turnMemory struct {
	batchMemory
	pending atomic.Int64 // records that the client has, and one for the turn itself
	promise func(*kgo.Record, error)
	free    chan<- *turnMemory
}

func (b *batch) giveMemoryBack() {
	if b.turn.memory != nil {
		b.turn.memory.done()
		b.turn.memory = nil
	}
}

// remember gives the turn new memory, and waits for some if need be.
func (b *batch) remember(ctx context.Context) error {
	b.giveMemoryBack()
	var m *turnMemory
	select {
	case m = <-b.memories:
	default:
		if b.made < turnsInMemory {
			b.made++
			m = &turnMemory{free: b.memories}
			gate, acks := b.gate, b.acks
			m.promise = func(r *kgo.Record, err error) {
				gate.promise(r, err)
				if err == nil {
					acks.note(r)
				}
				m.done()
			}
			break
		}
		select {
		case m = <-b.memories:
		case <-ctx.Done():
			return fmt.Errorf("waiting for records to be acknowledged: %w", context.Cause(ctx))
		case <-b.w.lifetime.Done():
			return errors.New("waiting for records to be acknowledged: the client was closed")
		}
	}
	m.reset()
	m.pending.Store(1)
	b.turn.memory = m
	return nil
}

func (m *turnMemory) done() {
	if m.pending.Add(-1) == 0 {
		m.free <- m // has room for all that there are
	}
}
