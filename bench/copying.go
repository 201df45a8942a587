package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"handprint/processor"
)

// copy is the limit: it reads observations and writes them to one topic, in
// transactions, with the client's options that handprint has, until ctx ends.
// It does nothing else with them. With two hops they go over another topic, as
// those of an application with a repartition step do.
func (j *job) copy(ctx context.Context, m *meter) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range j.Threads {
		group.Go(func() error { return j.copyWorker(ctx, i, m) })
	}
	return group.Wait()
}

func (j *job) copyWorker(ctx context.Context, i int, m *meter) error {
	topics := []string{j.Names.Observations}
	if j.Hops == 2 {
		topics = append(topics, j.Names.Commands)
	}
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(j.Brokers...),
		kgo.WithHooks(m),
		kgo.TransactionalID(fmt.Sprintf("%s-%d", j.Group, i)),
		kgo.TransactionTimeout(10*time.Second),
		kgo.ProducerBatchCompression(kgo.SnappyCompression()),
		kgo.MaxBufferedRecords(1<<18),
		kgo.ProducerLinger(0),
		kgo.ConsumerGroup(j.Group),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.FetchMaxBytes(8<<20),
	)
	if err != nil {
		return err
	}
	defer session.Close()
	var out []kgo.Record
	for {
		fetches := session.PollRecords(ctx, 10_000)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("reading: %w", err)
		}
		if fetches.NumRecords() == 0 {
			continue
		}
		if err := session.Begin(); err != nil {
			return fmt.Errorf("beginning a transaction: %w", err)
		}
		owed := 0.0
		out = out[:0]
		fetches.EachRecord(func(r *kgo.Record) {
			topic := j.Names.StateChanged
			if j.Hops == 2 && r.Topic == j.Names.Observations {
				topic = j.Names.Commands
			}
			for owed += j.Copies; owed >= 1; owed-- {
				out = append(out, kgo.Record{Topic: topic, Key: r.Key, Value: j.value(r.Value)})
			}
		})
		failed := make(chan error, 1)
		for i := range out {
			session.Produce(ctx, &out[i], func(_ *kgo.Record, err error) {
				if err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			})
		}
		if err := session.Client().Flush(ctx); err != nil {
			return fmt.Errorf("writing: %w", err)
		}
		select {
		case err := <-failed:
			return fmt.Errorf("writing: %w", err)
		default:
		}
		committed, err := session.End(ctx, kgo.TryCommit)
		if err != nil {
			return fmt.Errorf("ending a transaction: %w", err)
		}
		if !committed {
			continue // the group has moved partitions meanwhile: they are read again
		}
		m.committed(processor.Commit{})
	}
}

// value is what a copy carries: the observation, cut or repeated to the size
// that was asked for.
func (j *job) value(v []byte) []byte {
	switch {
	case j.Bytes == 0:
		return v
	case len(v) >= j.Bytes:
		return v[:j.Bytes]
	}
	out := make([]byte, j.Bytes)
	for n := 0; n < len(out); {
		n += copy(out[n:], v)
	}
	return out
}
