package processor

import (
	"context"
	"time"
)

// wait returns after d by the clock, or with ctx's error when that ends first.
func wait(ctx context.Context, clock Clock, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	fired, stop := clock.NewTimer(d)
	defer stop()
	select {
	case <-fired:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// poll calls f until it returns true or ctx ends, after first and then after
// twice the delay of the call before, at most max.
func poll(ctx context.Context, clock Clock, first, max time.Duration, f func() (done bool)) error {
	for delay := first; ; delay = min(2*delay, max) {
		if f() {
			return nil
		}
		if err := wait(ctx, clock, delay); err != nil {
			return err
		}
	}
}

// backoff waits longer each time, from 50 ms to max.
type backoff struct {
	clock Clock
	max   time.Duration
	next  time.Duration
}

// wait returns ctx's error if that ends first.
func (b *backoff) wait(ctx context.Context) error { return wait(ctx, b.clock, b.step()) }

// step returns how long to wait, longer than the last time.
func (b *backoff) step() time.Duration {
	b.next = min(max(2*b.next, 50*time.Millisecond), b.max)
	return b.next
}

func (b *backoff) reset() { b.next = 0 }
