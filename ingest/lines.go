package ingest

import (
	"bufio"
	"bytes"
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
//
// It can take such a line apart instead ([Lines.TakeApart]).
type Lines struct {
	r       *bufio.Reader
	maxLine int
	line    []byte // what Line returns
	pieces  []byte // a line that does not fit the reader's buffer
	length  int64
	number  int64
	whole   bool
	err     error

	takesApart bool
	parts      *elements // of the line that is taken apart; nil: none is
	rest       []byte    // of what was read of it
	given      int       // parts of it so far
}

// NewLines returns a reader of r's lines whose bound is maxLine bytes;
// DefaultMaxLine if it is 0 or less.
func NewLines(r io.Reader, maxLine int) *Lines {
	if maxLine <= 0 {
		maxLine = DefaultMaxLine
	}
	return &Lines{r: bufio.NewReaderSize(r, 64<<10), maxLine: maxLine}
}

// TakeApart makes of an array of objects that is a line longer than the bound a
// line of each object, and so of documents in which there is such an array. All
// have the number of that line.
func (l *Lines) TakeApart() { l.takesApart = true }

// Next reads the next line and reports whether there was one. A last line
// without a newline is a line; one that a failing input cuts off is not.
func (l *Lines) Next() bool {
	if l.parts != nil {
		return l.nextPart()
	}
	if l.err != nil {
		return false
	}
	l.given = 0
	l.pieces, l.length = l.pieces[:0], 0
	for {
		piece, err := l.r.ReadSlice('\n')
		if l.whole = err == nil; l.whole {
			piece = piece[:len(piece)-1]
		}
		whole := err == nil && l.length == 0 // in one piece: no copy needed
		l.length += int64(len(piece))
		if l.TooLong() && l.takesApart && (isJSON(l.pieces) || len(l.pieces) == 0 && isJSON(piece)) {
			l.parts, l.rest, l.err = &elements{max: l.maxLine, again: l.pieces}, piece, ended(err)
			l.pieces = nil
			return l.nextPart()
		}
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

// isJSON reports whether text begins as an object or an array does.
func isJSON(text []byte) bool {
	text = bytes.TrimLeft(text[:min(len(text), excerpt)], " \t\r\x00\x1e\xef\xbb\xbf")
	return len(text) > 0 && (text[0] == '{' || text[0] == '[')
}

// ended returns what keeps a line from being read on.
func ended(err error) error {
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil
	}
	return err
}

// nextPart reads the next part of a line that is taken apart, or the next line.
func (l *Lines) nextPart() bool {
	for {
		var found bool
		if l.rest, found = l.parts.next(l.rest); found {
			return l.part(l.parts.part, l.parts.whole)
		}
		if l.whole || l.err != nil {
			break
		}
		piece, err := l.r.ReadSlice('\n')
		if l.whole = err == nil; l.whole {
			piece = piece[:len(piece)-1]
		}
		l.rest, l.err = piece, ended(err)
	}
	parts := l.parts
	l.parts, l.rest = nil, nil
	failed := l.err != nil && !errors.Is(l.err, io.EOF) // it is not known what else it has
	switch {
	case !failed && parts.end():
		return l.part(parts.part, parts.whole)
	case !failed && l.given == 0:
		return l.part(nil, parts.read)
	}
	return l.Next()
}

// part gives a part of a line.
func (l *Lines) part(text []byte, length int64) bool {
	if l.given++; l.given == 1 {
		l.number++
	}
	l.line, l.length = text, length
	if l.TooLong() {
		l.line = l.line[:min(len(l.line), excerpt, l.maxLine)]
	}
	return true
}

// Another reports whether the line is a part of one that has given a part
// already.
func (l *Lines) Another() bool { return l.given > 1 }

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

// Whole reports whether a newline ended the line, or it is a part.
func (l *Lines) Whole() bool { return l.whole || l.given > 0 }

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
