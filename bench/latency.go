package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/load"
)

// at is the latency that a share of all lies below; l is sorted.
func at(l []time.Duration, share float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	return l[min(len(l)-1, int(share*float64(len(l))))]
}

// latency holds a contender at the rate, beside a flood if there is one. It has topics
// of its own.
func (b *rig) latency(ctx context.Context, c *contender, name string, f flood) (got flooding, err error) {
	j, err := b.job(ctx, name+"-rate", c, true)
	if err != nil {
		return got, err
	}
	into, err := b.floodTopic(ctx, f, j.Names.Observations)
	if err != nil {
		return got, err
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.ConsumeTopics(j.Names.StateChanged), kgo.FetchMaxWait(time.Second),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return got, err
	}
	defer reader.Close()
	r, err := b.start(ctx, c, j)
	if err != nil {
		return got, err
	}
	began := time.Now()
	if got.Others, err = b.holdRate(ctx, reader, c, j.Names.Observations, f, into); err != nil {
		r.kill()
		return got, fmt.Errorf("%s: %w (see %s)", c.name, err, b.dir)
	}
	if f.rate > 0 && !f.elsewhere {
		read, err := b.read(ctx, c, j)
		if err != nil {
			r.kill()
			return got, err
		}
		got.Done = float64(read[floodedPartition]) / time.Since(began).Seconds()
		ends, err := kadm.NewClient(b.client).ListEndOffsets(ctx, into)
		if err != nil {
			r.kill()
			return got, fmt.Errorf("asking for the ends of %s: %w", into, err)
		}
		if end, ok := ends.Lookup(into, floodedPartition); ok {
			got.Lag = end.Offset - read[floodedPartition]
		}
	}
	_, err = r.stop()
	return got, err
}

// holdRate sends observations at the rate and reads the transitions. Each
// transition tells by its ts which observation it is for. Latency is taken from
// the moment at which the observation was due to be sent, so that a stall is
// not hidden by what was not sent meanwhile. What is sent before the first
// transition was seen, and until the rate has been held for as long as the
// warm-up, does not count.
func (b *rig) holdRate(ctx context.Context, reader *kgo.Client, c *contender, topic string, fl flood, into string) (l []time.Duration, err error) {
	f, err := b.feed(ctx, c, topic, 1)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	flooding, endFlood := context.WithCancel(ctx)
	flooded := make(chan error, 1)
	go func() { flooded <- b.floodWith(flooding, into, fl.rate) }() // ends with this function
	defer func() {
		endFlood()
		err = errors.Join(err, <-flooded)
	}()
	patient, stop := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no transition within %s", patience))
	defer stop()
	end, skip := time.Time{}, 0
	for end.IsZero() || time.Now().Before(end) {
		poll, stop := context.WithTimeout(patient, time.Second)
		fetches := reader.PollFetches(poll)
		stop()
		if patient.Err() != nil {
			return nil, fmt.Errorf("holding the rate: %w", context.Cause(patient))
		}
		now := time.Now()
		if end.IsZero() && fetches.NumRecords() > 0 {
			skip = int(float64(b.rate) * (now.Sub(f.base) + b.warm).Seconds())
			end = now.Add(b.warm + b.hold)
			patient = ctx
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if fl.rate > 0 && b.isFlooded(r.Key) {
				return
			}
			if i, ok := b.observationOf(r.Value); ok && i >= skip {
				l = append(l, now.Sub(f.due(i)))
			}
		})
	}
	slices.Sort(l)
	return l, f.stop()
}

// feed sends observations at the rate until it is stopped.
type feed struct {
	base   time.Time
	rate   int
	cancel context.CancelFunc
	ended  chan error
	err    error
	over   bool
}

// due is when the nth observation was due to be sent.
func (f *feed) due(n int) time.Time {
	return f.base.Add(time.Duration(n) * time.Second / time.Duration(f.rate))
}

// stop ends it and returns what went wrong.
func (f *feed) stop() error {
	if !f.over {
		f.cancel()
		f.err, f.over = <-f.ended, true
	}
	return f.err
}

func (b *rig) feed(ctx context.Context, c *contender, topic string, salt uint64) (*feed, error) {
	l := b.load
	l.Seed += salt
	_, l.Format = b.inputOf(c)
	g, err := load.New(l)
	if err != nil {
		return nil, err
	}
	sending, cancel := context.WithCancel(ctx)
	f := &feed{base: time.Now(), rate: b.rate, cancel: cancel, ended: make(chan error, 1)}
	go func() { // stop waits for it
		ticks := time.NewTicker(time.Millisecond)
		defer ticks.Stop()
		failed := make(chan error, 1)
		for i := 0; ; {
			for ; !time.Now().Before(f.due(i)); i++ {
				r := g.Next()
				b.client.Produce(ctx, &kgo.Record{
					Topic: topic, Partition: r.Partition, Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value),
				}, func(_ *kgo.Record, err error) {
					if err != nil {
						select {
						case failed <- err:
						default:
						}
					}
				})
			}
			select {
			case <-ticks.C:
			case err := <-failed:
				f.ended <- fmt.Errorf("sending observations: %w", err)
				return
			case <-sending.Done():
				f.ended <- b.client.Flush(ctx)
				return
			}
		}
	}()
	return f, nil
}

// observationOf tells from a transition which observation it is for.
func observationOf(transition []byte) (int, bool) {
	_, rest, ok := bytes.Cut(transition, []byte(`"ts":`))
	if !ok {
		return 0, false
	}
	if end := bytes.IndexAny(rest, ",}"); end >= 0 {
		rest = rest[:end]
	}
	ts, err := strconv.ParseFloat(string(bytes.TrimSpace(rest)), 64)
	return observationAt(ts), err == nil
}

// observationAt tells from a ts which observation has it.
func observationAt(ts float64) int { return int((ts - load.Start) / load.Step) }
