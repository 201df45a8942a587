package ingest

import (
	"context"
	"fmt"
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
	// Names are the inputs in the order in which they are read, oldest first:
	// a session may begin in one and end in the next. See Open.
	Names []string
	// MaxLine is the bound on a line in bytes, DefaultMaxLine if 0.
	MaxLine int
	// Progress, if set, shows how far it is.
	Progress *Progress
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
// given, and closes it. A line longer than the bound is a dead letter, of
// which the sink gets the beginning. Run returns what was read and made, and
// the first error: of ctx, which is looked at between lines, of the sink, or
// of an input, with its name and line. What came before an error has been
// taken; sessions that were open then have not been sent.
func (f *Files) Run(ctx context.Context, sink Sink, adapt func(Sink) (Adapter, error)) (Amounts, error) {
	run := &fileRun{Sink: sink, ctx: ctx, progress: f.Progress, maxLine: f.MaxLine}
	adapter, err := adapt(run)
	if err != nil {
		return run.amounts, err
	}
	run.adapter = adapter
	for _, name := range f.Names {
		if err := run.file(name); err != nil {
			return run.amounts, err
		}
	}
	if err := adapter.Close(); err != nil {
		return run.amounts, fmt.Errorf("at the end of the input: %w", err)
	}
	if f.Progress != nil {
		f.Progress.Finish(run.amounts)
	}
	return run.amounts, nil
}

// fileRun is one run over files. It is the adapter's sink: it counts, and adds
// to a dead letter where the line stood.
type fileRun struct {
	Sink
	ctx      context.Context
	adapter  Adapter
	progress *Progress
	maxLine  int
	amounts  Amounts
	name     string
	number   int64
}

func (r *fileRun) Observation(o Observation) error {
	r.amounts.Observations++
	return r.Sink.Observation(o)
}

func (r *fileRun) Record(key, value []byte) error {
	r.amounts.Observations++
	return r.Sink.Record(key, value)
}

func (r *fileRun) Dead(d DeadLetter) error {
	r.amounts.DeadLetters++
	d.File, d.Number = r.name, r.number
	return r.Sink.Dead(d)
}

// checkEvery is how many lines go by between two looks at the clock and at the
// context.
const checkEvery = 256

func (r *fileRun) file(name string) error {
	in, err := Open(r.ctx, name)
	if err != nil {
		return err
	}
	defer in.Close()
	r.name = name
	before := r.amounts.Bytes
	lines := NewLines(in, r.maxLine)
	for lines.Next() {
		r.number = lines.Number()
		r.amounts.Lines++
		if err := r.line(lines); err != nil {
			return fmt.Errorf("%s, line %d: %w", name, r.number, err)
		}
		if r.number%checkEvery == 0 {
			if err := r.ctx.Err(); err != nil {
				return fmt.Errorf("%s, line %d: %w", name, r.number, err)
			}
			if r.progress != nil {
				r.amounts.Bytes = before + in.BytesRead()
				r.progress.Update(r.amounts)
			}
		}
	}
	r.amounts.Bytes = before + in.BytesRead()
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading %s after line %d: %w", name, lines.Number(), err)
	}
	return r.ctx.Err()
}

func (r *fileRun) line(lines *Lines) error {
	if !lines.TooLong() {
		return r.adapter.Line(lines.Line())
	}
	return r.Dead(DeadLetter{
		Reason: fmt.Sprintf("the line has %d bytes, more than %d", lines.Length(), lines.maxLine),
		Line:   lines.Line(),
		Length: lines.Length(),
	})
}
