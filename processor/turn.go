package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// turn is what a batch polls and processes at once.
type turn struct {
	parts []fetched // what was polled, a partition each
	count int64     // records polled
}

type fetched struct {
	task    *task
	records []*kgo.Record
	dropped *dropped // a batch instead of records; nil otherwise
	flooded bool     // the task has a turn of its input left besides, or was ended early before
	before  int64    // the next offset to read after the turns before; -1 if they had nothing of the partition
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

// joinPatience is how long a batch is held up by a join of the group, which
// other members may delay for much longer, before it is given back so that
// nothing of the rebalance waits for it.
const joinPatience = 500 * time.Millisecond

// poll makes a turn of what was polled, and reports whether there is anything to
// process. A record of a task that does not run must not be processed, and must
// not be committed with the others either, as the client commits whatever was
// polled; so such a batch goes back as a whole. It is rare: partitions are paused
// until their task runs.
func (b *batch) poll(ctx context.Context, fetches kgo.Fetches) (ready bool, err error) {
	b.endTurn()
	if err := b.fetchErrors(ctx, fetches); err != nil {
		return false, err
	}
	owned := b.w.owned()
	admitted := true
	var behind error // what the state has already
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		tp, n := TopicPartition{p.Topic, p.Partition}, len(p.Records)
		var large *kgo.ErrDecompressTooLarge
		if n == 0 && !errors.As(p.Err, &large) {
			return
		}
		b.turn.count += int64(n)
		t := b.w.tasks[p.Partition]
		if t == nil || !t.running() || !owned(t) {
			admitted = false
			return
		}
		in := t.inputs.of(p.Topic)
		if first := firstOffset(p.Records, large); first < in.next {
			behind = fmt.Errorf("task %d: the client has read offset %d of %s, which is below %d, where the state is", p.Partition, first, p.Topic, in.next)
			return
		}
		if !t.inBatch {
			t.inBatch = true
			b.tasks = append(b.tasks, t)
			b.touched = append(b.touched, t.partition)
		}
		before, ok := b.consumed[tp]
		if !ok {
			before = -1
		}
		b.turn.parts = append(b.turn.parts, fetched{task: t, records: p.Records, before: before})
		b.ends[tp] = max(b.ends[tp], p.LastStableOffset)
		if n > 0 {
			last := p.Records[n-1]
			in.next, in.epoch = last.Offset+1, last.LeaderEpoch
			b.consumed[tp] = in.next
			return
		}
		var d *dropped
		if d, err = b.describe(ctx, large); err == nil {
			in.next, in.epoch = large.NextOffset, large.Epoch
			b.turn.parts[len(b.turn.parts)-1].dropped = d
			b.dropped[tp], b.consumed[tp] = d, in.next
		}
	})
	switch {
	case err != nil:
		return false, err
	case behind != nil:
		return false, behind
	}
	b.count += b.turn.count
	switch {
	case b.turn.count == 0 && len(b.dropped) == 0 && admitted:
		return false, nil
	case admitted && !b.w.ownership.consumeRevoked() && b.w.ownership.balancer.AwaitJoined(ctx, joinPatience) && b.w.isOwner():
		return true, nil
	}
	return false, b.giveBack(ctx)
}

// firstOffset returns the first offset of what a fetch has brought of a partition:
// records, or a batch that is too large, which may begin below the offset that was
// asked for.
func firstOffset(records []*kgo.Record, large *kgo.ErrDecompressTooLarge) int64 {
	if len(records) > 0 {
		return records[0].Offset
	}
	return large.NextOffset - 1
}

// giveBack returns all that the batch has polled, so that it is polled again,
// and undoes what it has done so far.
func (b *batch) giveBack(ctx context.Context) error {
	if b.count > b.turn.count { // there were turns before
		for _, t := range b.tasks {
			t.context.txn.Discard()
			t.handler.Reset()
		}
	}
	if err := b.w.rewind(ctx); err != nil {
		return err
	}
	if b.inTransaction {
		b.inTransaction, b.lastTxnEnd = false, time.Now()
		b.w.p.counters.aborts.Add(1)
		b.tell(Aborted)
		// The client may have heard of a topic for the first time, and forgotten
		// it with the records; see settleTopics.
		clear(b.topics)
	}
	b.clear() // the client has nothing any more
	return nil
}

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
		case errors.Is(err, kgo.ErrMaxDecompress):
			return // poll sees to it
		case errors.Is(err, kgo.ErrClientClosed):
			stop = errors.New("the client was closed")
			return
		case errors.Is(err, kerr.FencedInstanceID):
			stop = errDisplaced(b.w.cfg.InstanceID)
			return
		case errors.Is(err, kerr.InconsistentGroupProtocol):
			stop = fatal(fmt.Errorf("reading as group %s: %w", b.w.cfg.ApplicationID, err))
			return
		case errors.Is(err, kerr.GroupAuthorizationFailed):
			stop = fmt.Errorf("this principal may not join group %s (allow READ on it; docs/operations.md, ACLs): %w", b.w.cfg.ApplicationID, err)
			return
		case unauthorized(err):
			stop = fmt.Errorf("this principal may not read topic %s (allow READ on it; docs/operations.md, ACLs): %w", cmp.Or(topic, "of the group"), err)
			return
		case errors.Is(err, kerr.UnknownServerError) && topic == "":
			b.fetchFailed = true
			b.w.p.counters.fetchErrors.Add(1)
			return // contact has said it
		}
		b.fetchFailed = true
		b.w.p.counters.fetchErrors.Add(1)
		if isMoved(err) {
			stop = fmt.Errorf("reading %s[%d]: %w", topic, partition, err)
			return
		}
		if b.w.mayLog(topic, partition, err) {
			about := []any{"topic", topic, "partition", partition}
			if topic == "" { // it is about the group
				about = []any{"group", b.w.cfg.ApplicationID}
			}
			b.w.log.Warn("reading failed, the client tries again", append(about, "error", err)...)
		}
	})
	if ctx.Err() != nil {
		return nil
	}
	return stop
}

// isMoved reports whether the log is not the one any more that the client has read:
// it begins later, ends earlier, or is another topic. The next session looks where
// to go on, see openInputs.
func isMoved(err error) bool {
	if loss := (*kgo.ErrDataLoss)(nil); errors.As(err, &loss) {
		return true
	}
	return errors.Is(err, kerr.OffsetOutOfRange) || errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.InconsistentTopicID)
}

// take polls and, if the records may be processed, prepares them.
func (b *batch) take(ctx context.Context, fetches kgo.Fetches) (ready bool, err error) {
	if ready, err = b.poll(ctx, fetches); ready {
		ready, err = b.prepare(ctx)
	}
	b.times.end(&b.times.poll)
	return ready, err
}

// turns processes the current turn, and others for as long as the worker is
// behind: every transaction costs the brokers the same however much is in it, and
// what changes several times is written once. A batch that has kept up with its
// input has one turn, and is committed at once; of a worker that is behind each
// has twice the records of the one before, so that the first commit of many
// comes soon. ctx ends the wait for another turn, limit what is sent between two.
func (b *batch) turns(ctx, limit context.Context) error {
	for ready := true; ready; {
		if err := b.fault(AfterPoll); err != nil {
			return err
		}
		whole, err := b.process(limit)
		if err != nil {
			return err
		}
		b.recycle()
		b.times.end(&b.times.process)
		room := min(b.limit, b.w.cfg.MaxBatchRecords) - int(b.count)
		if !whole || len(b.dropped) > 0 || b.times.process >= fairSlice && b.othersWait() || b.w.pace.careful > 0 || b.w.unready != nil || b.w.isWoken() ||
			b.bytes() >= maxTurnBytes || b.w.cfg.Clock.Now().Sub(b.startedAt) >= min(maxTurnTime, b.w.cfg.TransactionTimeout/turnShare) {
			break
		}
		if b.behind() < int64(b.w.cfg.TurnRecords) {
			b.limit = b.w.cfg.TurnRecords
			break
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
		fetches := b.w.poll(wait, min(room, b.w.pace.records))
		cancel()
		if ready, err = b.take(ctx, fetches); err != nil {
			return err
		}
	}
	b.endTurn()
	return nil
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
	began, left := b.w.cfg.Clock.Now(), min(maxProcessing, b.w.cfg.TransactionTimeout/turnShare)-b.times.process
	shared := b.othersWait()
	var flooded floodShares
	until := left
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
