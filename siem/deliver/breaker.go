package deliver

import (
	"context"
	"errors"
	"time"
)

// open reports whether the circuit is open: the receiver has failed so often that
// it is only probed.
func (l *Loop) open() bool { return l.failures >= l.Pace.BreakAfter }

func (l *Loop) succeeded() {
	if l.open() {
		l.Log.Info("a receiver answers again", "sink", l.Name)
	}
	l.failures = 0
	l.count(func(s *Status) { s.Open, s.LastError = false, "" })
}

func (l *Loop) failed(err error) {
	l.failures++
	open := l.open()
	l.count(func(s *Status) { s.Failures++; s.Open, s.LastError = open, oneLine([]byte(err.Error())) })
	if l.failures == 1 || l.failures == l.Pace.BreakAfter {
		var m *Misconfigured
		if errors.As(err, &m) {
			l.Log.Error("a receiver refuses the sink: its settings have to be changed, here or there; nothing is lost meanwhile", "sink", l.Name, "error", oneLine([]byte(err.Error())))
			return
		}
		l.Log.Warn("delivering failed, trying again", "sink", l.Name, "failures", l.failures, "open", open, "error", oneLine([]byte(err.Error())))
	}
}

// maxAfter bounds the time that a receiver can ask for.
const maxAfter = 5 * time.Minute

// wait waits before the next attempt: a random part of a time that doubles with
// each wait, at least what the receiver asked for, and the breaker's time if the
// circuit is open. It reports whether ctx goes on.
func (l *Loop) wait(ctx context.Context, waits int, err error) bool {
	limit := l.Pace.RetryMax
	if waits < 20 {
		limit = min(limit, l.Pace.RetryMin<<waits)
	}
	d := limit/4 + time.Duration(l.rng.Float64()*float64(limit)*3/4)
	if l.open() {
		d = l.Pace.BreakWait/2 + time.Duration(l.rng.Float64()*float64(l.Pace.BreakWait))
	}
	var busy *Busy
	if errors.As(err, &busy) {
		d = max(d, min(busy.After, maxAfter))
	}
	return l.Clock.Sleep(ctx, d)
}
