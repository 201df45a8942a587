package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// watch measures how far the tasks of this process are behind their input, and
// finds stuck tasks: tasks that have something to do and make no progress.
type watch struct {
	cfg     *Config
	log     *slog.Logger
	workers []*worker                   // of the process
	side    *kgo.Client                 // for questions outside of transactions, while run runs
	compare func(context.Context) error // of this process's rules with those of the group's other members

	ids    map[string]kadm.TopicID // of topics, as they were at the start or the last look
	fewer  map[string]bool         // topics that had fewer partitions than tasks, at the last look
	policy string                  // of the changelog's cleanup, at the last look
	// shortSaid is when it was last logged that too few replicas are in sync; zero: not
	// since there were enough.
	shortSaid time.Time

	mu     sync.Mutex
	inputs map[TopicPartition]*inputMark
	heldUp map[TopicPartition]*HeldUp
	stuck  map[int32]string // why a task is stuck, by task
	faults []Fault          // of what the processor works on
	// replacedAt is when a worker's session was last given up because of a task.
	replacedAt map[int]time.Time
}

// inputMark is how far one partition of the input has been read.
type inputMark struct {
	next   int64 // to be read; -1 if not known
	end    int64 // of what can be read; -1 if not known
	before int64 // next, the last time that the watch looked
	proven bool  // the watch has seen a record at next
	// since is when the watch first saw no progress, with input to read and a
	// running task. It outlives sessions.
	since time.Time
	rests int64 // next at that time
}

// maxWatchInterval bounds the time between two looks.
const maxWatchInterval = 10 * time.Second

func newWatch(cfg *Config) *watch {
	return &watch{
		cfg: cfg, log: cfg.Logger, inputs: make(map[TopicPartition]*inputMark),
		ids:        make(map[string]kadm.TopicID),
		fewer:      make(map[string]bool),
		stuck:      make(map[int32]string),
		replacedAt: make(map[int]time.Time),
	}
}

// reached notes that a partition has been read and committed up to next. The
// end is what was known when it was read, or -1.
func (w *watch) reached(tp TopicPartition, next, end int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.inputs[tp]
	if m == nil {
		m = &inputMark{end: -1, before: -1}
		w.inputs[tp] = m
	}
	m.next, m.end = next, max(m.end, end, next)
}

// lag returns how many offsets task p is behind, and false if that is not known
// for each partition that the task reads.
func (w *watch) lag(p int32) (int64, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lagOf(p)
}

// lagOf is called with mu held.
func (w *watch) lagOf(p int32) (lag int64, ok bool) {
	for _, topic := range w.cfg.topicsOf(p) {
		m := w.inputs[TopicPartition{topic, p}]
		if m == nil || m.next < 0 || m.end < 0 {
			return 0, false
		}
		lag += max(m.end-m.next, 0)
	}
	return lag, true
}

// why returns why task p is stuck, empty if it is not.
func (w *watch) why(p int32) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stuck[p]
}

// run looks at the tasks at every interval until ctx ends. It returns an error if
// a topic has got partitions that no task reads, or if what the process works on was
// taken away under it.
func (w *watch) run(ctx context.Context, side *kgo.Client) error {
	w.side = side
	ticks, stop := w.cfg.Clock.NewTicker(min(max(w.cfg.StallTimeout/4, time.Millisecond), maxWatchInterval))
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticks:
			limit, cancel := context.WithTimeout(ctx, sideTimeout)
			err := w.lookAtInputs(limit, w.runningTasks())
			differ := w.compare(limit)
			around := w.lookAround(limit)
			cancel()
			if f := (*fatalError)(nil); errors.As(around, &f) {
				return around
			}
			if around != nil && ctx.Err() == nil {
				w.log.Debug("looking at topics and the state directory failed", "error", around)
			}
			if f := (*fatalError)(nil); errors.As(err, &f) {
				return err
			}
			if differ != nil && ctx.Err() == nil {
				w.log.Debug("comparing the rules of the group's members failed", "error", differ)
			}
			if err != nil && ctx.Err() == nil {
				w.log.Debug("asking how far the input goes failed", "error", err)
			}
			w.lookForStuck(now)
		}
	}
}

// runningTasks returns the tasks that run in this process.
func (w *watch) runningTasks() map[int32]TaskStatus {
	tasks := make(map[int32]TaskStatus)
	for _, worker := range w.workers {
		for _, t := range worker.status() {
			if t.State == TaskRunning {
				tasks[t.Partition] = t
			}
		}
	}
	return tasks
}

// lookAtInputs asks the brokers how far the input goes. The unread rest of a
// partition without progress may be nothing but transaction markers, which no
// task ever sees: the watch reads it to find out.
func (w *watch) lookAtInputs(ctx context.Context, running map[int32]TaskStatus) error {
	w.mu.Lock()
	for _, m := range w.inputs {
		m.proven = false // unless it is seen again now
	}
	w.mu.Unlock()
	admin := kadm.NewClient(w.side)
	ends, err := admin.ListCommittedOffsets(ctx, w.cfg.consumed()...)
	if err != nil {
		return err
	}
	for topic, partitions := range ends {
		if has := int32(len(partitions)); has > w.cfg.partitionsOf(topic) {
			return fatal(fmt.Errorf("partitions were added under the application: %w", w.cfg.wrongPartitions(topic, has)))
		}
	}
	starts, err := admin.ListStartOffsets(ctx, w.cfg.consumed()...)
	if err != nil {
		return err
	}
	if err := w.lookForHeldUp(ctx, admin, ends, running); err != nil {
		return err
	}
	var resting []TopicPartition
	w.mu.Lock()
	for tp, m := range w.inputs {
		if o, ok := ends.Lookup(tp.Topic, tp.Partition); ok && o.Err == nil {
			m.end = max(o.Offset, m.next)
		}
		if o, ok := starts.Lookup(tp.Topic, tp.Partition); ok && o.Err == nil {
			m.next = max(m.next, o.Offset)
		}
		if _, here := running[tp.Partition]; here && m.next == m.before && m.next < m.end {
			resting = append(resting, tp)
		}
		m.before = m.next
	}
	w.mu.Unlock()
	for _, tp := range resting {
		err = errors.Join(err, w.lookBeyond(ctx, tp))
	}
	return err
}

// lookBeyond moves the mark of a partition past offsets without records, and notes
// whether a record follows.
func (w *watch) lookBeyond(ctx context.Context, tp TopicPartition) error {
	r := newChangelogReader(w.side, tp.Topic, tp.Partition, 0, 64<<10)
	if err := r.locate(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	from, end := w.inputs[tp].next, w.inputs[tp].end
	w.mu.Unlock()
	r.position = from
	for r.position < end {
		before := r.position
		records, err := r.read(ctx)
		large := errors.Is(err, kgo.ErrMaxDecompress)
		if err != nil && !large {
			return err
		}
		if len(records) > 0 || large || r.position == before {
			w.mu.Lock()
			m := w.inputs[tp]
			m.proven = (len(records) > 0 || large) && m.next == before
			w.mu.Unlock()
			break
		}
		w.mu.Lock()
		if m := w.inputs[tp]; m.next == before {
			m.next, m.before = r.position, r.position
		}
		w.mu.Unlock()
	}
	return nil
}

// lookForStuck decides which tasks are stuck, and logs when that changes.
func (w *watch) lookForStuck(now time.Time) {
	stall := w.cfg.StallTimeout
	stuck := make(map[int32]string)
	running := w.runningTasks()
	// A record whose Prepare fails is retried at least once per Prepare timeout.
	patience := max(stall, w.cfg.RebalanceTimeout/prepareShare+maxWatchInterval)
	waiting := make(map[int]int) // partitions with something to read, by worker
	var tasks []TaskStatus
	for _, worker := range w.workers {
		tasks = append(tasks, worker.status()...)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for tp, m := range w.inputs {
		t, here := running[tp.Partition]
		// Another session begins before the markers that this one has passed.
		if m.since.IsZero() || !here || m.next >= m.end || m.next > m.rests || w.workers[t.Worker].isBlockedOnPrepare(now, patience) {
			m.since, m.rests = now, m.next
		} else {
			waiting[t.Worker]++
		}
	}
	for _, t := range tasks {
		idle := now.Sub(t.LastProgress)
		var what string
		switch lag, known := w.lagOf(t.Partition); {
		case t.State == TaskWaiting:
			what = "waits for the offsets of its former owner; it may have a transaction open"
		case t.State == TaskRestoring && t.Restore.Total > t.Restore.Done:
			what = fmt.Sprintf("has %d offsets of its changelog to read", t.Restore.Total-t.Restore.Done)
		case t.State == TaskRunning && known && lag > 0:
			what = fmt.Sprintf("has %d offsets of input", lag)
			var starved *recordAt
			idle, starved = w.starvedFor(&t, now, waiting[t.Worker])
			w.replaceSession(t.Worker, starved, now)
		default:
			continue
		}
		if idle >= stall {
			stuck[t.Partition] = what
			if w.stuck[t.Partition] == "" {
				w.log.Error("a task is stuck", "task", t.Partition, "worker", t.Worker, "state", string(t.State),
					"reason", what, "without_progress", idle.Round(time.Second).String())
			}
		}
	}
	for task := range w.stuck {
		if stuck[task] == "" {
			w.log.Info("a task that was stuck gets on again, or has left", "task", task)
		}
	}
	w.stuck = stuck
}

// minStarvation is the least time after which a session is replaced because of a
// partition that is not read: a rebalance or an election may take as long.
const minStarvation = 10 * time.Second

// starvationPerPartition is how much longer a partition may wait for each other
// waiting partition of its worker: one fetch may bring records of one partition
// only.
const starvationPerPartition = 500 * time.Millisecond

// starvedFor returns how long a running task has had unread input, allowing for
// the other waiting partitions of its worker. starved is a record that the watch can read
// and the worker's client has not for half of the time at which the task counts
// as stuck; nil if there is none. It is called with w.mu held.
func (w *watch) starvedFor(t *TaskStatus, now time.Time, waiting int) (idle time.Duration, starved *recordAt) {
	for _, topic := range w.cfg.topicsOf(t.Partition) {
		tp := TopicPartition{topic, t.Partition}
		m := w.inputs[tp]
		rest := max(0, now.Sub(m.since)-time.Duration(max(0, waiting-1))*starvationPerPartition)
		idle = max(idle, rest)
		if m.proven && rest >= max(w.cfg.StallTimeout/2, minStarvation) {
			starved = &recordAt{tp, m.next}
		}
	}
	return idle, starved
}

// replaceSession asks a worker for a new session because of a starved record, at
// most once in a stall timeout: a client can lose sight of a partition.
// franz-go v1.22.2 does when an answer to a fetch has an error above the
// partitions and fences one of them. It is called with w.mu held.
func (w *watch) replaceSession(worker int, starved *recordAt, now time.Time) {
	last, replaced := w.replacedAt[worker]
	if starved != nil && (!replaced || now.Sub(last) >= w.cfg.StallTimeout) {
		w.replacedAt[worker] = now
		w.workers[worker].requestNewSession(starved)
	}
}

// isAt reports whether the record is the next one to be read of its partition.
func (w *watch) isAt(r *recordAt) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.inputs[r.in]
	return m != nil && m.next == r.offset
}
