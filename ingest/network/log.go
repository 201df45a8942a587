package network

import (
	"handprint/ingest"
	"handprint/ingest/internal/jsonscan"
	"handprint/ingest/internal/wrapped"
)

// NotJSON is the reason of a dead letter that is no object.
const NotJSON = "not a JSON object"

// Log is what the adapter of a log has besides its rows: it counts lines, takes
// rows out of what shippers wrap around them, sends what cannot be used to the
// dead letters, and knows its place in a topic. An adapter embeds it. It is for
// one goroutine.
type Log struct {
	// Failed is the first error of the line that is being taken.
	Failed error

	sender   *Sender
	dead     func(ingest.DeadLetter) error
	line     func([]byte) error
	wrapped  *wrapped.Reader
	position Position

	lines, extra, blank, parts, headers, buried int64
}

// NewLog returns the log of an adapter: line takes a line, object an object that
// may be a row, and shipped, unless it is nil, a line that a shipper has put into an
// object; both report whether it is one.
func NewLog(sender *Sender, dead func(ingest.DeadLetter) error, line func([]byte) error, object func([]byte, wrapped.Around) bool, shipped func([]byte) bool) *Log {
	l := &Log{sender: sender, dead: dead, line: line}
	l.wrapped = wrapped.NewReader(ingest.DefaultMaxLine, object, l.torn)
	if shipped != nil {
		l.wrapped.Texts(shipped)
	}
	return l
}

// Begin counts a line.
func (l *Log) Begin() { l.lines++ }

// Header counts a line, of those begun, that heads others.
func (l *Log) Header() { l.headers++ }

// Blank counts a line, of those begun, that has nothing.
func (l *Log) Blank() { l.blank++ }

// Replayed reports whether an earlier run has sent the line.
func (l *Log) Replayed() bool { return l.position.Replayed() }

// Unwrap takes a line that is no row by itself. The reason is why it is a dead
// letter, if it is one.
func (l *Log) Unwrap(line []byte, reason func(rows int) string) error {
	l.Failed = nil
	blank := jsonscan.Blank(line)
	r := l.wrapped.Line(line)
	if l.Failed != nil {
		return l.Failed
	}
	entries := r.Events
	switch {
	case r.Part:
		l.parts++
		entries++
	case r.Events == 0 && blank:
		l.blank++
		entries++
	case r.Events == 0 || r.Bad:
		entries++
		if err := l.Bury(line, reason(r.Events)); err != nil {
			return err
		}
	}
	l.extra += int64(entries - 1)
	return nil
}

// torn takes what was held of an object that does not end.
func (l *Log) torn(line []byte, ago int, part bool) {
	if part {
		l.parts--
	} else {
		l.extra++
	}
	if err := l.bury(line, NotJSON, ago); l.Failed == nil {
		l.Failed = err
	}
}

// Bury sends the line to the dead letters.
func (l *Log) Bury(line []byte, reason string) error { return l.bury(line, reason, 0) }

func (l *Log) bury(line []byte, reason string, ago int) error {
	l.buried++
	if l.position.Replayed() {
		return nil
	}
	return l.dead(ingest.DeadLetter{Reason: reason, Line: line, Length: int64(len(line)), Back: int64(ago), Number: l.lines - int64(ago), Private: true})
}

// Waiting reports whether a part of a row is held.
func (l *Log) Waiting() bool { return l.wrapped.Waiting() }

// Break takes the end of a file or of a record.
func (l *Log) Break() error {
	l.Failed = nil
	l.wrapped.Flush()
	return l.Failed
}

// Close takes the end of the input.
func (l *Log) Close() error { return l.Break() }

// Private reports that lines may hold user names, addresses of pages and payloads.
func (l *Log) Private() bool { return true }

// Tally says what has become of the lines.
func (l *Log) Tally() ingest.Tally {
	return l.sender.Tally(l.lines, l.extra, l.blank, l.parts, l.headers, l.buried)
}

// Resume, LineAt and Checkpoints read a topic: each row stands for itself.

// Resume tells the adapter where an earlier run ended.
func (l *Log) Resume(partitions []ingest.Checkpoint) { l.position.Resume(partitions) }

// LineAt takes the line at an offset of a partition.
func (l *Log) LineAt(partition int, offset int64, line []byte) error {
	l.position.At(partition, offset)
	err := l.line(line)
	if err == nil && l.wrapped.Waiting() {
		err = l.Break()
	}
	l.position.Done()
	return err
}

// Checkpoints says where a run that ended now would go on.
func (l *Log) Checkpoints() []ingest.Checkpoint { return l.position.Checkpoints() }
