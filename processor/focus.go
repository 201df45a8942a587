package processor

import "time"

// A worker with several tasks that are behind reads the input of one of them at a time.
// A transaction writes what it has changed once, however often it did, and 80,000 records
// of one partition change fewer keys than 20,000 of each of four. The inputs of the other
// tasks that are behind are paused meanwhile, those of tasks that keep up are not.
// docs/decisions/0014-one-task-at-a-time.md has the figures.
const (
	// maxPaused is how long a task that is behind waits for its turn, besides the
	// transaction that is under way. With more tasks than have a turn in that time,
	// transactions have the records of several.
	maxPaused = 5 * time.Second
	// pausedShare is the part of the stall timeout, one in pausedShare, after which it
	// waits no longer, so that none looks stuck.
	pausedShare = 8
	// nextFetched is how many turns before the end of a task's input the next task's is
	// read as well, so that the worker has something to do meanwhile.
	nextFetched = 4
)

// focus has the client read the tasks that are behind one after another. It is called
// between two transactions.
func (b *batch) focus() {
	pause := b.pausable()
	if b.othersWait() {
		clear(pause)
	}
	for _, t := range b.w.tasks {
		b.setPaused(t, pause[t])
	}
	for t := range b.paused {
		if b.w.tasks[t.partition] != t {
			delete(b.paused, t)
		}
	}
}

// pausable returns the tasks that are behind but for the one whose last turn is the
// longest ago, and for the tasks that have waited for too long.
func (b *batch) pausable() map[*task]bool {
	now, wait := b.w.cfg.Clock.Now(), time.Duration(maxPaused)
	if stall := b.w.cfg.StallTimeout; stall > 0 {
		wait = min(wait, stall/pausedShare)
	}
	pause := make(map[*task]bool)
	var next *task
	for _, t := range b.w.tasks {
		if !b.waits(t) {
			continue
		}
		if now.Sub(t.load.served) < wait {
			pause[t] = true
		}
		if next == nil || t.load.served.Before(next.load.served) || t.load.served.Equal(next.load.served) && t.partition < next.partition {
			next = t
		}
	}
	delete(pause, next)
	return pause
}

// waits reports whether a task had a turn of its input left, or more, after it last had
// some.
func (b *batch) waits(t *task) bool {
	return t.running() && t.load.rest >= int64(b.w.cfg.TurnRecords)
}

// endFocus has the client read one more task that is behind, as there is little left of
// the input that the batch reads, unless it has that of another one to come.
func (b *batch) endFocus() {
	var next *task
	for _, t := range b.w.tasks {
		switch {
		case !b.waits(t) || t.inBatch && b.hasInput(t):
		case !b.paused[t]:
			return
		case next == nil || t.load.served.Before(next.load.served):
			next = t
		}
	}
	if next != nil {
		b.setPaused(next, false)
	}
}

// loseFocus has the client read all tasks, as none of the read ones has records:
// what is left of the input of one that is behind may be records that no reader sees.
func (b *batch) loseFocus() {
	for t := range b.paused {
		b.setPaused(t, false)
	}
	for _, t := range b.w.tasks {
		t.load.rest = 0
	}
}

// setPaused pauses the input of a task, but for its commands, or resumes it.
func (b *batch) setPaused(t *task, paused bool) {
	if b.paused[t] == paused {
		return
	}
	if !paused {
		delete(b.paused, t)
		b.w.ownership.resume(b.session.Client(), t.partition, t.term)
		return
	}
	b.paused[t] = true
	inputs := make(map[string][]int32, len(b.w.cfg.Inputs))
	for _, topic := range b.w.cfg.Inputs {
		inputs[topic] = []int32{t.partition}
	}
	b.session.Client().PauseFetchPartitions(inputs)
}

// othersBehind reports whether a task is behind that the batch has no input of.
func (b *batch) othersBehind() bool {
	for _, t := range b.w.tasks {
		if b.waits(t) && !(t.inBatch && b.hasInput(t)) {
			return true
		}
	}
	return false
}
