package ingest

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// Progress shows how far an ingestion is: on a terminal a line that is drawn
// again a few times a second, anywhere else one line at the end. It belongs on
// standard error, never on standard output. It is for one goroutine.
type Progress struct {
	w        io.Writer
	terminal bool
	width    func() int
	now      func() time.Time
	interval time.Duration

	start, drawn time.Time
	drew         bool
	total        int64
}

// Amounts is what a progress line is about.
type Amounts struct {
	Bytes        int64 // read so far, as stored
	Lines        int64
	Observations int64
	DeadLetters  int64
}

// progressInterval is the shortest time between two drawings.
const progressInterval = 200 * time.Millisecond

// NewProgress returns a progress display on file, whose input is total bytes
// long, or of unknown length if total is 0.
func NewProgress(file *os.File, total int64) *Progress {
	fd := int(file.Fd())
	p := newProgress(file, total, time.Now)
	p.terminal = term.IsTerminal(fd)
	p.width = func() int {
		width, _, err := term.GetSize(fd)
		if err != nil {
			return 0
		}
		return width
	}
	return p
}

func newProgress(w io.Writer, total int64, now func() time.Time) *Progress {
	return &Progress{w: w, now: now, interval: progressInterval, start: now(), total: total, width: func() int { return 80 }}
}

// Update draws the line again, if it is time to.
func (p *Progress) Update(a Amounts) {
	if !p.terminal {
		return
	}
	now := p.now()
	if p.drew && now.Sub(p.drawn) < p.interval {
		return
	}
	p.drawn, p.drew = now, true
	text := p.line(a, now.Sub(p.start))
	width := p.width()
	if width < 2 {
		width = 80 // a terminal that does not tell
	}
	if len(text) > width-1 {
		text = text[:width-1]
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", text)
}

// Finish writes the last line.
func (p *Progress) Finish(a Amounts) {
	took := p.now().Sub(p.start)
	if p.drew {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	fmt.Fprintf(p.w, "%s, %s in %s (%s/s)\n", bytesText(a.Bytes), counts(a), durationText(took), countText(rate(a.Lines, took)))
}

const barWidth = 20

func (p *Progress) line(a Amounts, took time.Duration) string {
	var b strings.Builder
	if p.total > 0 {
		share := min(float64(a.Bytes)/float64(p.total), 1)
		filled := int(share * barWidth)
		fmt.Fprintf(&b, "[%s%s] %3d%%  %s of %s", strings.Repeat("=", filled), strings.Repeat(" ", barWidth-filled),
			int(share*100), bytesText(a.Bytes), bytesText(p.total))
	} else {
		b.WriteString(bytesText(a.Bytes))
	}
	fmt.Fprintf(&b, "  %s  %s lines/s", counts(a), countText(rate(a.Lines, took)))
	if p.total > a.Bytes && a.Bytes > 0 {
		left := time.Duration(float64(took) * float64(p.total-a.Bytes) / float64(a.Bytes))
		fmt.Fprintf(&b, "  %s left", durationText(left))
	}
	return b.String()
}

func counts(a Amounts) string {
	text := fmt.Sprintf("%s lines, %s observations", countText(a.Lines), countText(a.Observations))
	if a.DeadLetters > 0 {
		text += fmt.Sprintf(", %s dead letters", countText(a.DeadLetters))
	}
	return text
}

func rate(n int64, took time.Duration) int64 {
	if took <= 0 {
		return 0
	}
	return int64(float64(n) / took.Seconds())
}

func countText(n int64) string {
	switch {
	case n >= 10_000_000:
		return fmt.Sprintf("%.1fM", float64(n)/1e6)
	case n >= 10_000:
		return fmt.Sprintf("%.1fk", float64(n)/1e3)
	}
	return fmt.Sprint(n)
}

func bytesText(n int64) string {
	const kibi, mebi, gibi = 1 << 10, 1 << 20, 1 << 30
	switch {
	case n >= gibi:
		return fmt.Sprintf("%.1f GiB", float64(n)/gibi)
	case n >= mebi:
		return fmt.Sprintf("%.1f MiB", float64(n)/mebi)
	case n >= kibi:
		return fmt.Sprintf("%.1f KiB", float64(n)/kibi)
	}
	return fmt.Sprintf("%d B", n)
}

func durationText(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
