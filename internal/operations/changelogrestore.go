package operations

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/broker"
	"handprint/processor"
	"handprint/state"
	"handprint/topology"
)

// ChangelogRestore is a plan to write the stores of an application back into its
// changelog, after the topic was lost.
type ChangelogRestore struct {
	app   *Application
	tasks []storedTask // by task

	// Steps say what Execute does, a line for each.
	Steps []string
}

// storedTask is the copy of a task's store that is written back.
type storedTask struct {
	dir        string
	checkpoint state.Checkpoint
	positions  processor.Positions
}

// ErrNotEmpty means that a changelog has records, so that nothing is written to it.
var ErrNotEmpty = errors.New("the changelog is not empty")

// restoreTimeout bounds the one transaction in which stores are written back; brokers
// do not take a longer one by default.
const restoreTimeout = 15 * time.Minute

// PlanChangelogRestore looks whether the stores in the state directories can be
// written back. It changes nothing. They must have each task, of several copies of
// one the newest is taken, and no process may use them. The error is ErrRunning while
// the group has members or a store is in use, and ErrNotEmpty if the changelog has
// records.
func PlanChangelogRestore(ctx context.Context, cl *kgo.Client, a *Application, stateDirs []string) (*ChangelogRestore, error) {
	adm := kadm.NewClient(cl)
	group, err := describeGroup(ctx, adm, a.ID)
	if err != nil {
		return nil, err
	}
	if err := refuseMembers(&group); err != nil {
		return nil, err
	}
	r := &ChangelogRestore{app: a, tasks: make([]storedTask, a.Layout.Partitions)}
	if err := r.refuseRecords(ctx, cl, adm); err != nil {
		return nil, err
	}
	for _, dir := range stateDirs {
		err := withStore(dir, func(store *state.Store, partitions []int32) error {
			for _, p := range partitions {
				if err := r.offer(dir, p, store.Partition(p).Snapshot()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for task, t := range r.tasks {
		if t.dir == "" {
			return nil, fmt.Errorf("no store has task %d: give the state directories of all processes of the application", task)
		}
		r.Steps = append(r.Steps, fmt.Sprintf("write task %d of %s to %s[%d], as of %s", task, t.dir, a.Names.Changelog, task, t.checkpoint.At.UTC().Format(time.RFC3339)))
	}
	return r, nil
}

// refuseRecords returns ErrNotEmpty unless the changelog is empty or not there.
func (r *ChangelogRestore) refuseRecords(ctx context.Context, cl *kgo.Client, adm *kadm.Client) error {
	topic := r.app.Names.Changelog
	topics, err := adm.ListTopics(ctx, topic)
	if err != nil {
		return fmt.Errorf("asking for topic %s: %w", topic, err)
	}
	if !topics.Has(topic) {
		return nil // Execute makes it
	}
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("asking where %s begins: %w", topic, err)
	}
	ends, err := adm.ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("asking where %s ends: %w", topic, err)
	}
	for p, end := range ends[topic] {
		start, _ := starts.Lookup(topic, p)
		err := broker.ScanRange(ctx, cl, func(rec *kgo.Record) error {
			return fmt.Errorf("%w: %s[%d] has a record at offset %d; stores are written back into an empty topic only", ErrNotEmpty, topic, p, rec.Offset)
		}, topic, p, start.Offset, end.Offset)
		if err != nil {
			return err
		}
	}
	return nil
}

// withStore opens the store of a state directory for reading.
func withStore(dir string, use func(store *state.Store, partitions []int32) error) (err error) {
	store, err := state.Open(filepath.Join(dir, "store"), state.Options{ReadOnly: true})
	switch {
	case errors.Is(err, state.ErrLocked):
		return fmt.Errorf("%w: the store of %s is in use", ErrRunning, dir)
	case err != nil:
		return fmt.Errorf("opening the store of %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	partitions, err := store.Partitions()
	if err == nil {
		err = use(store, partitions)
	}
	if err != nil {
		return fmt.Errorf("the store of %s: %w", dir, err)
	}
	return nil
}

// offer takes a copy of a task unless a newer one is known.
func (r *ChangelogRestore) offer(dir string, task int32, snapshot *state.Snapshot) error {
	defer snapshot.Close()
	checkpoint, found, err := snapshot.Checkpoint()
	if err != nil || !found {
		return err
	}
	if int(task) >= len(r.tasks) {
		return fmt.Errorf("it has task %d, and the application has %d: %w", task, len(r.tasks), ErrPartitions)
	}
	positions, known, err := processor.StoredPositions(checkpoint)
	if err != nil || !known {
		return err // a task that has read nothing has nothing to write back
	}
	best := &r.tasks[task]
	switch {
	case best.dir == "":
	case best.checkpoint.Identity != checkpoint.Identity:
		return fmt.Errorf("its task %d comes from another changelog than that of %s: leave out the older one", task, best.dir)
	case best.checkpoint.Offset >= checkpoint.Offset:
		return nil
	}
	*best = storedTask{dir: dir, checkpoint: checkpoint, positions: positions}
	return nil
}

// Execute writes the stores into the changelog, in one transaction, and returns how
// many records they had. After an error there is nothing that a reader sees, unless it
// is of the commit, whose outcome may then be unknown: look again with a plan.
func (r *ChangelogRestore) Execute(ctx context.Context, cl *kgo.Client) (records int64, err error) {
	topic := r.app.Names.Changelog
	for _, s := range r.app.specs() {
		if s.Name == topic {
			if _, err := broker.Ensure(ctx, cl, []broker.TopicSpec{s}); err != nil {
				return 0, err
			}
		}
	}
	writer, err := kgo.NewClient(append(cl.Opts(), kgo.TransactionalID(r.app.ID+"-changelog-restore"), kgo.TransactionTimeout(restoreTimeout), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(topology.MaxBatchBytes))...)
	if err != nil {
		return 0, err
	}
	defer writer.Close()
	if err := writer.BeginTransaction(); err != nil {
		return 0, fmt.Errorf("beginning a transaction: %w", err)
	}
	failed := kgo.AbortingFirstErrPromise(writer)
	for task := range r.tasks {
		n, err := r.write(ctx, writer, int32(task), failed)
		records += n
		if err != nil {
			return 0, errors.Join(err, failed.Err(), abort(ctx, writer))
		}
	}
	if err := failed.Err(); err != nil {
		return 0, errors.Join(fmt.Errorf("writing to topic %s: %w", topic, err), abort(ctx, writer))
	}
	if err := writer.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return 0, fmt.Errorf("committing what was written to topic %s: %w", topic, err)
	}
	return records, nil
}

func abort(ctx context.Context, writer *kgo.Client) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := writer.EndTransaction(ctx, kgo.TryAbort); err != nil {
		return fmt.Errorf("aborting the transaction: %w", err)
	}
	return nil
}

// write sends the records of a task, and behind them how far it has read.
func (r *ChangelogRestore) write(ctx context.Context, writer *kgo.Client, task int32, sent *kgo.FirstErrPromise) (n int64, err error) {
	t, topic := &r.tasks[task], r.app.Names.Changelog
	err = withStore(t.dir, func(store *state.Store, _ []int32) error {
		snapshot := store.Partition(task).Snapshot()
		defer snapshot.Close()
		now, _, err := snapshot.Checkpoint()
		switch {
		case err != nil:
			return err
		case now.Offset != t.checkpoint.Offset || now.Identity != t.checkpoint.Identity:
			return fmt.Errorf("%w: the store has changed", ErrRunning)
		}
		return snapshot.Scan(nil, nil, func(key, value []byte) bool {
			n++
			writer.Produce(ctx, &kgo.Record{Topic: topic, Partition: task, Key: bytes.Clone(key), Value: bytes.Clone(value)}, sent.Promise())
			return ctx.Err() == nil
		})
	})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return n, fmt.Errorf("writing task %d to topic %s: %w", task, topic, err)
	}
	// The terms of before are of another log, whose offsets mean nothing here.
	p := t.positions
	p.Nonce, p.OlderTerms, p.Terms = rand.Uint64(), p.OlderTerms+uint64(len(p.Terms)), nil
	writer.Produce(ctx, processor.ResetRecord(topic, task, &p), sent.Promise())
	return n + 1, nil
}
