package processor

import "time"

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

// tell calls the hook for the batch in hand.
func (b *batch) tell(outcome Outcome) {
	tell := b.w.cfg.Hooks.Batch
	if tell == nil {
		return
	}
	s := &b.times
	r := BatchReport{
		Worker: b.w.n, Tasks: b.touched, Outcome: outcome,
		Records: b.count, Produced: b.produced, Changes: int64(len(b.changes)),
		Poll: s.poll, Process: s.process, Produce: s.produce, Flush: s.flush, Commit: s.commit, Apply: s.apply,
	}
	for _, f := range b.parts {
		for _, in := range f.records {
			r.BytesIn += int64(len(in.Key) + len(in.Value))
			if !in.Timestamp.IsZero() && (r.Oldest.IsZero() || in.Timestamp.Before(r.Oldest)) {
				r.Oldest = in.Timestamp
			}
		}
	}
	for _, t := range b.tasks {
		for _, out := range t.context.out {
			r.BytesOut += int64(len(out.Key) + len(out.Value))
		}
	}
	for _, out := range b.changes {
		r.BytesOut += int64(len(out.Key) + len(out.Value))
	}
	tell(r)
}
