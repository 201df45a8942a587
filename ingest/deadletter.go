package ingest

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/unpack"
)

// DeadLetter is a line that could not be used: where it stood, what it was,
// and why it could not.
type DeadLetter struct {
	// Reason says in one line why; it holds nothing of the line itself.
	Reason string
	// Line is the line as it was read, without its newline, or what may be told
	// of it ([LetterText]). It belongs to the reader: whoever keeps it beyond
	// the call copies it.
	Line []byte
	// Length is the length of the whole line in bytes. It is greater than
	// len(Line) where the line was too long to be held, or may not be told.
	Length int64
	// Private: the line may hold what must not leave the adapter, such as
	// credentials. Of it the letter holds a digest, and no text unless it is
	// asked for.
	Private bool
	// Digest is the SHA-256 of a private line, of one too long to be held that
	// of its beginning, in hexadecimal digits; empty for others.
	Digest string

	// File names the input and Number the line in it, counted from 1. File is
	// empty for a line of a topic. An adapter sets Back instead: how many lines
	// before the current one it was read.
	File   string
	Number int64
	Back   int64

	// Record is the record that the line is of, nil for a line of a file.
	Record *kgo.Record
	// Batch is a batch that nobody has unpacked, in the place of a line; nil
	// otherwise.
	Batch *unpack.Batch
}

// LetterText says how much of a private line a dead letter tells.
type LetterText uint8

const (
	// NoText: nothing.
	NoText LetterText = iota
	// MaskedText: of a JSON object its names, numbers and the texts that say
	// what it is about and when; other texts are masked. Of anything else
	// nothing.
	MaskedText
	// WholeText: all of it.
	WholeText
)

// Guard takes out of a private letter what may not be told.
func (t LetterText) Guard(d DeadLetter) DeadLetter {
	if !d.Private {
		return d
	}
	sum := sha256.Sum256(d.Line)
	d.Digest = hex.EncodeToString(sum[:])
	switch t {
	case NoText:
		d.Line = nil
	case MaskedText:
		d.Line = masked(d.Line)
	}
	return d
}

// FileNamer is an adapter to which the name of a file says something.
type FileNamer interface {
	// File takes the name of the file that the next lines are of.
	File(name string)
}

// Adapter reads one sensor's log, line by line, and sends on what it makes of
// it, observations and dead letters, by the functions it was made with. It
// returns an error only where those do; a line that cannot be used is a dead
// letter and no error.
type Adapter interface {
	// Line takes one line, without its newline. The slice is the caller's
	// again when Line returns.
	Line(line []byte) error
	// Break takes the end of the files, or of one record of a topic: what is
	// begun does not go on in the next line.
	Break() error
	// Close takes the end of the input.
	Close() error
	// Tally says what has become of the lines so far. Its reasons are the
	// caller's to add.
	Tally() Tally
	// Private reports whether the lines may hold what must not leave.
	Private() bool
}
