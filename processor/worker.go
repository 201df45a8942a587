package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	refused   atomic.Bool
	unfocused time.Time // until when no task is paused, see focus

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
	w.batch.w, w.batch.ahead = w, p.cfg.Store.NewAhead()
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
		if w.refused.Load() && w.batch.everPaused {
			// The client forgets a batch that is too large if its partition is paused
			// before the batch is polled, and reads the partition no further.
			w.unfocused = w.cfg.Clock.Now().Add(refusedPause)
			return errRefused
		}
		w.batch.times.begin(w.cfg.Clock)
		if err := w.batch.run(ctx, w.pollFocused(ctx)); err != nil {
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

// pollFocused waits for the records of the next batch, but not for long while tasks
// are paused.
func (w *worker) pollFocused(ctx context.Context) kgo.Fetches {
	if len(w.batch.paused) == 0 {
		return w.poll(ctx, w.pace.records)
	}
	wait, cancel := context.WithTimeout(ctx, nextTurnWait)
	defer cancel()
	fetches := w.pollUntil(wait, w.pace.records)
	if fetches.NumRecords() == 0 && !w.isWoken() {
		w.batch.loseFocus()
	}
	return fetches
}

// pollUntil is poll, and polls again if what it has got is no more than what had been
// fetched of a task that was paused since: the client says so by a fetch without records.
func (w *worker) pollUntil(ctx context.Context, records int) kgo.Fetches {
	for {
		fetches := w.poll(ctx, records)
		if fetches.NumRecords() > 0 || len(fetches.Errors()) > 0 || w.isWoken() || ctx.Err() != nil {
			return fetches
		}
	}
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
