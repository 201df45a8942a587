package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/integration/traffic"
	"handprint/internal/audit"
	"handprint/internal/unpack/unpacktest"
	"handprint/processor"
)

// What others do to an application's topics and group.

// TruncateInput deletes the beginning of the observations and the identity events,
// up to somewhere between their beginnings and their ends. The audit keeps what is
// deleted: what the application has read of it must be in the rows, and the
// application must say that it has stepped over the rest. If no instance runs, what
// it must say is known to the offset; else it is no more than what it had not
// committed before.
func (a *App) TruncateInput(ctx context.Context, r *rand.Rand, running bool) (deleted int64, err error) {
	a.auditing.mu.Lock()
	defer a.auditing.mu.Unlock()
	admin := kadm.NewClient(a.Client)
	topics := []string{a.Names.Observations, a.Names.IdentityEvents}
	starts, err := admin.ListStartOffsets(ctx, topics...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("asking where the input begins: %w", err)
	}
	ends, err := admin.ListCommittedOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("asking where the input ends: %w", err)
	}
	auditor, err := a.follow()
	if err != nil {
		return 0, err
	}
	// What it collects ends no earlier than ends.
	if err := auditor.Collect(ctx); err != nil {
		return 0, err
	}
	if !running {
		if err := a.awaitNoTransactions(ctx, admin); err != nil {
			return 0, err
		}
	}
	positions, err := audit.ReadPositions(ctx, a.Client, a.Names.Changelog)
	if err != nil {
		return 0, err
	}
	upTo := make(kadm.Offsets)
	unread := int64(0)
	for _, topic := range topics {
		for p := range int32(len(ends[topic])) {
			start, _ := starts.Lookup(topic, p)
			end, _ := ends.Lookup(topic, p)
			n := end.Offset - start.Offset
			if r.IntN(3) > 0 { // often all: else most of it was read
				n -= r.Int64N(n/4 + 1)
			}
			if n > 0 {
				upTo.AddOffset(topic, p, start.Offset+n, -1)
				deleted += n
				unread += max(0, start.Offset+n-max(start.Offset, readTo(positions, topic, p)))
			}
		}
	}
	a.truncated = true
	// Before it is known that the brokers have done it: they may do it and not say so.
	a.unread.most += unread
	if err := deleteRecords(ctx, admin, upTo); err != nil {
		return deleted, err
	}
	if !running {
		a.unread.least += unread
	}
	return deleted, nil
}

// readTo returns the next offset that a task is to read of a topic, by its positions; 0
// if it has none.
func readTo(positions map[int32]processor.Positions, topic string, task int32) int64 {
	for _, in := range positions[task].Inputs {
		if in.Topic == topic {
			return in.Next
		}
	}
	return 0
}

// awaitNoTransactions waits until no transaction of an instance that was killed is
// open: one that is to be committed still moves the positions.
func (a *App) awaitNoTransactions(ctx context.Context, admin *kadm.Client) error {
	for {
		stable, err := admin.ListCommittedOffsets(ctx, a.Names.Changelog)
		if err == nil {
			err = stable.Error()
		}
		if err != nil {
			return fmt.Errorf("asking where the changelog ends: %w", err)
		}
		ends, err := admin.ListEndOffsets(ctx, a.Names.Changelog)
		if err == nil {
			err = ends.Error()
		}
		if err != nil {
			return fmt.Errorf("asking where the changelog ends: %w", err)
		}
		open := false
		ends.Each(func(end kadm.ListedOffset) {
			at, ok := stable.Lookup(end.Topic, end.Partition)
			open = open || !ok || at.Offset < end.Offset
		})
		if !open {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// unread is how many offsets of input were deleted before the application read them.
// While it runs nobody but the application knows.
type unread struct{ least, most int64 }

// steppedOver returns how many offsets of input the application says that it has not
// read, by the records of positions in its changelog. Its counter says the same, but
// for a task that had never read anything, and forgets when a process is killed.
func (a *App) steppedOver(ctx context.Context) (n int64, err error) {
	positions, err := audit.ReadPositions(ctx, a.Client, a.Names.Changelog)
	if err != nil {
		return 0, err
	}
	for _, p := range positions {
		for i := range p.Inputs {
			if in := &p.Inputs[i]; in.Topic != a.Names.Commands {
				n += in.First + in.LostOffsets()
			}
		}
	}
	return n, nil
}

// tellsLosses returns an error if what the application says that it has not read is not
// what was deleted before it could. The application is at rest, and the caller holds
// a.mu of auditing.
func (a *App) tellsLosses(ctx context.Context, c *Checked) error {
	said, err := a.steppedOver(ctx)
	if err != nil {
		return err
	}
	c.UnreadLeast, c.UnreadMost, c.SteppedOver = a.unread.least-a.before.least, a.unread.most-a.before.most, said-a.saidBefore
	a.before, a.saidBefore = a.unread, said
	if said < a.unread.least || said > a.unread.most {
		return fmt.Errorf("from %d to %d offsets of input were deleted unread, and the application says that it has stepped over %d", a.unread.least, a.unread.most, said)
	}
	return nil
}

// TruncateCommands deletes the commands that their tasks have read.
func (a *App) TruncateCommands(ctx context.Context) error {
	positions, err := audit.ReadPositions(ctx, a.Client, a.Names.Changelog)
	if err != nil {
		return err
	}
	upTo := make(kadm.Offsets)
	for task, p := range positions {
		for _, in := range p.Inputs {
			if in.Topic == a.Names.Commands && in.Next > 0 {
				upTo.AddOffset(in.Topic, task, in.Next, -1)
			}
		}
	}
	return deleteRecords(ctx, kadm.NewClient(a.Client), upTo)
}

func deleteRecords(ctx context.Context, admin *kadm.Client, upTo kadm.Offsets) error {
	if len(upTo) == 0 {
		return nil
	}
	deleted, err := admin.DeleteRecords(ctx, upTo)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		return fmt.Errorf("deleting records: %w", err)
	}
	return nil
}

// DeleteGroup deletes the group. No instance may run.
func (a *App) DeleteGroup(ctx context.Context) error {
	_, err := kadm.NewClient(a.Client).DeleteGroup(ctx, a.Name)
	return err
}

// MoveGroup commits offsets of the input for the group that nobody has reached: an
// operator's, while no instance runs; in a transaction of a stranger, which brokers
// take at any time, while some do.
func (a *App) MoveGroup(ctx context.Context, r *rand.Rand, running bool) error {
	admin := kadm.NewClient(a.Client)
	topics := []string{a.Names.Observations, a.Names.IdentityEvents, a.Names.Commands}
	ends, err := admin.ListEndOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("asking where the input ends: %w", err)
	}
	// A group that has read something beside a task that has no state yet is refused.
	state, err := audit.ReadPositions(ctx, a.Client, a.Names.Changelog)
	if err != nil {
		return err
	}
	to := make(kadm.Offsets)
	for _, topic := range topics {
		for p := range int32(len(ends[topic])) {
			end, _ := ends.Lookup(topic, p)
			at := r.Int64N(end.Offset + 50)
			if _, has := state[p]; !has {
				continue
			}
			to.AddOffset(topic, p, at, -1)
		}
	}
	if len(to) == 0 {
		return nil
	}
	if !running {
		return admin.CommitAllOffsets(ctx, a.Name, to)
	}
	return a.commitAsStranger(ctx, to)
}

// commitAsStranger commits offsets in a transaction without a member of the group.
func (a *App) commitAsStranger(ctx context.Context, to kadm.Offsets) error {
	id := a.Name + "-stranger"
	begin := kmsg.NewPtrInitProducerIDRequest()
	begin.TransactionalID, begin.TransactionTimeoutMillis = &id, 10_000
	producer, err := begin.RequestWith(ctx, a.Client)
	if err == nil {
		err = kerr.ErrorForCode(producer.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = id, producer.ProducerID, producer.ProducerEpoch, a.Name
	added, err := add.RequestWith(ctx, a.Client)
	if err == nil {
		err = kerr.ErrorForCode(added.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("adding the group to a transaction: %w", err)
	}
	commit := kmsg.NewPtrTxnOffsetCommitRequest()
	commit.TransactionalID, commit.Group, commit.ProducerID, commit.ProducerEpoch, commit.Generation = id, a.Name, producer.ProducerID, producer.ProducerEpoch, -1
	for topic, partitions := range to {
		t := kmsg.NewTxnOffsetCommitRequestTopic()
		t.Topic = topic
		for p, o := range partitions {
			c := kmsg.NewTxnOffsetCommitRequestTopicPartition()
			c.Partition, c.Offset, c.LeaderEpoch = p, o.At, -1
			t.Partitions = append(t.Partitions, c)
		}
		commit.Topics = append(commit.Topics, t)
	}
	answer, err := commit.RequestWith(ctx, a.Client)
	if err != nil {
		return fmt.Errorf("committing offsets: %w", err)
	}
	var refused error
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			if refused == nil {
				refused = kerr.ErrorForCode(p.ErrorCode)
			}
		}
	}
	end := kmsg.NewPtrEndTxnRequest()
	end.TransactionalID, end.ProducerID, end.ProducerEpoch, end.Commit = id, producer.ProducerID, producer.ProducerEpoch, refused == nil
	ended, err := end.RequestWith(ctx, a.Client)
	if err == nil {
		err = kerr.ErrorForCode(ended.ErrorCode)
	}
	if err == nil {
		err = refused
	}
	if err != nil {
		return fmt.Errorf("moving the group's offsets: %w", err)
	}
	return nil
}

// OpenTransaction writes observations in a transaction of a sensor's, as many as n.
// The function that it returns ends it.
func (a *App) OpenTransaction(ctx context.Context, n int) (end func(ctx context.Context, commit bool) error, err error) {
	cl, err := kgo.NewClient(append(a.Lab.Direct(), kgo.TransactionalID(a.Name+"-sensor"), kgo.RecordPartitioner(a.Names.Partitioner()))...)
	if err != nil {
		return nil, err
	}
	if err := cl.BeginTransaction(); err != nil {
		cl.Close()
		return nil, err
	}
	// The source of the application's input is somebody else's at the time.
	source := traffic.New(a.traffic, a.Names)
	var records []*kgo.Record
	for len(records) < n {
		if r := source.Next(); r.Topic == a.Names.Observations {
			records = append(records, r)
		}
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		cl.Close()
		return nil, fmt.Errorf("writing in a transaction: %w", err)
	}
	return func(ctx context.Context, commit bool) error {
		defer cl.Close()
		if err := cl.EndTransaction(ctx, kgo.TransactionEndTry(commit)); err != nil {
			return fmt.Errorf("ending a transaction: %w", err)
		}
		return nil
	}, nil
}

// Bomb writes a batch that unpacks to more than the application takes.
func (a *App) Bomb(ctx context.Context, topic string, partition int32, records, size int) error {
	_, err := unpacktest.Send(ctx, a.Client, topic, partition, records, size)
	return err
}
