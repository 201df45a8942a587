package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"handprint/ingest/internal/jsonscan"
)

// Sink takes what an adapter makes of its input. [Producer] is one.
type Sink interface {
	// Observation takes an observation.
	Observation(o Observation) error
	// Record takes an observation that is made already, as it is to be sent.
	// The slices are the caller's again when Record returns.
	Record(key, value []byte) error
	// Dead takes a dead letter, whose slices are the caller's again when Dead
	// returns.
	Dead(d DeadLetter) error
}

// Files reads files through an adapter.
type Files struct {
	// Names are the inputs. If the adapter can say when a text was written
	// ([Stamper]) and all are files, they are read in the order of their first
	// lines' times, else as they are given. See Open.
	Names []string
	// MaxLine is the bound on a line in bytes, DefaultMaxLine if 0.
	MaxLine int
	// SortWithin, if not 0, is how far the lines' times may run backwards and
	// are still put in order. It needs a [Stamper].
	SortWithin time.Duration
	// LetterText says how much of their lines dead letters tell.
	LetterText LetterText
	// Progress, if set, shows how far it is.
	Progress *Progress
	// Report, if set, is called every 30 s.
	Report func(Tally)
	// Warn, if set, is told what a user should know about the inputs.
	Warn func(text string)

	now func() time.Time
}

// Stamper is an adapter that can see when a line was written.
type Stamper interface {
	// Stamp returns the first time in a text, in microseconds since 1970.
	Stamp(text []byte) (micros int64, ok bool)
}

// TotalSize returns the sum of the sizes of the inputs as they are stored, 0
// if the size of one is not known.
func (f *Files) TotalSize() int64 {
	var total int64
	for _, name := range f.Names {
		size := storedSize(name)
		if size == 0 {
			return 0
		}
		total += size
	}
	return total
}

// Run reads all inputs through the adapter that adapt makes for the sink it is
// given, and closes it. A line longer than the bound is a dead letter; the
// sink gets the beginning of the line.
//
// An input that cannot be read to its end does not stop the others: Run goes
// on, ends the sessions that are open, and returns what failed, with the name
// and the line, at the end. It stops at the first error of ctx, which is
// looked at between lines, of the sink, or if none of the first lines is of
// any use ([UnusableError]): what came before has been taken; sessions that
// were open then have not been sent. The result is right in any case.
func (f *Files) Run(ctx context.Context, sink Sink, adapt func(Sink) (Adapter, error)) (Result, error) {
	run := &fileRun{intake: intake{Sink: sink, text: f.LetterText, report: f.Report, now: f.now, reasons: reasons{}}, ctx: ctx, files: f}
	run.locate = run.place
	if run.now == nil {
		run.now = time.Now
	}
	adapter, err := adapt(run)
	if err != nil {
		return Result{}, err
	}
	run.adapter = adapter
	stamper, _ := adapter.(Stamper)
	if f.SortWithin > 0 && stamper != nil {
		run.sorter = &sorter{within: f.SortWithin.Microseconds(), stamp: stamper.Stamp}
	}
	err = run.all(f.ordered(ctx, stamper))
	return Result{Amounts: run.amounts, Tally: run.tally()}, err
}

// place says where the line of a dead letter stood: perhaps in the file before.
func (r *fileRun) place(d *DeadLetter) {
	d.File, d.Number = r.name, r.number-d.Back
	if d.Number < 1 && r.before != "" && r.name != r.before {
		d.File, d.Number = r.before, max(r.beforeLines+d.Number, 1)
	}
}

func (f *Files) warn(format string, args ...any) {
	if f.Warn != nil {
		f.Warn(fmt.Sprintf(format, args...))
	}
}

// fileRun is one run over files.
type fileRun struct {
	intake
	ctx    context.Context
	files  *Files
	sorter *sorter // nil: lines go on as they come

	name   string
	number int64
	broken []error // inputs that could not be read to their end

	announced   string // the file that the adapter knows of
	before      string // the file before the current one
	beforeLines int64  // in it

	// The last line of the file before, if it was cut: it had no newline and is
	// no event by itself.
	cut       []byte
	cutName   string
	cutNumber int64
}

func (r *fileRun) all(names []string) error {
	for _, name := range names {
		if err := r.file(name); err != nil {
			return err
		}
	}
	if err := r.tear(); err != nil {
		return err
	}
	if r.sorter != nil {
		if err := r.sorter.drain(r.give); err != nil {
			return err
		}
	}
	if err := r.adapter.Break(); err != nil {
		return err
	}
	if err := r.adapter.Close(); err != nil {
		return fmt.Errorf("at the end of the input: %w", err)
	}
	if err := r.look(true); err != nil {
		return errors.Join(append(r.broken, err)...)
	}
	if p := r.files.Progress; p != nil {
		p.Finish(r.amounts)
	}
	return errors.Join(r.broken...)
}

// checkEvery is how many lines go by between two looks at the clock and at the
// context.
const checkEvery = 256

func (r *fileRun) file(name string) error {
	in, err := Open(r.ctx, name)
	if err != nil {
		return r.breaks(err)
	}
	in.warn = func(text string) { r.files.warn("%s: %s", name, text) }
	defer in.Close()
	before := r.amounts.Bytes
	lines := NewLines(in, r.files.MaxLine)
	lines.TakeApart()
	for n := 1; lines.Next(); n++ {
		if lines.Another() {
			r.parts++
		} else {
			r.amounts.Lines++
		}
		if err := r.line(name, lines); err != nil {
			return fmt.Errorf("%s, line %d: %w", name, lines.Number(), err)
		}
		if n%checkEvery == 0 {
			if err := r.ctx.Err(); err != nil {
				return fmt.Errorf("%s, line %d: %w", name, lines.Number(), err)
			}
			r.amounts.Bytes = before + in.BytesRead()
			r.reportDue()
			if p := r.files.Progress; p != nil {
				p.Update(r.amounts)
			}
		}
	}
	r.amounts.Bytes = before + in.BytesRead()
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if err := lines.Err(); err != nil {
		if err := r.breaks(fmt.Errorf("reading %s after line %d: %w", name, lines.Number(), err)); err != nil {
			return err
		}
	}
	// What is begun may go on in the next file: a rotation may cut it in two.
	r.before, r.beforeLines = name, lines.Number()
	return nil
}

// breaks notes that an input cannot be read on. It returns the error if the
// whole run is at its end.
func (r *fileRun) breaks(err error) error {
	if r.ctx.Err() != nil {
		return err
	}
	r.broken = append(r.broken, err)
	return nil
}

func (r *fileRun) line(name string, lines *Lines) error {
	if lines.TooLong() {
		if err := r.tear(); err != nil {
			return err
		}
		r.name, r.number = name, lines.Number()
		r.overlong++
		r.probation.line(lines.Line())
		err := r.Dead(DeadLetter{
			Reason: fmt.Sprintf("the line is longer than %d bytes", lines.maxLine),
			Line:   lines.Line(),
			Length: lines.Length(),
		})
		if err != nil {
			return err
		}
		return r.look(false)
	}
	line := lines.Line()
	if r.cut != nil && lines.Number() == 1 {
		whole := append(r.cut, line...)
		if jsonscan.Object(whole, nothing) == nil {
			r.cut = nil
			r.joined++
			return r.pass(name, 1, whole)
		}
		if err := r.tear(); err != nil {
			return err
		}
	}
	if !lines.Whole() && len(line) > 0 && !r.waiting() && jsonscan.Object(line, nothing) != nil {
		r.cut, r.cutName, r.cutNumber = bytes.Clone(line), name, lines.Number()
		return nil
	}
	return r.pass(name, lines.Number(), line)
}

func nothing(_, _ []byte) {}

// waiting reports whether the adapter holds the beginning of an event, in which
// lines go on that are no events.
func (r *fileRun) waiting() bool {
	w, ok := r.adapter.(interface{ Waiting() bool })
	return ok && w.Waiting()
}

// tear passes on a line that was cut and that no other goes on.
func (r *fileRun) tear() error {
	if r.cut == nil {
		return nil
	}
	line := r.cut
	r.cut = nil
	return r.pass(r.cutName, r.cutNumber, line)
}

// pass gives a line to the adapter, in its turn.
func (r *fileRun) pass(name string, number int64, line []byte) error {
	if r.sorter == nil {
		return r.give(name, number, line)
	}
	return r.sorter.add(name, number, line, r.give)
}

func (r *fileRun) give(name string, number int64, line []byte) error {
	if n, ok := r.adapter.(FileNamer); ok && name != r.announced {
		r.announced = name
		n.File(name)
	}
	r.name, r.number = name, number
	if r.probation.over {
		return r.adapter.Line(line)
	}
	r.probation.line(line)
	if err := r.adapter.Line(line); err != nil {
		return err
	}
	return r.look(false)
}
