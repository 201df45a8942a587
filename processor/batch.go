package processor

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// batch is one transaction on its way through the steps poll, process,
// produce, commit and apply. A worker has one and uses it again for each poll.
type batch struct {
	w       *worker
	session *kgo.GroupTransactSession
	memory  *batchMemory

	now      time.Time
	parts    []fetched                // what was polled, a partition each
	tasks    []*task                  // those that have records in it
	touched  []int32                  // their numbers, for Config.Fault
	consumed map[TopicPartition]int64 // the next offset to read
	count    int64                    // records polled
	topics   map[string]bool          // that the session has produced to
	fresh    bool                     // the batch produces to a topic that was not among them
	changes  []*kgo.Record            // changelog records
	produced int64                    // records given to the client

	gate    gate
	promise func(*kgo.Record, error) // gate.promise
	told    []*kgo.Record            // scratch of report
	times   stepTimes
	outcome Outcome // how the batch would end if it failed now
	// crash is set by the hook that sees the offsets answered, which runs on
	// a goroutine of the client.
	crash atomic.Pointer[crashError]
}

type fetched struct {
	task    *task
	records []*kgo.Record
	end     int64 // of what can be read of the partition
}

// begin prepares for a new session. What the last one had may still be held by
// its client, so nothing of it is used again.
func (b *batch) begin(session *kgo.GroupTransactSession) {
	b.clear()
	b.session = session
	b.memory = new(batchMemory)
	b.promise = b.gate.promise
	b.consumed = make(map[TopicPartition]int64)
	b.topics = make(map[string]bool)
	b.crash.Store(nil)
}

// clear forgets the last batch.
func (b *batch) clear() {
	for _, t := range b.tasks {
		t.inBatch = false
		clear(t.context.out)
		t.context.out = t.context.out[:0]
	}
	clear(b.parts)
	clear(b.tasks)
	clear(b.changes)
	clear(b.told)
	clear(b.consumed)
	b.parts, b.tasks, b.touched, b.changes = b.parts[:0], b.tasks[:0], b.touched[:0], b.changes[:0]
	b.count, b.produced, b.fresh = 0, 0, false
	b.gate.open()
	if b.memory != nil {
		b.memory.reset()
	}
}

// run takes what was polled through all steps. After an error the session must
// be closed: part of the batch may have been committed.
func (b *batch) run(ctx context.Context, fetches kgo.Fetches) error {
	if err := b.poll(ctx, fetches); err != nil || b.count == 0 {
		return err
	}
	if ready, err := b.prepare(ctx); err != nil || !ready {
		return err
	}
	b.times.end(&b.times.poll)
	b.outcome = Aborted
	ctx, cancel := b.w.bounded(ctx)
	defer cancel()
	err := b.steps(ctx)
	if err != nil {
		b.w.p.counters.aborts.Add(1)
		for _, t := range b.tasks {
			t.handler.Reset()
		}
	}
	b.tell(b.outcome)
	return err
}

func (b *batch) steps(ctx context.Context) error {
	if err := b.fault(AfterPoll); err != nil {
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
	if err := b.session.Begin(); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	if err := b.produce(ctx); err != nil {
		return b.abort(ctx, err)
	}
	b.times.end(&b.times.produce)
	if err := b.flush(ctx); err != nil {
		return b.abort(ctx, err)
	}
	b.times.end(&b.times.flush)
	if err := b.fault(AfterFlush); err != nil {
		return err
	}
	b.outcome = Unknown
	if err := b.commit(ctx); err != nil {
		return err
	}
	b.outcome = Committed
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

// joinPatience is how long a batch is held up by a join of the group, which
// other members may delay for much longer, before it is given back so that
// nothing of the rebalance waits for it.
const joinPatience = 500 * time.Millisecond

// poll sorts what was polled by task. A record of a task that does not run must
// not be processed, and must not be committed with the others either, as the
// client commits whatever was polled; so such a batch goes back as a whole. It
// is rare: partitions are paused until their task runs.
func (b *batch) poll(ctx context.Context, fetches kgo.Fetches) error {
	b.clear()
	if err := b.fetchErrors(ctx, fetches); err != nil {
		return err
	}
	owned := b.w.owned()
	admitted := true
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		n := len(p.Records)
		if n == 0 {
			return
		}
		b.count += int64(n)
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
		b.parts = append(b.parts, fetched{t, p.Records, p.LastStableOffset})
		b.consumed[TopicPartition{p.Topic, p.Partition}] = p.Records[n-1].Offset + 1
	})
	if b.count == 0 || admitted && !b.w.ownership.takeMoved() && b.w.ownership.balancer.awaitJoined(ctx, joinPatience) {
		return nil
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
	for _, f := range b.parts {
		for _, r := range f.records {
			if err := b.w.cfg.Prepare(limit, r); err != nil {
				if ctx.Err() == nil {
					b.w.log.Warn("records cannot be processed yet, they are read again", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "error", err)
				}
				b.w.held.Store(true)
				b.clear()
				return false, b.w.rewind(ctx)
			}
		}
	}
	b.w.held.Store(false)
	return true, nil
}

// fetchErrors sees to the errors that come with fetches. The client goes on by
// itself after nearly all of them.
func (b *batch) fetchErrors(ctx context.Context, fetches kgo.Fetches) error {
	var stop error
	fetches.EachError(func(topic string, partition int32, err error) {
		switch {
		case errors.Is(err, context.Canceled) && b.w.alive():
			return // a wake, or the end
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

// process gives the records to the handlers.
func (b *batch) process() error {
	b.now = b.w.cfg.Clock.Now()
	for _, t := range b.tasks {
		t.context.now = b.now
		t.context.memory = b.memory
	}
	for _, f := range b.parts {
		for _, r := range f.records {
			if err := b.processRecord(f.task, r); err != nil {
				return &batchError{fmt.Errorf("task %d: processing %s[%d] at offset %d: %w", f.task.partition, r.Topic, r.Partition, r.Offset, err)}
			}
		}
	}
	for _, t := range b.tasks {
		if err := guard(func() error { return t.handler.Flush(&t.context) }); err != nil {
			return &batchError{fmt.Errorf("task %d: flushing: %w", t.partition, err)}
		}
	}
	return nil
}

// produce gives everything to the client: outputs and commands in the order of
// the handlers, then one changelog record for each key that changed.
func (b *batch) produce(ctx context.Context) error {
	for _, t := range b.tasks {
		for _, r := range t.context.out {
			b.send(ctx, r)
		}
		t.context.txn.Changes(func(key, value []byte) bool {
			r := b.memory.record()
			r.Topic, r.Partition, r.Key, r.Value = b.w.cfg.Changelog, t.partition, b.memory.copy(key), b.memory.copy(value)
			b.changes = append(b.changes, r)
			b.send(ctx, r)
			return !b.gate.shut()
		})
		if b.gate.shut() {
			break
		}
	}
	return b.fault(AfterProduce)
}

func (b *batch) send(ctx context.Context, r *kgo.Record) {
	if !b.gate.shut() {
		b.produced++
		if !b.topics[r.Topic] {
			b.topics[r.Topic], b.fresh = true, true
		}
		b.session.Produce(ctx, r, b.promise)
	}
}

// flush waits until everything is acknowledged. A record that failed does not
// keep the client from committing the others, so the gate does.
func (b *batch) flush(ctx context.Context) error {
	if err := b.session.Client().Flush(ctx); err != nil {
		return fmt.Errorf("waiting for %d records to be acknowledged: %w", b.produced, err)
	}
	if err := b.gate.error(); err != nil || !b.fresh {
		return err
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
// Aborting the buffered records, of which there are none, passes through the
// lock that is held until the topic is published.
func settleTopics(ctx context.Context, cl *kgo.Client) error { return cl.AbortBufferedRecords(ctx) }

// abort ends the transaction without committing it, so that readers do not have
// to wait for its timeout. The session is over either way.
func (b *batch) abort(ctx context.Context, cause error) error {
	var crash *crashError
	if errors.As(cause, &crash) {
		return cause
	}
	if _, err := b.session.End(ctx, kgo.TryAbort); err != nil {
		b.w.log.Warn("aborting a transaction failed, it ends by its timeout or the next session", "error", err)
	}
	return cause
}

// commit ends the transaction. Only (true, nil) means that it is committed; any
// other answer may hide a commit whose reply was lost, and is treated as
// unknown: the session ends, and the next one restores what was committed.
func (b *batch) commit(ctx context.Context) error {
	// A join that began with the batch in hand is about to end, as its
	// callbacks wait for the batch.
	b.w.ownership.balancer.awaitJoined(ctx, b.w.cfg.TransactionTimeout/2)
	check := func(req *kmsg.TxnOffsetCommitRequest) error {
		if err := b.checkOffsets(req); err != nil {
			return err
		}
		b.awaitPrior(ctx, req)
		return nil
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

// checkOffsets makes sure that exactly what was processed is committed.
func (b *batch) checkOffsets(req *kmsg.TxnOffsetCommitRequest) error {
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
	return nil
}

// apply writes what was committed to the store.
func (b *batch) apply() error {
	for _, r := range b.changes {
		b.w.tasks[r.Partition].checkpoint.Offset = r.Offset + 1
	}
	for _, t := range b.tasks {
		t.progressed.Store(b.now.UnixNano())
		t.checkpoint.At = b.now
		if err := t.context.txn.Commit(t.checkpoint); err != nil {
			return fatal(fmt.Errorf("task %d: writing to the store: %w", t.partition, err))
		}
	}
	for _, f := range b.parts {
		last := f.records[len(f.records)-1]
		b.w.p.watch.reached(TopicPartition{last.Topic, last.Partition}, last.Offset+1, f.end)
	}
	b.w.commits++
	c := &b.w.p.counters
	c.commits.Add(1)
	c.records.Add(b.count)
	c.produced.Add(b.produced)
	if b.w.cfg.OnCommit != nil {
		b.w.cfg.OnCommit(b.report())
	}
	return nil
}

func (b *batch) report() Commit {
	b.told = b.told[:0]
	for _, t := range b.tasks {
		b.told = append(b.told, t.context.out...)
	}
	b.told = append(b.told, b.changes...)
	return Commit{Worker: b.w.n, Consumed: b.consumed, Produced: b.told}
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
