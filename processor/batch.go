package processor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/state"
)

// batch is one transaction. It begins with turns. Each turn polls, processes and,
// if another follows, sends its outputs. After the last turn the other outputs and
// the changes of the store are sent, flushed, committed and applied. So a batch has
// the input and the output of a turn or two in memory, however much it reads. A worker has one batch and uses it again and again.
type batch struct {
	w       *worker
	session *kgo.GroupTransactSession

	startedAt time.Time
	tasks     []*task                            // with records in the batch
	touched   []int32                            // their numbers, for Config.Fault
	consumed  map[TopicPartition]int64           // the next offset to read
	back      map[TopicPartition]kgo.EpochOffset // from where partitions are read again, as a turn was ended early
	ends      map[TopicPartition]int64           // of what can be read
	dropped   map[TopicPartition]*dropped        // batches that are too large to unpack
	count     int64                              // records polled, without repeated reads
	topics    map[string]bool                    // that the session has produced to
	newTopics bool                               // the batch produces to a topic that was not among them
	produced  int64                              // records given to the client
	changes   int64                              // the part of produced that is for the changelog

	turn          turn
	ahead         *state.Ahead // reads for the turn what it will ask the store for
	loads         int          // groups of keys that the last turn had to read
	limit         int          // records of the batch; grows from batch to batch while the worker is behind
	inTransaction bool
	fetchFailed   bool // the last poll brought an error
	buffers       sendBuffers
	fetch         int32          // bytes that a fetch brings of each partition, at most
	paused        map[*task]bool // see focus

	// Of the session, whose client may call back late:
	gate    *gate
	acks    *acks
	promise func(*kgo.Record, error)

	lastTxnEnd        time.Time // the last transaction, by the machine's clock
	cannotDescribeTxn bool      // brokers do not say whether a transaction is over
	sizes             sizes
	times             stepTimes
	outcome           Outcome // how the batch would end if it failed now
	// crash is set by the hook that sees the offsets answered, which runs on
	// a goroutine of the client.
	crash atomic.Pointer[crashError]
}

// begin prepares for a new session. What the last one had may still be held by
// its client, so nothing of it is used again.
func (b *batch) begin(session *kgo.GroupTransactSession) {
	b.gate, b.acks = new(gate), &acks{changelog: b.w.cfg.Changelog}
	b.promise = promise(b.gate, b.acks)
	b.buffers = newSendBuffers(b.w.cfg.TurnRecords, b.promise)
	b.clear()
	b.session, b.limit, b.fetch = session, b.w.cfg.TurnRecords, wholeFetch
	b.cannotDescribeTxn, b.inTransaction = false, false
	b.consumed = make(map[TopicPartition]int64)
	b.back = make(map[TopicPartition]kgo.EpochOffset)
	b.dropped = make(map[TopicPartition]*dropped)
	b.ends = make(map[TopicPartition]int64)
	b.topics = make(map[string]bool)
	b.paused = make(map[*task]bool)
	b.crash.Store(nil)
}

// clear forgets the last batch.
func (b *batch) clear() {
	b.endTurn()
	for _, t := range b.tasks {
		t.inBatch = false
		t.inputs.rollback()
		t.context.clear()
	}
	clear(b.tasks)
	clear(b.consumed)
	clear(b.back)
	clear(b.dropped)
	clear(b.ends)
	b.tasks, b.touched = b.tasks[:0], b.touched[:0]
	b.count, b.produced, b.changes, b.newTopics = 0, 0, 0, false
	b.sizes = sizes{}
	b.buffers.close()
	b.gate.open()
	b.acks.clear()
}

// run takes what was polled, and what there is besides, through all steps.
// After an error the session must be closed: part of the batch may have been
// committed.
func (b *batch) run(ctx context.Context, fetches kgo.Fetches) error {
	b.clear()
	b.fetchFailed = false
	if ready, err := b.take(ctx, fetches); err != nil || !ready {
		return err
	}
	b.startedAt = b.w.cfg.Clock.Now()
	b.outcome = Aborted
	limit, cancel := b.w.bounded(ctx)
	defer cancel()
	err := b.turns(ctx, limit)
	if err == nil && len(b.consumed) == 0 {
		return nil // all of it went back
	}
	if err == nil {
		err = b.steps(limit)
	}
	if err != nil && b.inTransaction && b.outcome == Aborted {
		b.abort(limit, err)
	}
	if err == nil {
		b.w.pace.committed(b.w.cfg.Clock.Now().Sub(b.startedAt), b.w.cfg.TransactionTimeout, len(b.back) == 0)
	} else {
		b.w.pace.failed(b.count)
		b.w.p.counters.aborts.Add(1)
		for _, t := range b.tasks {
			t.handler.Reset()
		}
	}
	b.tell(b.outcome)
	if err == nil {
		err = b.readAgain()
	}
	return err
}

// steps takes what was processed to the brokers and to the store.
func (b *batch) steps(ctx context.Context) error {
	if err := b.openContexts(ctx); err != nil {
		return err
	}
	for _, t := range b.tasks {
		if err := guard(func() error { return t.handler.Flush(&t.context) }); err != nil {
			return &batchError{fmt.Errorf("task %d: flushing: %w", t.partition, err)}
		}
	}
	b.times.end(&b.times.process)
	if err := b.fault(AfterProcess); err != nil {
		return err
	}
	if err := b.produce(ctx); err != nil {
		return err
	}
	b.times.end(&b.times.produce)
	if err := b.flush(ctx); err != nil {
		return err
	}
	b.times.end(&b.times.flush)
	if err := b.fault(AfterFlush); err != nil {
		return err
	}
	b.outcome = Unknown
	if err := b.commit(ctx); err != nil {
		return err
	}
	b.outcome, b.inTransaction = Committed, false
	b.lastTxnEnd = time.Now()
	b.times.end(&b.times.commit)
	if err := b.fault(AfterEnd); err != nil {
		return err
	}
	if err := b.apply(); err != nil {
		return err
	}
	b.times.end(&b.times.apply)
	return b.fault(AfterApply)
}

// beginTransaction makes sure that there is a transaction. It will have the
// offsets of at least one record, and so a member that has lost the partition in
// the meantime cannot commit it.
func (b *batch) beginTransaction(ctx context.Context) error {
	if b.inTransaction {
		return nil
	}
	b.settleMarkers(ctx)
	if err := b.session.Begin(); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	b.inTransaction = true
	return nil
}

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

// abort ends the transaction without committing it, because of cause, so that
// readers do not have to wait for its timeout. The session is over either way.
func (b *batch) abort(ctx context.Context, cause error) {
	var crash *crashError
	if errors.As(cause, &crash) {
		return
	}
	if _, err := b.session.End(ctx, kgo.TryAbort); err != nil {
		b.w.log.Warn("aborting a transaction failed, it ends by its timeout or the next session", "error", err)
	}
}

// commit ends the transaction. Only (true, nil) means that it is committed; any
// other answer may hide a commit whose reply was lost, and is treated as
// unknown: the session ends, and the next one restores what was committed.
func (b *batch) commit(ctx context.Context) error {
	// A join that began during the batch is about to end, as its callbacks wait
	// for the batch.
	b.w.ownership.balancer.AwaitJoined(ctx, b.w.cfg.TransactionTimeout/2)
	check := func(req *kmsg.TxnOffsetCommitRequest) error {
		b.limitOffsets(req)
		b.stepOver(req)
		return b.checkOffsets(req)
	}
	committed, err := b.session.End(kgo.PreTxnCommitFnContext(ctx, check), kgo.TryCommit)
	if crash := b.crash.Load(); crash != nil {
		return crash
	}
	switch {
	case err != nil:
		return fmt.Errorf("committing a transaction: outcome unknown: %w", err)
	case !committed:
		return errors.New("committing a transaction: the session ended it otherwise, outcome unknown")
	}
	return nil
}

// checkOffsets makes sure that exactly what was processed is committed, and by the
// member of the group that it was given to: brokers only ask whether it is one.
func (b *batch) checkOffsets(req *kmsg.TxnOffsetCommitRequest) error {
	if !b.w.ownership.isCurrentMember(req.MemberID, req.Generation) {
		return errReplaced
	}
	n := 0
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			n++
			if want, ok := b.consumed[TopicPartition{t.Topic, p.Partition}]; !ok || want != p.Offset {
				return fmt.Errorf("offset %d of %s[%d] would be committed, but %d was reached", p.Offset, t.Topic, p.Partition, want)
			}
		}
	}
	if n != len(b.consumed) {
		return fmt.Errorf("offsets of %d partitions would be committed, but %d were read", n, len(b.consumed))
	}
	b.putGroupRight(req)
	mark := offsetMark
	for _, t := range req.Topics {
		for i := range t.Partitions {
			t.Partitions[i].Metadata = &mark
		}
	}
	return nil
}

// putGroupRight adds the offsets of what the batch has not read and the group has
// other offsets of than the state.
func (b *batch) putGroupRight(req *kmsg.TxnOffsetCommitRequest) {
	for _, t := range b.tasks {
		for i := range t.inputs.list {
			in := &t.inputs.list[i]
			if _, read := b.consumed[TopicPartition{in.Topic, t.partition}]; read || !in.stale {
				continue
			}
			p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
			p.Partition, p.Offset, p.LeaderEpoch = t.partition, in.next, in.epoch
			at := slices.IndexFunc(req.Topics, func(t kmsg.TxnOffsetCommitRequestTopic) bool { return t.Topic == in.Topic })
			if at < 0 {
				topic := kmsg.NewTxnOffsetCommitRequestTopic()
				topic.Topic, topic.TopicID = in.Topic, in.ID
				req.Topics, at = append(req.Topics, topic), len(req.Topics)
			}
			req.Topics[at].Partitions = append(req.Topics[at].Partitions, p)
		}
	}
}

// apply writes what was committed to the store.
func (b *batch) apply() error {
	for _, t := range b.tasks {
		if end := b.acks.changelogEnd(t.partition); end > 0 {
			b.countLosses(t)
			t.inputs.committed(end - 1) // nothing of the task was sent after it
			t.commands.Store(t.inputs.of(b.w.cfg.Commands).Next)
			t.checkpoint.Offset, t.checkpoint.Note = end, t.inputs.history.note()
		}
		t.progressed.Store(b.startedAt.UnixNano())
		t.checkpoint.At = b.startedAt
		if err := t.context.txn.Commit(t.checkpoint); err != nil {
			return fatal(fmt.Errorf("task %d: writing to the store: %w", t.partition, err))
		}
	}
	b.noteLoads()
	for tp, next := range b.consumed {
		b.w.p.watch.reached(tp, next, b.ends[tp])
	}
	b.countDropped()
	b.w.commits++
	c := &b.w.p.counters
	c.commits.Add(1)
	c.records.Add(b.count)
	c.produced.Add(b.produced)
	if b.w.cfg.OnCommit != nil {
		b.w.cfg.OnCommit(Commit{Worker: b.w.n, Consumed: b.consumed, Produced: b.acks.produced()})
	}
	return nil
}

// countLosses counts what the task has stepped over.
func (b *batch) countLosses(t *task) {
	for i := range t.inputs.list {
		if lost := t.inputs.list[i].lost; lost != nil {
			b.w.p.losses.stepped(lost)
		}
	}
}

// fault asks the test, if there is one, whether to crash here.
func (b *batch) fault(step Step) error {
	if b.w.cfg.Fault == nil {
		return nil
	}
	if err := b.w.cfg.Fault(step, b.touched); err != nil {
		return &crashError{step, err}
	}
	return nil
}

// OnBrokerE2E is a hook of the client, set only when faults are. It sees the
// answer that the offsets are in the transaction; the client asks the group
// for a heartbeat before it ends the transaction, so a crash here comes first.
func (b *batch) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if kmsg.Key(key) != kmsg.TxnOffsetCommit || e2e.Err() != nil || b.crash.Load() != nil {
		return
	}
	if err := b.fault(AfterOffsets); err != nil {
		b.crash.Store(&crashError{AfterOffsets, err})
		b.w.kill()
	}
}
