// Package clocktest has a clock for tests: time stands still until the test
// moves it. It implements the clock of package processor and nothing else.
package clocktest

import (
	"sync"
	"time"
)

// Clock is a clock for package processor that only [Clock.Advance] moves. It is safe for
// concurrent use. The zero value stands at the zero time; use [New].
type Clock struct {
	mu      sync.Mutex
	now     time.Time
	tickers map[*ticker]struct{}
	timers  map[*timer]struct{}
	changed chan struct{} // closed and replaced when a ticker is added
}

// New returns a clock that stands at now.
func New(now time.Time) *Clock {
	return &Clock{now: now, tickers: make(map[*ticker]struct{}), timers: make(map[*timer]struct{}), changed: make(chan struct{})}
}

// Now returns the time at which the clock stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// NewTicker returns a channel that ticks when [Clock.Advance] passes a multiple
// of d from now on, until stop is called. It panics if d is not above zero, as
// time.NewTicker does.
func (c *Clock) NewTicker(d time.Duration) (ticks <-chan time.Time, stop func()) {
	if d <= 0 {
		panic("clocktest: non-positive interval for NewTicker")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &ticker{every: d, next: c.now.Add(d), c: make(chan time.Time, 1)}
	c.tickers[t] = struct{}{}
	close(c.changed)
	c.changed = make(chan struct{})
	return t.c, func() { c.stop(t) }
}

// NewTimer returns a channel that gets the time once: when [Clock.Advance] passes
// d from now on, or when d is over in real time. Code under test waits with it
// for brokers, which know nothing of this clock; a test that does not want to wait
// moves the clock.
func (c *Clock) NewTimer(d time.Duration) (fired <-chan time.Time, stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{at: c.now.Add(d), c: make(chan time.Time, 1)}
	c.timers[t] = struct{}{}
	real := time.AfterFunc(d, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.fire(t)
	})
	return t.c, func() {
		real.Stop()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.timers, t)
	}
}

// fire is called with mu held.
func (c *Clock) fire(t *timer) {
	if _, waits := c.timers[t]; waits {
		delete(c.timers, t)
		t.c <- c.now
	}
}

func (c *Clock) stop(t *ticker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.tickers, t)
}

// Advance moves the clock forward by d. Tickers whose time has come tick once,
// however many of their periods have passed, as a slow receiver of a real
// ticker would see it.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for t := range c.timers {
		if !t.at.After(c.now) {
			c.fire(t)
		}
	}
	for t := range c.tickers {
		if t.next.After(c.now) {
			continue
		}
		for !t.next.After(c.now) {
			t.next = t.next.Add(t.every)
		}
		select {
		case t.c <- c.now:
		default:
		}
	}
}

// WaitTickers returns when at least n tickers exist, so that a test does not
// advance the clock before the code under test listens.
func (c *Clock) WaitTickers(n int) {
	for {
		c.mu.Lock()
		enough, changed := len(c.tickers) >= n, c.changed
		c.mu.Unlock()
		if enough {
			return
		}
		<-changed
	}
}

// Taken reports whether every tick was received, so that each look of the code under
// test is one period after the one before: [Clock.Advance] drops ticks that find another.
func (c *Clock) Taken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for t := range c.tickers {
		if len(t.c) > 0 {
			return false
		}
	}
	return true
}

type timer struct {
	at time.Time
	c  chan time.Time
}

type ticker struct {
	every time.Duration
	next  time.Time // guarded by the clock's mu
	c     chan time.Time
}
