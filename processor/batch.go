package processor

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

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
	lanes         *lanes         // where records go; of the session
	sort          laneSort       // scratch
	outputs       []*kgo.Record  // scratch
	shown         []int32        // scratch: places of changes that are outputs too
	sentAt        time.Time      // of the records that are handed to the client now
	fetch         int32          // bytes that a fetch brings of each partition, at most
	paused        map[*task]bool // see focus
	everPaused    bool           // in this session

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
func (b *batch) begin(session *kgo.GroupTransactSession, lanes *lanes) {
	b.gate, b.acks = new(gate), &acks{changelog: b.w.cfg.Changelog}
	b.promise = promise(b.gate, b.acks)
	b.buffers = newSendBuffers(b.w.cfg.TurnRecords, b.promise)
	b.clear()
	b.lanes = lanes
	b.session, b.limit, b.fetch = session, b.w.cfg.TurnRecords, fetchFor(b.w.cfg.MaxBatchRecords)
	b.cannotDescribeTxn, b.inTransaction = false, false
	b.consumed = make(map[TopicPartition]int64)
	b.back = make(map[TopicPartition]kgo.EpochOffset)
	b.dropped = make(map[TopicPartition]*dropped)
	b.ends = make(map[TopicPartition]int64)
	b.topics = make(map[string]bool)
	b.paused = make(map[*task]bool)
	b.everPaused = false
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
