package topology

import (
	"log/slog"
	"time"

	"handprint/engine"
)

// letterPause is how often dead letters are told of in the log, at most.
const letterPause = time.Minute

// letterLog tells in the log how many records could not be used: one line in a
// minute, however many there are. It is called with each heartbeat.
type letterLog struct {
	log  *slog.Logger
	at   time.Time // of the last line
	told []int64   // by stage, as the last line had them
}

func (l *letterLog) tell(now time.Time, c *engine.Counters) {
	if l.log == nil || now.Sub(l.at) < letterPause {
		return
	}
	stages := engine.Stages()
	if l.told == nil {
		l.told = make([]int64, len(stages))
	}
	var counts []any
	for i, stage := range stages {
		n := c.DeadLettersOf(i)
		if n > l.told[i] {
			counts = append(counts, stage, n-l.told[i])
		}
		l.told[i] = n
	}
	if len(counts) > 0 {
		l.at = now
		l.log.Warn("records could not be used and are dead letters; handprint dead-letters says why", counts...)
	}
}
