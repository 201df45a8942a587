package processor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

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

// apply writes what was committed to the store. Tasks without records take note of what
// was written for them.
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
	b.focus()
	if err := b.rest(); err != nil {
		return err
	}
	if err := b.land(); err != nil {
		return err
	}
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

// land has tasks that the batch has nothing of take note of what was written for them.
func (b *batch) land() error {
	for _, t := range b.w.tasks {
		if t.inBatch || !t.running() {
			continue
		}
		if err := t.context.txn.Land(); err != nil {
			return fatal(fmt.Errorf("task %d: writing to the store: %w", t.partition, err))
		}
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
