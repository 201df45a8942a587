package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"
)

// Follow reads files as they grow, through their rotations, and remembers how
// far it has got, so that a later run goes on there.
//
// What is remembered is not where the reading stopped but where the oldest open
// session began ([Checkpoint]): a run that ends, however it ends, loses no
// session and cuts none short. What was sent after the positions were kept last
// is sent again, with the same ids.
//
// A file is known by its beginning, and by its inode as long as that has it: it
// may be renamed, and packed, and its tail is still found. One that is
// truncated is another file from then on; what was not read of it is looked for
// in a copy. Files that follow one another make a log: those whose names begin
// with that of a file, in a folder those with the same name up to the first
// dot. Each log has an adapter of its own.
type Follow struct {
	// Paths are the files and folders.
	Paths []string
	// State is the file in which the positions are kept.
	State string
	// Every is how often is looked for more, DefaultFollowEvery if 0;
	// CommitEvery how often the positions are kept, DefaultCommitEvery if 0.
	Every, CommitEvery time.Duration
	// UntilEnd ends the run when everything that is there has been read.
	UntilEnd bool
	// MaxLine is the bound on a line in bytes, DefaultMaxLine if 0.
	MaxLine int
	// LetterText says how much of their lines dead letters tell.
	LetterText LetterText
	// Report, if set, is called every 30 s.
	Report func(Tally)
	// Log gets warnings; slog's default if nil.
	Log *slog.Logger
}

// DefaultFollowEvery is how often is looked for more.
const DefaultFollowEvery = 500 * time.Millisecond

// Run follows until ctx ends, which is no error. It returns what was read and
// made.
func (f *Follow) Run(ctx context.Context, sink FlushingSink, adapt func(Sink) (Positioned, error)) (Result, error) {
	run := &followRun{Follow: *f, sink: sink, adapt: adapt, logs: map[string]*followedLog{}, looked: map[string]look{}}
	if run.Log == nil {
		run.Log = slog.Default()
	}
	if run.Every <= 0 {
		run.Every = DefaultFollowEvery
	}
	if run.CommitEvery <= 0 {
		run.CommitEvery = DefaultCommitEvery
	}
	if run.MaxLine <= 0 {
		run.MaxLine = DefaultMaxLine
	}
	unlock, err := run.load()
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	err = run.run(ctx)
	return run.result(), err
}

type followRun struct {
	Follow
	sink   FlushingSink
	adapt  func(Sink) (Positioned, error)
	saved  map[string]savedLog // of an earlier run, by log; taken as the logs appear
	logs   map[string]*followedLog
	order  []*followedLog
	looked map[string]look // by path
	kept   time.Time
	told   time.Time
}

func (r *followRun) run(ctx context.Context) error {
	defer func() {
		for _, l := range r.order {
			l.close()
		}
	}()
	r.kept, r.told = time.Now(), time.Now()
	tick := time.NewTicker(r.Every)
	defer tick.Stop()
	quiet := 0 // rounds in which nothing was read
	for ctx.Err() == nil && !(r.UntilEnd && quiet > 2*looksBefore) {
		read, err := r.round(ctx)
		if err != nil {
			return err
		}
		if quiet++; read {
			quiet = 0
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	for _, l := range r.order {
		var unusable *UnusableError
		if err := l.look(true); err != nil && (l.explicit || !errors.As(err, &unusable)) {
			return err
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTime)
	defer cancel()
	return r.keep(last)
}

// round looks for files and reads what is new of each log. It reports whether
// there was something.
func (r *followRun) round(ctx context.Context) (read bool, err error) {
	logs := len(r.order)
	if err := r.find(); err != nil {
		return false, err
	}
	if len(r.order) > logs {
		// What is asked for of a log is settled at the first look at it.
		if err := r.keep(ctx); err != nil {
			return false, ignoreEnd(ctx, err)
		}
	}
	for _, l := range r.order {
		some, err := l.read(ctx)
		if err != nil {
			return read, fmt.Errorf("following %s: %w", l.name, err)
		}
		read = read || some
	}
	now := time.Now()
	if now.Sub(r.kept) >= r.CommitEvery {
		r.kept = now
		if err := r.keep(ctx); err != nil {
			return read, ignoreEnd(ctx, err)
		}
	}
	if r.Report != nil && now.Sub(r.told) >= DefaultReportEvery {
		r.told = now
		r.Report(r.result().Tally)
	}
	return read, nil
}

// result is what all logs gave together.
func (r *followRun) result() Result {
	var out Result
	for _, l := range r.order {
		t := l.tally()
		out.Tally.add(&t)
		out.Lines += l.amounts.Lines
		out.Bytes += l.amounts.Bytes
		out.Observations += l.amounts.Observations
		out.DeadLetters += l.amounts.DeadLetters
	}
	return out
}

// add adds another tally's counts.
func (t *Tally) add(other *Tally) {
	t.Lines += other.Lines
	t.Extra += other.Extra
	t.Used += other.Used
	merge := func(into *[]Count, from []Count) {
		for _, c := range from {
			if i := slices.IndexFunc(*into, func(k Count) bool { return k.Name == c.Name }); i >= 0 {
				(*into)[i].N += c.N
				continue
			}
			*into = append(*into, c)
		}
	}
	merge(&t.Of, other.Of)
	merge(&t.Also, other.Also)
	merge(&t.Reasons, other.Reasons)
	for _, n := range other.Notes {
		if !slices.Contains(t.Notes, n) {
			t.Notes = append(t.Notes, n)
		}
	}
}

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

// looksBefore is how often a file is found again before it is read: one that
// comes before it may be renamed and packed while the folder is read, and not
// be seen at once.
const looksBefore = 3

// maxRound bounds how much of a log is read before the others have their turn.
const maxRound = 4 << 20

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

// settledAfter is how many looks long nothing has been written to a file whose
// writer has left it. Without it, a folder of old files would take two looks
// for each.
const settledAfter = 20

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

// maxMissing is for how many rounds a file is looked for that others follow.
const maxMissing = 20

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
