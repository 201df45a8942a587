package lab

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/integration/traffic"
	"handprint/internal/audit"
	"handprint/internal/unpack/unpacktest"
)

// What others do to an application's topics and group.

// TruncateInput deletes the beginning of the observations and the identity events,
// up to somewhere between their beginnings and their ends. The audit keeps what is
// deleted: what the application has read of it must be in the rows.
func (a *App) TruncateInput(ctx context.Context, r *rand.Rand) (deleted int64, err error) {
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
	upTo := make(kadm.Offsets)
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
			}
		}
	}
	a.truncated = true
	return deleted, deleteRecords(ctx, admin, upTo)
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
