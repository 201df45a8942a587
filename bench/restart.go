package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// restarts are the times that starts take.
type restarts struct {
	Kept     taken // after a clean stop, state kept
	Killed   taken // from kill -9, started again at once
	Wiped    taken // after a clean stop, state wiped
	Restored int64 // records of the changelog at that time
}

// taken is how long a start takes until the group commits again, of what its tasks
// with state read.
type taken struct {
	First time.Duration // an offset
	All   time.Duration // an offset of each partition
}

// rate is how many records of the changelog a second were restored, all
// partitions together. What a start takes besides does not count.
func (r *restarts) rate() float64 {
	if r.Wiped.All <= r.Kept.All {
		return 0
	}
	return float64(r.Restored) / (r.Wiped.All - r.Kept.All).Seconds()
}

// settle is how long a contender works between two restarts: long enough to
// have caught up.
const settle = 5 * time.Second

// restart restarts a contender that has drained the backlog, while new
// observations arrive at the rate.
func (b *rig) restart(ctx context.Context, c *contender, j *job) (res restarts, err error) {
	f, err := b.feed(ctx, c, j.Names.Observations, 2)
	if err != nil {
		return res, err
	}
	defer f.stop()

	r, took, err := b.startAgain(ctx, c, j, time.Time{})
	if err != nil {
		return res, fmt.Errorf("with its state kept: %w", err)
	}
	res.Kept = took
	if err := pause(ctx, settle); err != nil {
		r.kill()
		return res, err
	}
	killed := time.Now()
	r.kill()
	if r, res.Killed, err = b.startAgain(ctx, c, j, killed); err != nil {
		return res, fmt.Errorf("after kill -9: %w", err)
	}
	if err := pause(ctx, settle); err != nil {
		r.kill()
		return res, err
	}
	if _, err := r.stop(); err != nil {
		return res, err
	}
	if err := os.RemoveAll(j.Dir); err != nil {
		return res, err
	}
	if err := os.MkdirAll(j.Dir, 0o755); err != nil {
		return res, err
	}
	if err := b.each(ctx, c.changelog(j), func(*kgo.Record) error { res.Restored++; return nil }); err != nil {
		return res, err
	}
	if r, res.Wiped, err = b.startAgain(ctx, c, j, time.Time{}); err != nil {
		return res, fmt.Errorf("with its state wiped: %w", err)
	}
	if _, err := r.stop(); err != nil {
		return res, err
	}
	return res, f.stop()
}

// startAgain starts a contender and waits until its group has committed for each
// partition. The end of its outputs does not tell: that moves already when what
// it left open before is aborted.
func (b *rig) startAgain(ctx context.Context, c *contender, j *job, from time.Time) (r *running, took taken, err error) {
	before, err := b.read(ctx, c, j)
	if err != nil {
		return nil, took, err
	}
	begin := time.Now()
	if from.IsZero() {
		from = begin
	}
	if r, err = b.start(ctx, c, j); err != nil {
		return nil, took, err
	}
	for {
		if err := pause(ctx, lookEvery); err != nil {
			r.kill()
			return nil, took, err
		}
		now, err := b.read(ctx, c, j)
		more := 0
		for p, n := range now {
			if n > before[p] {
				more++
			}
		}
		if more > 0 && took.First == 0 {
			took.First = time.Since(from)
		}
		switch {
		case err != nil:
		case more == int(j.Partitions):
			took.All = time.Since(from)
			return r, took, nil
		case time.Since(begin) > patience:
			err = fmt.Errorf("%s has committed for %d of %d partitions within %s", c.name, more, j.Partitions, patience)
		}
		if err != nil {
			r.kill()
			return nil, took, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
