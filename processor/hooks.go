package processor

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Hooks are told what happens, as it happens. Each may be nil. They are called
// synchronously, from the goroutine that does what is reported, and from several
// goroutines at the same time; they must not block, and must not call the
// processor's Run. They may call its Status.
type Hooks struct {
	// Batch is called after each transaction, however it ended.
	Batch func(BatchReport)
	// Task is called each time a task changes its phase in this process,
	// standby copies included.
	Task func(TaskReport)
}

// Outcome is how a batch ended.
type Outcome string

// The outcomes of a batch.
const (
	Committed Outcome = "committed" // the transaction is committed
	Aborted   Outcome = "aborted"   // nothing of it was committed; its input is read again
	Unknown   Outcome = "unknown"   // the brokers know; the worker joins again and asks them
)

// BatchReport is one batch, from the poll that brought it to its end. Durations
// of steps that were not reached are 0.
type BatchReport struct {
	Worker   int
	Tasks    []int32 // that had records in it; valid until the hook returns
	Outcome  Outcome
	Records  int64 // read
	BytesIn  int64 // keys and values read
	Produced int64 // records sent, those of the changelog included
	BytesOut int64 // keys and values sent
	// Changes are the records sent to the changelog, which Produced counts
	// as well.
	Changes int64
	// Oldest is the least timestamp of what was read; zero if it has none.
	Oldest time.Time

	// How long each step took. Poll includes the wait for records.
	Poll, Process, Produce, Flush, Commit, Apply time.Duration
}

// TaskReport is a task that changed its phase.
type TaskReport struct {
	Partition int32
	// Worker is the worker that has the task, or -1 for a standby copy, which
	// belongs to the process.
	Worker int
	State  TaskState
	// Reason says why, in a few words; empty if there is nothing to say.
	Reason string
}

// task calls the hook.
func (h *Hooks) task(r TaskReport) {
	if h.Task != nil {
		h.Task(r)
	}
}

// stepTimes measures a batch: how long each step took.
type stepTimes struct {
	clock                                        Clock
	mark                                         time.Time
	poll, process, produce, flush, commit, apply time.Duration
}

// begin starts the clock of the first step.
func (s *stepTimes) begin(c Clock) { *s = stepTimes{clock: c, mark: c.Now()} }

// end adds the time since the last step's end to d.
func (s *stepTimes) end(d *time.Duration) {
	now := s.clock.Now()
	*d += now.Sub(s.mark)
	s.mark = now
}

// sizes adds up what BatchReport says of the records, which are gone by then.
type sizes struct {
	in, out int64
	oldest  time.Time
}

// read counts what the current turn has read, if there is a hook for it.
func (s *sizes) read(b *batch) {
	if b.w.cfg.Hooks.Batch == nil {
		return
	}
	for _, f := range b.turn.parts {
		for _, r := range f.records {
			s.in += int64(len(r.Key) + len(r.Value))
			if !r.Timestamp.IsZero() && (s.oldest.IsZero() || r.Timestamp.Before(s.oldest)) {
				s.oldest = r.Timestamp
			}
		}
	}
}

func (s *sizes) sent(r *kgo.Record) { s.out += int64(len(r.Key) + len(r.Value)) }

// tell calls the hook for the current batch.
func (b *batch) tell(outcome Outcome) {
	tell := b.w.cfg.Hooks.Batch
	if tell == nil {
		return
	}
	s := &b.times
	tell(BatchReport{
		Worker: b.w.n, Tasks: b.touched, Outcome: outcome,
		Records: b.count, BytesIn: b.sizes.in, Produced: b.produced, BytesOut: b.sizes.out, Changes: b.changes, Oldest: b.sizes.oldest,
		Poll: s.poll, Process: s.process, Produce: s.produce, Flush: s.flush, Commit: s.commit, Apply: s.apply,
	})
}
