package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// joinPatience is how long a batch is held up by a join of the group, which
// other members may delay for much longer, before it is given back so that
// nothing of the rebalance waits for it.
const joinPatience = 500 * time.Millisecond

// fetched is what a turn has of one partition.
type fetched struct {
	task    *task
	records []*kgo.Record
	dropped *dropped // a batch instead of records; nil otherwise
	flooded bool     // the task has a turn of its input left besides, or was ended early before
	before  int64    // the next offset to read after the turns before; -1 if they had nothing of the partition
}

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
