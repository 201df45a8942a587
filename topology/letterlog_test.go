package topology

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"handprint/engine"
)

func TestDeadLettersAreToldOnceAMinute(t *testing.T) {
	var out bytes.Buffer
	l := letterLog{log: slog.New(slog.NewTextHandler(&out, nil))}
	var c engine.Counters
	now := time.Unix(1_700_000_000, 0)
	lines := func() string {
		defer out.Reset()
		return out.String()
	}
	if l.tell(now, &c); lines() != "" {
		t.Error("a line without a dead letter")
	}
	for range 7 {
		c.DeadLetter(engine.StageObservation)
	}
	c.DeadLetter(engine.StageCommand)
	if l.tell(now, &c); !strings.Contains(out.String(), "observation=7 command=1") || strings.Contains(out.String(), "internal") {
		t.Errorf("the line is %s", out.String())
	}
	lines()
	c.DeadLetter(engine.StageObservation)
	if l.tell(now.Add(30*time.Second), &c); lines() != "" {
		t.Error("a second line within the minute")
	}
	if l.tell(now.Add(time.Minute), &c); !strings.Contains(out.String(), "observation=1") {
		t.Errorf("the line is %s", out.String())
	}
	if c.DeadLetters.Load() != 9 {
		t.Errorf("%d in all", c.DeadLetters.Load())
	}
}
