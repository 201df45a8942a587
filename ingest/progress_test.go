package ingest

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestProgressOnATerminalIsDrawnAFewTimesASecond(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := newProgress(&out, 4<<20, func() time.Time { return now })
	p.terminal = true
	p.width = func() int { return 200 }
	for i := range 1000 {
		p.Update(Amounts{Bytes: int64(i+1) << 10, Lines: int64(i+1) * 100, Observations: int64(i)})
		now = now.Add(time.Millisecond)
	}
	if got := strings.Count(out.String(), "\r"); got != 5 {
		t.Errorf("drawn %d times in a second, want 5", got)
	}
	out.Reset()
	p.Update(Amounts{Bytes: 1 << 20, Lines: 100_000, Observations: 7, DeadLetters: 1})
	want := "\r\x1b[K[=====               ]  25%  1.0 MiB of 4.0 MiB  100.0k lines, 7 observations, 1 dead letters  100.0k lines/s  3s left"
	if got := out.String(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	out.Reset()
	p.width = func() int { return 20 }
	now = now.Add(time.Second)
	if p.Update(Amounts{}); out.Len() != len("\r\x1b[K")+19 {
		t.Errorf("a line for a terminal of 20 columns is %q", out.String())
	}
}

func TestProgressInAPipeIsOneLineAtTheEnd(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := newProgress(&out, 0, func() time.Time { return now })
	p.Update(Amounts{Bytes: 1})
	now = now.Add(90 * time.Second)
	p.Finish(Amounts{Bytes: 3 << 30, Lines: 18_000_000, Observations: 12})
	if got, want := out.String(), "3.0 GiB, 18.0M lines, 12 observations in 1m30s (200.0k/s)\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
