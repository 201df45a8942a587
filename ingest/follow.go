package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// looksBefore is how often a file is found again before it is read: one that
// comes before it may be renamed and packed while the folder is read, and not
// be seen at once.
const looksBefore = 3

// maxRound bounds how much of a log is read before the others have their turn.
const maxRound = 4 << 20

// settledAfter is how many looks long nothing has been written to a file whose
// writer has left it. Without it, a folder of old files would take two looks
// for each.
const settledAfter = 20

// maxMissing is for how many rounds a file is looked for that others follow.
const maxMissing = 20
