package processor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// reconcile makes the tasks what the group says they are, one step further for
// each: owned, then restored, then running.
func (w *worker) reconcile(ctx context.Context) error {
	if w.ownership.isReplaced() {
		return errReplaced
	}
	if w.ownership.consumeRevoked() {
		if err := w.rewind(ctx); err != nil {
			return err
		}
	}
	w.seen = w.ownership.version.Load()
	terms := w.ownership.owned()
	for p, t := range w.tasks {
		if terms[p] != t.term {
			w.drop(t, "the group has taken it away")
		}
	}
	for p, term := range terms {
		t := w.tasks[p]
		if t == nil {
			t = &task{partition: p, term: term, store: w.cfg.Store.Partition(p)}
			w.p.standbys.activate(p)
			var waiting context.Context
			waiting, t.settle = context.WithCancel(ctx)
			w.waits.Go(func() { w.awaitSettled(waiting, p) })
			w.setState(t, TaskWaiting, "the group has given it to this worker")
			w.mu.Lock()
			w.tasks[p] = t
			w.mu.Unlock()
		}
		if t.done == nil && w.ownership.isSettled(p) {
			w.startRestore(ctx, t)
		}
		if t.done == nil || t.running() {
			continue
		}
		select {
		case <-t.done:
			if err := w.start(ctx, t); err != nil {
				return err
			}
		default:
		}
	}
	return nil
}

// owned returns a function that reports whether a task is still the one that the
// group has given to this session.
func (w *worker) owned() func(*task) bool {
	if w.ownership.version.Load() == w.seen {
		return func(*task) bool { return true }
	}
	terms := w.ownership.owned()
	return func(t *task) bool { return terms[t.partition] == t.term }
}

// isOwner reports whether the client is the member of the group that the tasks were
// given to.
func (w *worker) isOwner() bool {
	return w.ownership.isCurrentMember(w.session.Client().GroupMetadata())
}

// startRestore restores t in a goroutine that ends with the task.
func (w *worker) startRestore(ctx context.Context, t *task) {
	t.settle()
	var rctx context.Context
	rctx, t.cancel = context.WithCancel(ctx)
	t.done = make(chan struct{})
	t.progress.start = w.cfg.Clock.Now()
	w.setState(t, TaskRestoring, "")
	r := &restorer{cfg: w.cfg, task: t.partition, store: t.store, progress: &t.progress, counters: &w.p.counters, log: w.log, unblock: w.p.endOrphans}
	group := w.ownership.groupOffsets(t.partition)
	go func() {
		defer w.wake()
		defer close(t.done)
		if t.err = w.p.leases.acquire(rctx, t.partition); t.err != nil {
			return
		}
		if t.err = w.p.restores.Acquire(rctx, 1); t.err == nil {
			t.checkpoint, t.err = r.run(rctx)
			w.p.restores.Release(1)
			if t.err == nil {
				t.inputs, t.err = w.p.openInputs(rctx, t.partition, &r.history, t.checkpoint.Offset, group)
			}
		}
		if t.err != nil {
			w.p.leases.release(t.partition)
		}
	}()
}

// start makes a restored task run.
func (w *worker) start(ctx context.Context, t *task) error {
	if t.err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return t.err
	}
	name := Task{Partition: t.partition, Partitions: w.cfg.Partitions}
	handler, err := w.cfg.NewHandler(name)
	if err != nil {
		return fatal(fmt.Errorf("starting task %d: %w", t.partition, err))
	}
	if lost := t.inputs.of(w.cfg.Commands).lost; lost != nil {
		if _, ok := handler.(Repairer); !ok {
			return fatal(fmt.Errorf("task %d: %d commands to it, offsets %d to %d of %s[%d], were deleted before they were read: what they were to do is lost; "+
				"begin from nothing with: handprint reset", t.partition, lost.Offsets(), lost.From, lost.To, lost.Topic, lost.Partition))
		}
	}
	t.handler = handler
	t.context = Context{
		task: name, txn: t.store.WriteBack(), commands: w.cfg.Commands, log: w.cfg.Logger.With("task", t.partition),
	}
	t.commands.Store(t.inputs.of(w.cfg.Commands).Next)
	if err := w.seek(ctx, t); err != nil {
		return nil // stopped
	}
	w.setState(t, TaskRunning, "")
	w.log.Info("task runs", "task", t.partition, "checkpoint", t.checkpoint.Offset, "restored_records", t.progress.recordsIn.Load())
	w.ownership.resume(w.session.Client(), t.partition, t.term)
	if slices.ContainsFunc(t.inputs.list, func(in input) bool { return in.lost != nil }) {
		w.p.tickEarly(t.partition)
	}
	return nil
}

// seek has the client read t's partitions from where the state says. It waits until
// the client has the partitions, or t's term is over.
func (w *worker) seek(ctx context.Context, t *task) error {
	cl := w.session.Client()
	offsets := make(map[string]map[int32]kgo.EpochOffset)
	for i := range t.inputs.list {
		in := &t.inputs.list[i]
		offsets[in.Topic] = map[int32]kgo.EpochOffset{t.partition: {Epoch: -1, Offset: in.Next}}
		w.p.watch.reached(TopicPartition{in.Topic, t.partition}, in.Next, -1)
	}
	return poll(ctx, w.cfg.Clock, time.Millisecond, 50*time.Millisecond, func() (done bool) {
		if !w.ownership.isTerm(t.partition, t.term) {
			return true
		}
		cl.SetOffsets(offsets)
		has := cl.CommittedOffsets()
		for topic, partitions := range offsets {
			if o, ok := has[topic][t.partition]; !ok || o != partitions[t.partition] {
				return false
			}
		}
		return true
	})
}

// setState notes and reports a task's new phase.
func (w *worker) setState(t *task, s TaskState, reason string) {
	t.state.Store(s)
	t.progressed.Store(w.cfg.Clock.Now().UnixNano())
	w.cfg.Hooks.task(TaskReport{Partition: t.partition, Worker: w.n, State: s, Reason: reason})
}

// drop gives up a task and its store.
func (w *worker) drop(t *task, why string) {
	t.settle()
	t.stopRestore()
	if t.context.txn != nil {
		// What is not written here the changelog has.
		if err := t.context.txn.Close(); err != nil {
			w.log.Warn("the last commits of a task did not reach its store, they will be restored", "task", t.partition, "error", err)
		}
	}
	if t.done != nil && t.err == nil {
		w.p.leases.release(t.partition)
	}
	if u := w.unready; u != nil && u.in.Partition == t.partition {
		w.unready = nil
		w.held.Store(0)
	}
	w.p.standbys.deactivate(t.partition)
	w.mu.Lock()
	delete(w.tasks, t.partition)
	w.mu.Unlock()
	w.cfg.Hooks.task(TaskReport{Partition: t.partition, Worker: w.n, State: TaskClosed, Reason: why})
}

// rewind puts the session back to the committed offsets. It also clears the
// session's note that partitions were revoked, which would abort the next batch.
func (w *worker) rewind(ctx context.Context) error {
	limit, cancel := w.bounded(ctx)
	defer cancel()
	if _, err := w.session.End(limit, kgo.TryAbort); err != nil {
		return fmt.Errorf("worker %d: going back to the committed offsets: %w", w.n, err)
	}
	return w.rereads()
}

// rereads returns an error if the client may not read everything again that it has
// been told to: another session does.
func (w *worker) rereads() error {
	if w.refused.Load() {
		return errRefused
	}
	return nil
}
