package processor

import (
	"fmt"
	"time"
)

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
	// maxMissed is how many transactions may have had nothing of a task that is read, until
	// it is taken for one that has nothing: what is left of its input may be records that
	// no reader sees, or its leader may be away.
	maxMissed = 3
	// refusedPause is how long tasks are not paused after the input had a batch that is too
	// large to unpack: the client may forget such a batch of a partition that is paused.
	refusedPause = time.Minute
)

// focus has the client read the tasks that are behind one after another. It is called
// between two transactions. Of small transactions each would throw away what was fetched
// of the task before, so they have the records of all.
func (b *batch) focus() {
	for _, t := range b.w.tasks {
		if !b.waits(t) || b.paused[t] || b.hasPaused(t) {
			t.load.missed = 0
		} else if t.load.missed++; t.load.missed >= maxMissed {
			t.load.rest = 0
		}
	}
	pause := b.pausable()
	little := b.w.cfg.MaxBatchRecords < nextFetched*b.w.cfg.TurnRecords
	if little || b.othersWait() || b.w.refused.Load() || b.w.cfg.Clock.Now().Before(b.w.unfocused) {
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

// rest has the tasks that wait for their turn give back the memory of what they have read
// and written lately, as far as that can be read again at little cost. So has a task that
// has come to the end of a backlog, once, while others have one: most of what it remembers
// is of attackers that were busy then. A task that keeps up has no turn to wait for: a flood
// of another one must not cost it what it remembers.
func (b *batch) rest() error {
	behind := false
	for _, t := range b.w.tasks {
		behind = behind || b.waits(t)
	}
	for _, t := range b.w.tasks {
		began, done := t.load.began, t.load.done
		if t.load.began, t.load.done = false, false; !t.running() {
			continue
		}
		if began && !b.paused[t] {
			b.wakeUp(t)
		}
		if !b.paused[t] && !(done && behind) {
			continue
		}
		if err := t.context.txn.Rest(done); err != nil {
			return fatal(fmt.Errorf("task %d: writing to the store: %w", t.partition, err))
		}
	}
	return nil
}

// wakeUp has a task remember what it reads from now on, as it has much to do.
func (b *batch) wakeUp(t *task) {
	// For few records it is cheaper to read the rows one by one.
	t.context.txn.Wake(t.load.rest >= int64(b.w.cfg.MaxBatchRecords/4))
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
		case !b.waits(t) || b.hasPaused(t):
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
		b.wakeUp(t)
		b.w.ownership.resume(b.session.Client(), t.partition, t.term)
		return
	}
	b.paused[t], b.everPaused = true, true
	inputs := make(map[string][]int32, len(b.w.cfg.Inputs))
	for _, topic := range b.w.cfg.Inputs {
		inputs[topic] = []int32{t.partition}
	}
	b.session.Client().PauseFetchPartitions(inputs)
}

// hasPaused reports whether the batch has records of a task that would not have come if it
// were paused.
func (b *batch) hasPaused(t *task) bool {
	for _, topic := range b.w.cfg.Inputs {
		if _, ok := b.consumed[TopicPartition{topic, t.partition}]; ok {
			return true
		}
	}
	return false
}

// othersBehind reports whether a task is behind that the batch has no input of.
func (b *batch) othersBehind() bool {
	for _, t := range b.w.tasks {
		if b.waits(t) && !b.hasPaused(t) {
			return true
		}
	}
	return false
}
