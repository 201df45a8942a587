package processor

import (
	"context"
	"sync/atomic"
	"time"

	"handprint/state"
)

// task is a task while a session of a worker owns it. Except for what Status
// reads, only the worker's goroutine touches it.
type task struct {
	partition int32
	term      uint64
	store     *state.Partition
	state     atomic.Value // TaskState
	progress  progress
	// progressed is when the task last got on, in Unix nanoseconds.
	progressed atomic.Int64
	// commands is the next command to read, as of the last commit.
	commands atomic.Int64

	settle context.CancelFunc // ends the wait for the former owner

	// While it is restored:
	cancel     context.CancelFunc
	done       chan struct{}    // closed when the restore is over; nil before it starts
	checkpoint state.Checkpoint // valid after done if err is nil
	err        error
	inputs     inputs

	// While it runs:
	handler Handler
	context Context
	inBatch bool // has records in the current batch
	load    taskLoad
}

func (t *task) running() bool { return t.state.Load() == TaskRunning }

func (t *task) status(worker int, clock Clock) TaskStatus {
	s := TaskStatus{Partition: t.partition, Worker: worker, State: t.state.Load().(TaskState), LastProgress: time.Unix(0, max(t.progressed.Load(), t.progress.moved.Load()))}
	if load := t.load.shown.Load(); load != nil && s.State == TaskRunning && clock.Now().Sub(s.LastProgress) <= 2*loadWindow {
		s.Load = load
	}
	if s.State == TaskRestoring {
		s.Restore = t.progress.snapshot(clock.Now())
	}
	return s
}

// stopRestore ends a restore that is under way and waits for it.
func (t *task) stopRestore() {
	if t.done != nil {
		t.cancel()
		<-t.done
	}
}

// leases makes sure that only one worker of a process has a task's store open:
// while a task moves between workers, both may own it for a moment.
type leases []chan struct{}

func newLeases(n int32) leases {
	l := make(leases, n)
	for i := range l {
		l[i] = make(chan struct{}, 1)
	}
	return l
}

func (l leases) acquire(ctx context.Context, p int32) error {
	select {
	case l[p] <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// try acquires without waiting and reports whether it could.
func (l leases) try(p int32) bool {
	select {
	case l[p] <- struct{}{}:
		return true
	default:
		return false
	}
}

func (l leases) release(p int32) { <-l[p] }
