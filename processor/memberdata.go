package processor

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"handprint/processor/assignor"
)

// What all members tell the group goes into one record of the brokers, whose size is
// bounded. So one worker of a process speaks for the copies in its store, and they
// are hints: if they are many, or the coordinator has refused a worker, a process
// leaves them out. The leader then takes it for one whose stores are empty.

const (
	// maxCopiesBytes bounds what a process tells of its copies, some 4,000 of them.
	maxCopiesBytes = 64 << 10
	// copiesAgain is how long copies are left out after the coordinator has refused a
	// worker.
	copiesAgain = 10 * time.Minute
	// firstPatience is how long workers wait for the first one to begin to join.
	firstPatience = time.Second
)

// describe returns what the group is to know of the worker and its process.
func (w *worker) describe() assignor.MemberData {
	d := assignor.MemberData{Process: w.cfg.InstanceID, Rack: w.cfg.Rack, Job: *w.p.job.Load()}
	if w.speaks() {
		d.Copies = w.p.copies()
		d.Bound(maxCopiesBytes)
	}
	w.bytes.Store(int64(len(d.Append(nil))))
	return d
}

// speaks reports whether this worker tells the group of the copies: it is the first
// of the process's that joins or has joined, and the coordinator has not refused what
// it said.
func (w *worker) speaks() bool {
	for _, before := range w.p.workers[:w.n] {
		if before.tells.Load() {
			return false
		}
	}
	return !w.contact.refusedWithin(copiesAgain)
}

// firstJoins notes that the first worker has begun to join the group.
func (p *Processor) firstJoins() { p.joinOnce.Do(func() { close(p.first) }) }

// awaitFirst has all workers but the first wait a moment until that one has begun
// to join the group, so that only it speaks for the process.
func (p *Processor) awaitFirst(ctx context.Context, n int) {
	if n == 0 {
		return
	}
	fired, stop := p.cfg.Clock.NewTimer(firstPatience)
	defer stop()
	select {
	case <-p.first:
	case <-fired:
	case <-ctx.Done():
	}
}

// refusedWithin reports whether the coordinator has refused the worker with
// UNKNOWN_SERVER_ERROR within the time given.
func (c *contact) refusedWithin(d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.refusedAt.IsZero() && c.clock.Now().Sub(c.refusedAt) < d
}

// isRefusal reports whether an error of the group says that it takes no member like
// this.
func isRefusal(err error) bool { return errors.Is(err, kerr.UnknownServerError) }

// copies returns the copies of tasks in this process's store: how far they have come,
// their changelog, and how old they are. A store that cannot be read has none to
// offer; the restore will say what is wrong with it.
func (p *Processor) copies() map[int32]assignor.CopyData {
	copies := make(map[int32]assignor.CopyData)
	tasks, err := p.cfg.Store.Partitions()
	if err != nil {
		return copies
	}
	now := p.cfg.Clock.Now()
	for _, task := range tasks {
		if cp, ok, err := p.cfg.Store.Partition(task).Checkpoint(); err == nil && ok {
			copies[task] = assignor.CopyData{Position: cp.Offset, Lag: -1, Topic: cp.Identity, Age: ageOf(cp.At, now)}
		}
	}
	for _, w := range p.workers {
		for _, task := range w.status() {
			if c, ok := copies[task.Partition]; ok && task.State == TaskRunning {
				c.Lag, c.Age = 0, 0
				copies[task.Partition] = c
			}
		}
	}
	p.standbys.describe(copies)
	return copies
}

// ageOf returns how old a checkpoint is. One that lies in the future is as old as
// can be: its clock was wrong.
func ageOf(at, now time.Time) time.Duration {
	if at.Sub(now) > clockDoubt {
		return assignor.MaxAge
	}
	return max(0, now.Sub(at))
}
