package processor

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// turn is what a batch polls and processes at once.
type turn struct {
	parts []fetched // what was polled, a partition each
	count int64     // records polled
}

const (
	// nextTurnWait is how long a batch waits for the records of another turn
	// when it knows that there are some. Brokers that are busy with what it has
	// sent so far need more than a few milliseconds: with 20 there were twice as
	// many transactions, and a tenth more changelog records.
	nextTurnWait = 200 * time.Millisecond
	// maxTurnBytes is how many bytes the handlers may have put out and not been sent,
	// and changed in the store, for another turn to begin.
	maxTurnBytes = 64 << 20
	// maxTurnTime: no new turn starts later than this after the batch began, or
	// later than 1/turnShare of the transaction timeout.
	maxTurnTime = 1500 * time.Millisecond
	turnShare   = 4
)

// Prepare may take 1/prepareShare of the rebalance timeout, or of the transaction
// timeout once a transaction is open.
const prepareShare = 4

// prepare makes sure that what was polled can be processed. If it cannot yet, it
// goes back and is polled again.
func (b *batch) prepare(ctx context.Context) (ready bool, err error) {
	if b.w.cfg.Prepare == nil {
		return true, nil
	}
	patience := b.w.cfg.RebalanceTimeout
	if b.inTransaction {
		patience = min(patience, b.w.cfg.TransactionTimeout)
	}
	limit, cancel := context.WithTimeout(ctx, patience/prepareShare)
	defer cancel()
	for _, f := range b.turn.parts {
		for _, r := range f.records {
			if err := b.w.cfg.Prepare(limit, r); err != nil {
				if ctx.Err() == nil {
					b.w.log.Warn("records cannot be processed yet, they are read again", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "error", err)
				}
				b.w.held.Store(b.w.cfg.Clock.Now().UnixNano())
				b.w.unready = &recordAt{TopicPartition{r.Topic, r.Partition}, r.Offset}
				return false, b.giveBack(ctx)
			}
		}
	}
	if u := b.w.unready; u != nil && (b.consumed[u.in] > u.offset || b.w.tasks[u.in.Partition] == nil) {
		b.w.unready = nil
		b.w.held.Store(0)
	}
	return true, nil
}

// turns processes the current turn, and others for as long as the worker is
// behind: every transaction costs the brokers the same however much is in it, and
// what changes several times is written once. A batch that has kept up with its
// input has one turn, and is committed at once; of a worker that is behind each
// has twice the records of the one before, so that the first commit of many
// comes soon. ctx ends the wait for another turn, limit what is sent between two.
func (b *batch) turns(ctx, limit context.Context) error {
	share := 0
	for ready := true; ready; {
		if err := b.fault(AfterPoll); err != nil {
			return err
		}
		before := b.times.process
		whole, err := b.process(limit)
		if err != nil {
			return err
		}
		b.recycle()
		if err := b.land(); err != nil {
			return err
		}
		b.times.end(&b.times.process)
		// Another turn like this one would be ended early, and what it had left read again.
		late := b.times.process+(b.times.process-before) >= b.maxProcessing()
		if limit := min(b.limit, b.w.cfg.MaxBatchRecords); limit < b.w.cfg.MaxBatchRecords || b.inputTasks() > 1 {
			share = limit
		} else if share == 0 {
			share = evenShare(b.count+b.behind(), limit, b.w.cfg.TurnRecords)
		}
		room := share - int(b.count)
		if !whole || late || len(b.dropped) > 0 || b.times.process >= fairSlice && b.othersWait() || b.w.pace.careful > 0 || b.w.unready != nil || b.w.isWoken() ||
			b.bytes() >= maxTurnBytes || b.w.cfg.Clock.Now().Sub(b.startedAt) >= min(maxTurnTime, b.w.cfg.TransactionTimeout/turnShare) {
			break
		}
		left := b.behind()
		if left < int64(b.w.cfg.TurnRecords) {
			if !b.othersBehind() {
				b.limit = b.w.cfg.TurnRecords
			}
			break
		}
		if left < nextFetched*int64(b.w.cfg.TurnRecords) {
			b.endFocus()
		}
		if room <= 0 {
			b.limit = min(2*b.limit, b.w.cfg.MaxBatchRecords)
			break
		}
		if b.buffers.full() {
			if err := b.sendOutputs(limit); err != nil {
				return err
			}
			b.times.end(&b.times.produce)
		}
		wait, cancel := context.WithTimeout(ctx, nextTurnWait)
		fetches := b.w.pollUntil(wait, min(room, b.w.pace.records))
		cancel()
		if ready, err = b.take(ctx, fetches); err != nil {
			return err
		}
	}
	b.endTurn()
	return nil
}

// inputTasks is how many tasks the batch has input of, besides commands.
func (b *batch) inputTasks() (n int) {
	for _, t := range b.tasks {
		if b.hasPaused(t) {
			n++
		}
	}
	return n
}

// evenShare is how many of so many records a transaction has, at most limit: as many as the
// others that the records take, in whole turns. So the last one of a task is not so small
// that reading back its rows is most of its work.
func evenShare(records int64, limit, turn int) int {
	records = max(1, records)
	transactions := max(1, (records+int64(limit)-1)/int64(limit))
	each := (records + transactions - 1) / transactions
	turns := (each + int64(turn) - 1) / int64(turn)
	return min(limit, int(turns)*turn)
}

// behind is how many offsets could have been polled besides, of the partitions
// that the batch has something of.
func (b *batch) behind() (n int64) {
	for tp, next := range b.consumed {
		n += max(0, b.ends[tp]-next)
	}
	return n
}

// bytes is how much the batch has in memory that was not sent.
func (b *batch) bytes() int {
	n := b.buffers.current.bytes
	for _, t := range b.tasks {
		n += t.context.txn.Bytes()
	}
	return n
}

// process gives the records of the turn to the handlers. It ends early, and
// returns false, when the batch has used its time; the other records are read
// again after the commit. Time is looked at after each record, as one may take
// as long as thousands of others. While others wait, tasks that are flooded share a
// slice of time equally, and each handles a record at least, so none starves. Tasks that
// keep up come first, and are ended early only after several slices: a machine that is
// busy may stop a worker for longer than a slice.
func (b *batch) process(ctx context.Context) (whole bool, err error) {
	if err := b.openContexts(ctx); err != nil {
		return false, err
	}
	began, left := b.w.cfg.Clock.Now(), b.maxProcessing()-b.times.process
	shared := b.othersWait()
	var flooded floodShares
	until := left
	defer b.readAhead()()
	if shared {
		flooded.tasks = b.floodsLast()
	}
	n, first := 0, true // first: of the task, or of all if nobody waits
	whole = true
	now := began
	for i := range b.turn.parts {
		f := &b.turn.parts[i]
		if shared && (i == 0 || f.task != b.turn.parts[i-1].task) {
			until, first = min(left, maxSlices*fairSlice), true
			if f.flooded {
				until = flooded.next(now.Sub(began), b.times.process, left)
			}
		}
		if d := f.dropped; d != nil {
			if tp := (TopicPartition{d.Topic, d.Partition}); b.hasBack(tp) { // not before the records before it
				delete(b.dropped, tp)
				f.dropped = nil
				continue
			}
			if err := b.repair(f.task); err != nil {
				return false, err
			}
			if err := b.drop(f.task, d); err != nil {
				return false, &batchError{fmt.Errorf("task %d: dropping %v: %w", f.task.partition, d, err)}
			}
			continue
		}
		for j, r := range f.records {
			if !first && now.Sub(began) >= until {
				whole = false
				if !shared {
					b.w.pace.ended(n)
				}
				b.putBack(f, j)
				break
			}
			first = false
			if j == 0 {
				if err := b.repair(f.task); err != nil {
					return false, err
				}
			}
			if err := b.processRecord(f.task, r); err != nil {
				return false, &batchError{fmt.Errorf("task %d: processing %s[%d] at offset %d: %w", f.task.partition, r.Topic, r.Partition, r.Offset, err)}
			}
			n++
			done := b.w.cfg.Clock.Now()
			f.task.load.spent(r.Key, done.Sub(now))
			now = done
		}
	}
	if !whole {
		b.dropIdleTasks()
	}
	b.sizes.read(b)
	return whole, nil
}

// maxProcessing is how long the handlers may work for a batch.
func (b *batch) maxProcessing() time.Duration {
	return min(maxProcessing, b.w.cfg.TransactionTimeout/turnShare)
}

// readAhead has the store read what the turn will ask for, beside the handlers, if the
// last turn had much to read. The function that it returns ends that.
func (b *batch) readAhead() (end func()) {
	if runtime.GOMAXPROCS(0) > 1 && b.ahead.Worthwhile(int(b.turn.count), b.loads) {
		for i := range b.turn.parts {
			f := &b.turn.parts[i]
			h, ok := f.task.handler.(AheadReader)
			if !ok {
				continue
			}
			for _, r := range f.records {
				if prefix := h.ReadAhead(r); prefix != nil {
					b.ahead.Add(f.task.context.txn, prefix)
				}
			}
		}
		b.ahead.Start()
	}
	return func() {
		b.ahead.Stop()
		b.loads = 0
		for _, t := range b.tasks {
			b.loads += t.context.txn.Loads()
		}
	}
}

// putBack takes the records of a part from record j on out of the batch. They are
// read again after it is committed, see limitOffsets and readAgain.
func (b *batch) putBack(f *fetched, j int) {
	first := f.records[j]
	tp := TopicPartition{first.Topic, first.Partition}
	again := kgo.EpochOffset{Epoch: -1, Offset: first.Offset} // the epoch of the record before is not known
	switch _, twice := b.back[tp]; {                          // a fetch may have a partition twice
	case twice:
		again = b.back[tp]
	case j > 0:
		last := f.records[j-1]
		again = kgo.EpochOffset{Epoch: last.LeaderEpoch, Offset: last.Offset + 1}
		b.consumed[tp] = again.Offset
	case f.before >= 0:
		again.Offset, b.consumed[tp] = f.before, f.before
	default:
		delete(b.consumed, tp)
		delete(b.ends, tp)
	}
	b.back[tp] = again
	if in := f.task.inputs.of(tp.Topic); b.consumed[tp] > 0 {
		in.next, in.epoch = b.consumed[tp], again.Epoch
	} else {
		in.next, in.epoch = in.Next, in.Epoch
	}
	b.count -= int64(len(f.records) - j)
	f.records = f.records[:j]
}

// hasBack reports whether records of a partition are read again.
func (b *batch) hasBack(tp TopicPartition) bool {
	_, ok := b.back[tp]
	return ok
}

// dropIdleTasks removes tasks without any record left from the batch: what a task
// writes must be fenced by an offset of its own.
func (b *batch) dropIdleTasks() {
	busy := make(map[int32]bool)
	for tp := range b.consumed {
		busy[tp.Partition] = true
	}
	tasks := b.tasks
	b.tasks, b.touched = b.tasks[:0], b.touched[:0]
	for _, t := range tasks {
		if t.inBatch = busy[t.partition]; t.inBatch {
			b.tasks, b.touched = append(b.tasks, t), append(b.touched, t.partition)
		} else {
			t.context.clear()
		}
	}
	clear(tasks[len(b.tasks):])
}

// limitOffsets takes what is read again out of the offsets that the client is
// about to commit: it would commit all that was polled.
func (b *batch) limitOffsets(req *kmsg.TxnOffsetCommitRequest) {
	for i := range req.Topics {
		t := &req.Topics[i]
		t.Partitions = slices.DeleteFunc(t.Partitions, func(p kmsg.TxnOffsetCommitRequestTopicPartition) bool {
			tp := TopicPartition{t.Topic, p.Partition}
			_, again := b.back[tp]
			_, some := b.consumed[tp]
			return again && !some
		})
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if again, ok := b.back[TopicPartition{t.Topic, p.Partition}]; ok {
				p.Offset, p.LeaderEpoch = again.Offset, again.Epoch
			}
		}
	}
	req.Topics = slices.DeleteFunc(req.Topics, func(t kmsg.TxnOffsetCommitRequestTopic) bool { return len(t.Partitions) == 0 })
}

// readAgain has the client read what a turn that was ended early has left. The
// client takes for committed what it has polled, until then; nothing can be taken
// away in between, as the batch blocks rebalances. What is behind a dropped batch it
// reads in another session only.
func (b *batch) readAgain() error {
	if len(b.dropped) > 0 {
		return errRefused
	}
	if len(b.back) == 0 {
		return nil
	}
	offsets := make(map[string]map[int32]kgo.EpochOffset)
	for tp, again := range b.back {
		if offsets[tp.Topic] == nil {
			offsets[tp.Topic] = make(map[int32]kgo.EpochOffset)
		}
		offsets[tp.Topic][tp.Partition] = again
	}
	b.session.Client().SetOffsets(offsets)
	return b.w.rereads()
}

// repair tells the handler of a task of the commands that were lost, before the
// first record of the task.
func (b *batch) repair(t *task) error {
	lost := t.inputs.of(b.w.cfg.Commands).lost
	if lost == nil || t.inputs.told {
		return nil
	}
	t.inputs.told = true
	repairer := t.handler.(Repairer) // or the task had not started
	if err := guard(func() error { return repairer.CommandsLost(&t.context, lost.From, lost.To) }); err != nil {
		return &batchError{fmt.Errorf("task %d: going on without commands %d to %d: %w", t.partition, lost.From, lost.To, err)}
	}
	return nil
}

// openContexts makes the contexts of all tasks of the batch ready for calls of
// their handlers.
func (b *batch) openContexts(ctx context.Context) error {
	m, err := b.buffers.ensure(ctx, b.w.lifetime)
	if err != nil {
		return err
	}
	for _, t := range b.tasks {
		t.context.now, t.context.memory = b.startedAt, &m.memory
	}
	return nil
}

// endTurn releases the records of the turn.
func (b *batch) endTurn() {
	clear(b.turn.parts)
	b.turn = turn{parts: b.turn.parts[:0]}
}
