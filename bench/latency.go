package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/bench/load"
)

// latencies are the times from an observation's being sent to its transition's
// being readable, read committed; sorted.
type latencies []time.Duration

func (l latencies) at(share float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	return l[min(len(l)-1, int(share*float64(len(l))))]
}

// latency holds handprint at the rate.
func (b *rig) latency(ctx context.Context) (l latencies, err error) {
	j, err := b.prepare(ctx, "latency", contenderHandprint, job{Hold: true})
	if err != nil {
		return nil, err
	}
	j.Profiles = ""
	cmd, err := childCommand(j)
	if err != nil {
		return nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() {
		_ = in.Close()
		if werr := cmd.Wait(); err == nil && werr != nil {
			err = fmt.Errorf("handprint at a fixed rate: %w", werr)
		}
	}()
	reader, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.ConsumeTopics(j.Names.StateChanged),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return b.holdRate(ctx, reader, j.Names.Observations)
}

// warmUp is how long the rate is held before latencies count: tasks start and
// tables fill meanwhile.
const warmUp = 3 * time.Second

// holdRate sends observations at the rate and reads the transitions. Each
// transition tells by its ts which observation it is for.
func (b *rig) holdRate(ctx context.Context, reader *kgo.Client, topic string) (l latencies, err error) {
	c := b.load
	c.Seed++
	g, err := load.New(c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, warmUp+b.hold+30*time.Second)
	defer cancel()
	total := int(float64(b.rate) * (warmUp + b.hold).Seconds())
	skip := int(float64(b.rate) * warmUp.Seconds())
	sent := make([]time.Time, total)
	base := time.Now()
	for i := range sent {
		sent[i] = base.Add(time.Duration(i) * time.Second / time.Duration(b.rate))
	}
	go func() { // ends with ctx, or when all are sent
		for i := 0; i < total; {
			for ; i < total && !time.Now().Before(sent[i]); i++ {
				r := g.Next()
				b.client.Produce(ctx, &kgo.Record{
					Topic: topic, Partition: r.Partition, Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value),
				}, func(_ *kgo.Record, err error) {
					if err != nil {
						cancel()
					}
				})
			}
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				return
			}
		}
	}()
	end := base.Add(warmUp + b.hold + time.Second)
	for time.Now().Before(end) {
		poll, stop := context.WithDeadline(ctx, end)
		fetches := reader.PollFetches(poll)
		stop()
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("holding the rate: %w", err)
		}
		now := time.Now()
		fetches.EachRecord(func(r *kgo.Record) {
			if i, ok := observationOf(r.Value); ok && i >= skip && i < total {
				l = append(l, now.Sub(sent[i]))
			}
		})
	}
	slices.Sort(l)
	return l, nil
}

// observationOf tells from a transition which observation it is for.
func observationOf(transition []byte) (int, bool) {
	_, rest, ok := bytes.Cut(transition, []byte(`,"ts":`))
	if !ok {
		return 0, false
	}
	ts, err := strconv.ParseFloat(string(bytes.TrimRight(rest, "}")), 64)
	return int((ts - load.Start) / load.Step), err == nil
}
