package processor

import "time"

// Clock is where a processor gets the time from. [SystemClock] is the real
// one; package clocktest has one that tests move by hand.
type Clock interface {
	// Now returns the current time.
	Now() time.Time
	// NewTicker returns a channel that gets the time every d, which must be
	// above zero, until stop is called. Like [time.Ticker] it drops ticks for
	// a slow receiver, and stop does not close the channel.
	NewTicker(d time.Duration) (ticks <-chan time.Time, stop func())
	// NewTimer returns a channel that gets the time once, after d, unless stop
	// is called before. Waits for brokers use it, so the clock of a test may let
	// it fire in real time.
	NewTimer(d time.Duration) (fired <-chan time.Time, stop func())
}

// SystemClock is the clock of the operating system.
type SystemClock struct{}

// Now returns [time.Now].
func (SystemClock) Now() time.Time { return time.Now() }

// NewTimer returns the channel of a [time.Timer].
func (SystemClock) NewTimer(d time.Duration) (fired <-chan time.Time, stop func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// NewTicker returns the channel of a [time.Ticker].
func (SystemClock) NewTicker(d time.Duration) (ticks <-chan time.Time, stop func()) {
	t := time.NewTicker(d)
	return t.C, t.Stop
}
