package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
)

// consume is the loop: read, conclude, write, wait, commit.
func consume(ctx context.Context, s settings, brokers []string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumerGroup(s.application), kgo.ConsumeTopics(s.observations),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll())
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	r := newRows()
	if err := readLinks(ctx, r, s, brokers); err != nil {
		return fmt.Errorf("reading %s: %w", s.identityEvents, err)
	}
	for {
		fetches := client.PollRecords(ctx, 10_000)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("reading: %w", err)
		}
		var failed error
		fetches.EachRecord(func(in *kgo.Record) {
			if failed == nil {
				failed = handle(ctx, client, s, r, in)
			}
		})
		if failed != nil {
			return failed
		}
		if err := client.Flush(ctx); err != nil {
			return ended(ctx, fmt.Errorf("writing: %w", err))
		}
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			return ended(ctx, fmt.Errorf("committing offsets: %w", err))
		}
		client.AllowRebalance()
	}
}

// ended hides an error that only says that ctx has.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// handle takes one record and writes what follows from it.
func handle(ctx context.Context, client *kgo.Client, s settings, r *rows, in *kgo.Record) error {
	row, event, err := r.take(in.Value, attribution.Arrival{Time: in.Timestamp.UnixMilli(), Partition: in.Partition, Offset: in.Offset})
	if err != nil {
		client.Produce(ctx, &kgo.Record{Topic: s.deadLetter, Key: in.Key, Value: in.Value,
			Headers: append(in.Headers, kgo.RecordHeader{Key: "reason", Value: []byte(err.Error())})}, nil)
		return nil
	}
	write := func(topic, key string, v any) error {
		value, err := json.Marshal(v)
		if err != nil {
			return err
		}
		client.Produce(ctx, &kgo.Record{Topic: topic, Key: []byte(key), Value: value}, nil)
		return nil
	}
	if event != nil {
		err = write(s.stateChanged, event.Identity, event)
	}
	if row != nil {
		err = errors.Join(err, write(s.state, row.Identity+"/"+row.Primitive, row))
	}
	return err
}

// readLinks reads the identity events that are there.
func readLinks(ctx context.Context, r *rows, s settings, brokers []string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(s.identityEvents))
	if err != nil {
		return err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, s.identityEvents)
	if err != nil {
		return err
	}
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		var failed error
		fetches.EachRecord(func(e *kgo.Record) {
			left--
			failed = errors.Join(failed, r.link(e.Value))
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}
