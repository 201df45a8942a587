package attribution

import (
	"fmt"
	"math"
	"time"
)

// Ahead returns why an observation's ts is refused: it lies more than limit
// ahead of the clock, both in Unix seconds. It is empty if ts will do, and with
// a limit of 0.
func Ahead(ts, clock float64, limit time.Duration) (reason string) {
	ahead := ts - clock
	if limit == 0 || ahead <= limit.Seconds() {
		return ""
	}
	reason = "ts is " + span(ahead) + " ahead"
	for _, unit := range []struct {
		name string
		in1s float64
	}{{"milliseconds", 1e3}, {"microseconds", 1e6}, {"nanoseconds", 1e9}} {
		if math.Abs(ts/unit.in1s-clock) < 20*year {
			return reason + ": it looks like " + unit.name + ", and has to be in seconds"
		}
	}
	return reason
}

const (
	day  = 24 * 60 * 60
	year = 365.25 * day
)

// span is a number of seconds in whole units, for people.
func span(seconds float64) string {
	n, unit := math.Floor(seconds), "second"
	switch {
	case seconds >= 1e6*year:
		return "more than a million years"
	case seconds >= 1000*day:
		n, unit = math.Floor(seconds/year), "year"
	case seconds >= 2*day:
		n, unit = math.Floor(seconds/day), "day"
	case seconds >= 2*60*60:
		n, unit = math.Floor(seconds/3600), "hour"
	case seconds >= 2*60:
		n, unit = math.Floor(seconds/60), "minute"
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%.0f %s", n, unit)
}
