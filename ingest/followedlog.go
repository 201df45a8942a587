package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// followedLog is one log: files that follow one another.
type followedLog struct {
	intake
	run      *followRun
	name     string
	explicit bool // a file that was named, not one found in a folder
	adapter  Positioned
	unseen   bool // no file of it was looked at yet, in no run
	useless  bool // nothing of it can be used: it is left alone

	segments []*segment // in order; those before current are read to their end
	current  int        // index into segments
	known    []prints   // of files that are read to their end and needed no more
	next     int64      // the offset of the next line
	started  bool       // the adapter knows where the last run ended
	resume   Checkpoint

	file    *os.File // of the current segment
	packed  *Input
	lines   *Lines // of a packed file
	partial []byte // the beginning of a line that is not whole
	length  int64  // of that line, which may be more than is held
	carries bool   // it is of the file before
	idle    int    // rounds that the current segment had nothing new
	number  int64
	skip    int64 // lines of the current segment that the adapter has had
	missing int   // rounds in which the current segment was not found
}

// segment is one file of a log.
type segment struct {
	prints prints
	path   string
	inode  uint64
	order  int64 // by which files that are found together are sorted
	base   int64 // offset of its first line
	lines  int64 // read so far
	given  int64 // of them, to the adapter of this run
	before int64 // lines that an earlier run has read of it
	max    int64 // the same, if that was to its end; 0: it was not
	begun  bool
	looks  int // in which it was found again
	done   bool
	packed bool
}

func (l *followedLog) segment() *segment {
	if l.current < len(l.segments) {
		return l.segments[l.current]
	}
	return nil
}

func (l *followedLog) close() {
	if l.file != nil {
		l.file.Close()
	}
	if l.packed != nil {
		l.packed.Close()
	}
	l.file, l.packed, l.lines = nil, nil, nil
}

// read reads what is new, for a while, and reports whether there was something.
func (l *followedLog) read(ctx context.Context) (some bool, err error) {
	s := l.segment()
	if s == nil || l.useless || !s.begun && s.looks < looksBefore {
		return false, nil
	}
	if l.file == nil && l.lines == nil {
		if err := l.open(ctx, s); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				return l.notThere(s), nil // renamed a moment ago: the next look finds it
			}
			return false, err
		}
		l.missing = 0
	}
	if l.lines != nil {
		some, err = l.readPacked(s)
	} else {
		some, err = l.readPlain(s)
	}
	var unusable *UnusableError
	if errors.As(err, &unusable) && !l.explicit {
		l.run.Log.Warn("a file is left alone: it is no log of this sensor", "file", l.name, "reason", err.Error())
		l.useless = true
		l.close()
		return false, nil
	}
	return some, err
}

// open opens the current segment at its beginning: what was read of it before
// is read again, for the adapter to recognise.
func (l *followedLog) open(ctx context.Context, s *segment) error {
	if !s.begun {
		s.begun, s.base = true, l.next
	}
	if !l.started {
		l.started = true
		l.adapter.Resume([]Checkpoint{l.resume})
	}
	file, err := os.Open(s.path)
	if err != nil {
		return err
	}
	// What the name stands for may have changed since it was looked at.
	if got := printsOf(s.path); !got.matches(&s.prints) {
		file.Close()
		return os.ErrNotExist
	}
	// What this run's adapter has had of it is left out, if it is opened again.
	l.skip = s.given
	s.lines = 0
	l.next = s.base
	if n, ok := l.adapter.(FileNamer); ok && l.skip == 0 {
		n.File(l.name)
	}
	if s.packed {
		file.Close()
		if l.packed, err = Open(ctx, s.path); err != nil {
			return err
		}
		l.lines = NewLines(l.packed, l.run.MaxLine)
		return nil
	}
	l.file = file
	l.idle = 0
	if info, err := file.Stat(); err == nil {
		s.inode = inodeOf(info)
	}
	return nil
}

func (l *followedLog) readPacked(s *segment) (bool, error) {
	for range 20_000 {
		if !l.lines.Next() {
			if err := l.lines.Err(); err != nil {
				l.run.Log.Warn("a file could not be read to its end", "file", s.path, "error", err)
			}
			return true, l.finish(s)
		}
		if !l.lines.Whole() {
			l.partial, l.length = bytes.Clone(l.lines.Line()), l.lines.Length()
			continue // its end comes now
		}
		line := l.lines.Line()
		if l.length > 0 { // the rest of a line of the file before
			if err := l.split(s, append(bytes.Clone(line), '\n')); err != nil {
				return true, err
			}
			continue
		}
		if err := l.take(s, line, l.lines.Length()); err != nil {
			return true, err
		}
	}
	return true, nil
}

func (l *followedLog) readPlain(s *segment) (some bool, err error) {
	buffer := make([]byte, 256<<10)
	for read := 0; read < maxRound; {
		n, err := l.file.Read(buffer)
		read += n
		some = some || n > 0
		if e := l.split(s, buffer[:n]); e != nil {
			return some, e
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return some, err
		}
	}
	if some {
		l.idle = 0
		return true, nil
	}
	l.idle++
	if l.gone(s) {
		return true, l.tail(s)
	}
	// Its writer may hold it for a moment after the next one has come.
	if l.current+1 < len(l.segments) && (l.idle >= 2 || l.settled()) {
		return true, l.finish(s)
	}
	return false, nil
}

// settled reports whether the current file was written to long ago.
func (l *followedLog) settled() bool {
	info, err := l.file.Stat()
	return err == nil && time.Since(info.ModTime()) > settledAfter*l.run.Every
}

// split takes the whole lines of what was read.
func (l *followedLog) split(s *segment, text []byte) error {
	for len(text) > 0 {
		end := bytes.IndexByte(text, '\n')
		piece := text
		if end >= 0 {
			piece = text[:end]
		}
		if end >= 0 && l.length == 0 {
			if err := l.take(s, piece, int64(len(piece))); err != nil {
				return err
			}
			text = text[end+1:]
			continue
		}
		l.length += int64(len(piece))
		l.partial = append(l.partial, piece[:min(len(piece), max(l.run.MaxLine+1-len(l.partial), 0))]...)
		if end < 0 {
			return nil
		}
		if err := l.takePartial(s); err != nil {
			return err
		}
		text = text[end+1:]
	}
	return nil
}

func (l *followedLog) takePartial(s *segment) error {
	line, length := l.partial, l.length
	l.partial, l.length, l.carries = nil, 0, false
	return l.take(s, line, length)
}

// take gives a line to the adapter.
func (l *followedLog) take(s *segment, line []byte, length int64) error {
	offset := s.base + s.lines
	if s.lines++; s.lines <= l.skip || s.max > 0 && s.lines > s.max {
		l.next = max(l.next, min(offset+1, s.end()))
		return nil
	}
	s.given = s.lines
	l.next = offset + 1
	l.amounts.Lines++
	l.amounts.Bytes += length + 1
	l.number = s.lines
	if !l.probation.over {
		l.probation.line(line)
	}
	if length > int64(l.run.MaxLine) {
		l.overlong++
		if offset >= l.resume.Next {
			err := l.Dead(DeadLetter{
				Reason: fmt.Sprintf("the line is longer than %d bytes", l.run.MaxLine),
				Line:   line[:min(len(line), excerpt)], Length: length,
			})
			if err != nil {
				return err
			}
		}
		return l.look(false)
	}
	if err := l.adapter.LineAt(0, offset, line); err != nil {
		return err
	}
	return l.look(false)
}

// finish takes the end of a file: the next one is read from now on. A line
// that a rotation cut in two goes on in it.
func (l *followedLog) finish(s *segment) error {
	l.close()
	s.done = true
	l.next = max(l.next, s.end())
	l.current++
	l.idle = 0
	if l.length == 0 {
		return nil
	}
	// The rest of the line is of the file that comes next, or there is none.
	next := l.segment()
	if l.carries = next != nil && startsInsideALine(next.path); l.carries {
		return nil
	}
	return l.takePartial(s)
}

// startsInsideALine reports whether a file does not begin as an event does.
func startsInsideALine(path string) bool {
	in, err := Open(context.Background(), path)
	if err != nil {
		return false
	}
	defer in.Close()
	var b [1]byte
	n, _ := io.ReadFull(in, b[:])
	return n == 1 && b[0] != '{' && b[0] != '[' && b[0] != '#' && b[0] != '<'
}

// gone reports whether the current file was truncated, and perhaps written
// again: it is another one now.
func (l *followedLog) gone(s *segment) bool {
	info, err := l.file.Stat()
	if err != nil {
		return false
	}
	at, err := l.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return false
	}
	if info.Size() < at {
		return true
	}
	now := printsFrom(io.NewSectionReader(l.file, 0, maxPrint))
	return now.length >= minPrint && !now.matches(&s.prints)
}

// tail reads what was not read of a file that was truncated from its copy, if
// there is one.
func (l *followedLog) tail(s *segment) error {
	l.close()
	l.partial, l.length, l.carries = l.partial[:0], 0, false
	if path, packed, ok := l.run.copyOf(l, s); ok {
		s.path, s.packed, s.inode = path, packed, 0
		return nil
	}
	l.run.Log.Warn("a file was truncated, and there is no copy of it: what was not read of it is lost", "file", s.path, "lines", s.lines)
	s.done = true
	l.current++
	return nil
}

// notThere counts the rounds in which the current file was not found. It
// reports whether the log goes on without it.
func (l *followedLog) notThere(s *segment) bool {
	if l.missing++; l.missing < maxMissing || l.current+1 >= len(l.segments) {
		return false
	}
	l.run.Log.Warn("a file is gone before it was read to its end: sessions that were open in it are cut short", "file", s.path)
	l.missing = 0
	s.done = true
	l.next = max(l.next, s.end(), l.resume.Next)
	l.current++
	return true
}

// end is the offset behind the last line that is known.
func (s *segment) end() int64 { return s.base + max(s.lines, s.before) }
