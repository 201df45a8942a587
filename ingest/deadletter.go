package ingest

import "github.com/twmb/franz-go/pkg/kgo"

// DeadLetter is a line that could not be used: where it stood, what it was,
// and why it could not.
type DeadLetter struct {
	// Reason says in one line why; it holds nothing of the line itself.
	Reason string
	// Line is the line as it was read, without its newline. It belongs to the
	// reader: whoever keeps it beyond the call copies it.
	Line []byte
	// Length is the length of the whole line in bytes. It is greater than
	// len(Line) only where the line was too long to be held.
	Length int64

	// File names the input and Number the line in it, counted from 1. File is
	// empty for a line of a topic.
	File   string
	Number int64

	// Record is the record that the line is of, nil for a line of a file.
	Record *kgo.Record
}

// Adapter reads one sensor's log, line by line, and sends on what it makes of
// it, observations and dead letters, by the functions it was made with. It
// returns an error only where those do; a line that cannot be used is a dead
// letter and no error.
type Adapter interface {
	// Line takes one line, without its newline. The slice is the caller's
	// again when Line returns.
	Line(line []byte) error
	// Close takes the end of the input.
	Close() error
}
