package ingest

import (
	"bufio"
	"errors"
	"io"
)

// DefaultMaxLine is the bound on the length of a line in bytes: a dead letter
// of such a line still fits a record of Kafka's default size.
const DefaultMaxLine = 768 << 10

// excerpt is how much is kept of a line that is longer than the bound, in
// bytes.
const excerpt = 1 << 10

// Lines reads an input line by line. It holds one line at most, and of a line
// longer than its bound only the beginning.
type Lines struct {
	r       *bufio.Reader
	maxLine int
	line    []byte // what Line returns
	pieces  []byte // a line that does not fit the reader's buffer
	length  int64
	number  int64
	whole   bool
	err     error
}

// NewLines returns a reader of r's lines whose bound is maxLine bytes;
// DefaultMaxLine if it is 0 or less.
func NewLines(r io.Reader, maxLine int) *Lines {
	if maxLine <= 0 {
		maxLine = DefaultMaxLine
	}
	return &Lines{r: bufio.NewReaderSize(r, 64<<10), maxLine: maxLine}
}

// Next reads the next line and reports whether there was one. A last line
// without a newline is a line; one that a failing input cuts off is not.
func (l *Lines) Next() bool {
	if l.err != nil {
		return false
	}
	l.pieces, l.length = l.pieces[:0], 0
	for {
		piece, err := l.r.ReadSlice('\n')
		if l.whole = err == nil; l.whole {
			piece = piece[:len(piece)-1]
		}
		whole := err == nil && l.length == 0 // in one piece: no copy needed
		l.length += int64(len(piece))
		if whole {
			l.line = piece
		} else {
			l.hold(piece)
			l.line = l.pieces
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			l.err = err
			if !errors.Is(err, io.EOF) || l.length == 0 {
				return false
			}
		}
		l.number++
		if l.TooLong() {
			l.line = l.line[:min(len(l.line), excerpt, l.maxLine)]
		}
		return true
	}
}

// hold keeps a piece of a line, within the bound.
func (l *Lines) hold(piece []byte) {
	room := l.maxLine - len(l.pieces)
	l.pieces = append(l.pieces, piece[:min(len(piece), room)]...)
}

// Line returns the line that Next has read, without its newline, or the
// beginning of one that is too long. It is valid until the next call of Next.
func (l *Lines) Line() []byte { return l.line }

// TooLong reports whether the line is longer than the bound.
func (l *Lines) TooLong() bool { return l.length > int64(l.maxLine) }

// Whole reports whether a newline ended the line.
func (l *Lines) Whole() bool { return l.whole }

// Length returns the length of the line in bytes, without its newline.
func (l *Lines) Length() int64 { return l.length }

// Number returns the number of the line, counted from 1.
func (l *Lines) Number() int64 { return l.number }

// Err returns the error that ended the reading, nil at the input's end.
func (l *Lines) Err() error {
	if errors.Is(l.err, io.EOF) {
		return nil
	}
	return l.err
}
