package processor

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// When there is much to do, what is committed is not written to the store at
// once: the transaction of each task holds it, so that what is used again soon
// is in memory and is written once ([state.Txn.Hold]). The store is then an
// earlier prefix of the committed changelog, and after a crash the restore
// reads some more of it. It is written when it takes too much memory, when
// batches are small again, when nothing arrives, and when the task is given up.
const holdTime = 100 * time.Millisecond

// keep takes the changes of a task, which are committed, to the store, or holds
// them.
func (b *batch) keep(t *task) error {
	txn := t.context.txn
	// A checkpoint that stands still is written again from time to time: its
	// age says how long ago the store was known to lack nothing.
	if txn.Len() == 0 && b.now.Sub(t.checkpoint.At) < checkpointMaxAge {
		if !txn.Holds() {
			txn.Discard()
		}
		return nil
	}
	t.checkpoint.At = b.now
	if b.count >= b.w.cfg.HoldFrom && int64(txn.HeldBytes()) < b.w.cfg.HoldBytes/int64(b.w.cfg.Threads*len(b.w.tasks)) {
		txn.Hold(t.checkpoint)
		return nil
	}
	if err := txn.Commit(t.checkpoint); err != nil {
		return fatal(fmt.Errorf("task %d: writing to the store: %w", t.partition, err))
	}
	return nil
}

// holds tells whether a task holds what its store lacks.
func (w *worker) holds() bool {
	for _, t := range w.tasks {
		if t.holds() {
			return true
		}
	}
	return false
}

// writeHeld brings the stores up to date. No batch may be under way.
func (w *worker) writeHeld() error {
	for _, t := range w.tasks {
		if !t.holds() {
			continue
		}
		if err := t.context.txn.WriteHeld(); err != nil {
			return fatal(fmt.Errorf("task %d: writing to the store: %w", t.partition, err))
		}
	}
	return nil
}

func (t *task) holds() bool { return t.context.txn != nil && t.context.txn.Holds() }

// pollHolding is a poll that cancel ends when nothing arrives for holdTime.
func (w *worker) pollHolding(cancel func(), poll func() kgo.Fetches) kgo.Fetches {
	ticks, stop := w.cfg.Clock.NewTicker(holdTime)
	defer stop()
	polled, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-ticks:
			cancel()
		case <-polled:
		}
	}()
	fetches := poll()
	close(polled)
	<-watched
	return fetches
}
