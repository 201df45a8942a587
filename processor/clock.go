package processor

import "time"

// Clock is where a processor gets the time from. [SystemClock] is the real
// one; package clocktest has one that tests move by hand.
type Clock interface {
	// Now returns the current time.
	Now() time.Time
	// NewTicker returns a ticker with period d, which must be above zero.
	NewTicker(d time.Duration) Ticker
}

// Ticker delivers the ticks of a [Clock]. Like [time.Ticker] it drops ticks
// for a slow receiver.
type Ticker interface {
	// C returns the channel on which the ticks arrive.
	C() <-chan time.Time
	// Stop ends the ticks. It does not close the channel.
	Stop()
}

// SystemClock is the clock of the operating system.
type SystemClock struct{}

// Now returns [time.Now].
func (SystemClock) Now() time.Time { return time.Now() }

// NewTicker returns a [time.Ticker].
func (SystemClock) NewTicker(d time.Duration) Ticker { return systemTicker{time.NewTicker(d)} }

type systemTicker struct{ *time.Ticker }

func (t systemTicker) C() <-chan time.Time { return t.Ticker.C }
