package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// worker runs sessions, one after the other. A session is one client with one
// membership of the group and one producer epoch; whenever a worker cannot be
// sure of what was committed, it ends the session and starts anew from what the
// brokers and the store say.
type worker struct {
	p   *Processor
	cfg *Config
	n   int
	log *slog.Logger

	mu     sync.Mutex      // guards tasks and client against Status; only the worker's goroutine writes
	tasks  map[int32]*task // owned tasks
	client *kgo.Client     // of the current session; nil between two

	waits sync.WaitGroup // awaitSettled, one for each task that waits

	pollMu     sync.Mutex
	woken      bool
	starved    *recordAt          // the session is to be given up if this is still to be read
	pollCancel context.CancelFunc // not nil while polling

	contact contact
	denied  denial
	tells   atomic.Bool  // it joins the group, or has, and tells it of the process's copies unless a worker before it does
	bytes   atomic.Int64 // what it told the group when it last joined

	pace    pace
	held    atomic.Int64 // when a record could not be prepared, in Unix nanoseconds; 0 when it has been
	unready *recordAt    // that record; nil likewise
	// refused is set when the session's client has met a batch that unpacks to too
	// much. It reads such a partition no further, and forgets the error with which
	// it says so when it is told to read something again.
	refused atomic.Bool

	// The current session.
	session   *kgo.GroupTransactSession
	lifetime  context.Context    // of the session's client, with all its requests
	kill      context.CancelFunc // ends lifetime
	joined    bool               // the client has been told to join the group
	ownership *ownership
	seen      uint64 // the version of ownership that the tasks were last reconciled with
	batch     batch

	// What is known about a batch that fails again and again.
	said        map[string]time.Time // errors of fetches, by when they were logged
	commits     int64                // of this worker
	failed      string               // the last batchError
	failedAfter int64                // commits when it happened
}

// errReplaced ends a session whose tasks somebody else may have had meanwhile.
var errReplaced = errors.New("the group went on without this member before it came back, so its tasks begin anew")

// errRefused ends a session in which the client has met a batch that unpacks to too
// much.
var errRefused = errors.New("a batch unpacks to more than max-batch-unpacked; another session reads on behind it")

const rejoinMaxDelay = 5 * time.Second

func newWorker(p *Processor, n int) *worker {
	w := &worker{p: p, cfg: &p.cfg, n: n, log: p.cfg.Logger.With("worker", n), tasks: make(map[int32]*task), pace: newPace(&p.cfg)}
	w.batch.w = w
	w.contact = contact{clock: p.cfg.Clock, log: w.log, told: func() int { return int(w.bytes.Load()) }}
	return w
}

// run works until ctx ends (nil) or something happens that a new session cannot
// mend.
func (w *worker) run(ctx context.Context) error {
	retry := backoff{clock: w.cfg.Clock, max: rejoinMaxDelay}
	for {
		commits := w.commits
		err := w.runSession(ctx)
		if w.commits > commits {
			w.denied.granted()
		}
		err = w.denied.judge(w.cfg.Clock.Now(), err)
		var f *fatalError
		var crash *crashError
		var failed *batchError
		switch {
		case err == nil || errors.As(err, &f) || errors.As(err, &crash):
			return err
		case errors.As(err, &failed):
			if w.failed != "" && (w.failed == err.Error() || w.failedAfter == w.commits) {
				return fmt.Errorf("failed twice: %w", err)
			}
			w.failed, w.failedAfter = err.Error(), w.commits
		}
		if ctx.Err() != nil {
			return nil
		}
		if err := w.displaced(ctx); err != nil {
			return err
		}
		w.p.counters.rejoins.Add(1)
		if w.mayLog("session", 0, err) { // with the brokers away it ends every few seconds
			w.log.Warn("session ended, joining again", "error", err)
		}
		if w.commits > commits {
			retry.reset()
		}
		if retry.wait(ctx) != nil {
			return nil
		}
	}
}

// runSession opens a session and works in it until ctx ends or a batch fails.
func (w *worker) runSession(ctx context.Context) (err error) {
	if err := w.open(); err != nil {
		return fatal(fmt.Errorf("worker %d: %w", w.n, err))
	}
	defer func() {
		var crash *crashError
		w.close(ctx, errors.As(err, &crash), errors.Is(err, errReplaced) || w.ownership.isReplaced())
	}()
	if err := w.join(ctx); err != nil {
		return err
	}
	failed := backoff{clock: w.cfg.Clock, max: 500 * time.Millisecond} // polls that bring nothing but errors
	for {
		if err := w.p.refusal(ctx); err != nil {
			return err
		}
		if woken, starved := w.clearWake(); starved != nil {
			return starved
		} else if woken {
			if err := w.reconcile(ctx); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		w.batch.times.begin(w.cfg.Clock)
		if err := w.batch.run(ctx, w.poll(ctx, w.pace.records)); err != nil {
			return err
		}
		w.session.AllowRebalance()
		if !w.batch.fetchFailed || w.batch.count > 0 {
			failed.reset()
		} else if failed.wait(ctx) != nil {
			return nil
		}
	}
}

// logAgain is how long an error of a partition that repeats itself is not logged
// again.
const logAgain = 30 * time.Second

// mayLog reports whether an error of a partition, or of the session, is news.
func (w *worker) mayLog(topic string, partition int32, err error) bool {
	const maxSaid = 1000
	now, what := w.cfg.Clock.Now(), fmt.Sprintf("%s[%d] %v", topic, partition, err)
	if last, ok := w.said[what]; ok && now.Sub(last) < logAgain {
		return false
	}
	if w.said == nil || len(w.said) >= maxSaid {
		w.said = make(map[string]time.Time)
	}
	w.said[what] = now
	return true
}

// wake ends the running poll, or the next one if there is none, because there is
// something to reconcile.
func (w *worker) wake() {
	w.pollMu.Lock()
	defer w.pollMu.Unlock()
	w.woken = true
	if w.pollCancel != nil {
		w.pollCancel()
	}
}

// clearWake reports whether there is something to reconcile, or why the session
// is to be given up.
func (w *worker) clearWake() (woken bool, starved error) {
	w.pollMu.Lock()
	woken, r := w.woken, w.starved
	w.woken, w.starved = false, nil
	w.pollMu.Unlock()
	if r != nil && w.p.watch.isAt(r) {
		starved = fmt.Errorf("task %d does not get offset %d of %s, though others can read it", r.in.Partition, r.offset, r.in.Topic)
	}
	return woken, starved
}

// requestNewSession has the session given up between two batches, unless the
// record has been read by then.
func (w *worker) requestNewSession(starved *recordAt) {
	w.pollMu.Lock()
	defer w.pollMu.Unlock()
	w.woken, w.starved = true, starved
	if w.pollCancel != nil {
		w.pollCancel()
	}
}

// clearSessionRequest forgets that the last session was to be given up.
func (w *worker) clearSessionRequest() {
	w.pollMu.Lock()
	defer w.pollMu.Unlock()
	w.starved = nil
}

// isWoken reports whether there is something to reconcile, as clearWake does.
func (w *worker) isWoken() bool {
	w.pollMu.Lock()
	defer w.pollMu.Unlock()
	return w.woken
}

// isBlockedOnPrepare reports whether the worker is retrying a record whose Prepare
// fails. Its other partitions wait with it, so the stall watchdog must not replace
// the session. A failure older than patience no longer counts.
func (w *worker) isBlockedOnPrepare(now time.Time, patience time.Duration) bool {
	held := w.held.Load()
	return held != 0 && now.Sub(time.Unix(0, held)) < patience
}

// poll waits for up to the given number of records, a wake or the end of ctx. From here
// until AllowRebalance the group cannot take tasks away.
func (w *worker) poll(ctx context.Context, records int) kgo.Fetches {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.pollMu.Lock()
	woken := w.woken
	if !woken {
		w.pollCancel = cancel
	}
	w.pollMu.Unlock()
	if woken {
		return nil
	}
	fetches := w.session.PollRecords(ctx, records)
	w.pollMu.Lock()
	w.pollCancel = nil
	w.pollMu.Unlock()
	return fetches
}

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

// bounded returns a context for ending what has been begun: it does not end
// when the processor is told to stop, but not much later than the transaction's
// own time.
func (w *worker) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), w.cfg.TransactionTimeout+leaveTimeout)
}

// member returns the worker's membership of the group.
func (w *worker) member() MemberStatus {
	m := MemberStatus{Worker: w.n, Generation: -1}
	if w.cfg.StaticMembership {
		m.InstanceID = w.name()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.client != nil {
		m.MemberID, m.Generation = w.client.GroupMetadata()
	}
	m.Unheard = w.contact.unheard(w.cfg.SessionTimeout)
	if err := w.contact.refused(); err != nil && m.MemberID == "" {
		m.Refused = err.Error()
	}
	return m
}

// name returns what the worker is called in the group, among all workers of all
// processes.
func (w *worker) name() string { return w.cfg.InstanceID + "-" + strconv.Itoa(w.n) }

// transactionalID returns the name of the worker's transactions, which is the same
// in all of its sessions.
func (w *worker) transactionalID() string { return w.cfg.ApplicationID + "-" + w.name() }

// setClient notes the client of the current session.
func (w *worker) setClient(c *kgo.Client) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.client = c
}

// askRebalance asks the group to look again who gets what, and reports whether
// the worker is a member, whom the group hears.
func (w *worker) askRebalance() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.client == nil {
		return false
	}
	if member, _ := w.client.GroupMetadata(); member == "" {
		return false
	}
	w.client.ForceRebalance()
	return true
}

func (w *worker) status() []TaskStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := make([]TaskStatus, 0, len(w.tasks))
	for _, t := range w.tasks {
		s = append(s, t.status(w.n, w.cfg.Clock))
	}
	return s
}
