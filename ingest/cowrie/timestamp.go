package cowrie

import (
	"time"

	"handprint/ingest/internal/stamp"
)

// micros is a time or a span in whole microseconds; a time counts from 1970.
type micros int64

const microsPerSecond = stamp.PerSecond

// String returns a span in words, to the second.
func (t micros) String() string {
	return (time.Duration(t) * time.Microsecond).Round(time.Second).String()
}

func microsOf(d time.Duration) micros { return micros(d / time.Microsecond) }

// seconds returns the double nearest to the exact value in seconds.
func (t micros) seconds() float64 { return stamp.Seconds(int64(t)) }

// parseTimestamp reads a time as Cowrie writes it (docs/cowrie.md, "Reading").
func parseTimestamp(text []byte) (micros, bool) {
	t, ok := stamp.Parse(text)
	return micros(t), ok
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
