package processor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// watch knows how far the tasks that are owned here are behind their input, and
// finds those that are stuck: that have something to do and do not get on.
type watch struct {
	cfg *Config

	mu     sync.Mutex
	inputs map[TopicPartition]*inputMark
	stuck  map[int32]string // why, of tasks that are
	// renewed is when a worker's session was last given up because of a task.
	renewed map[int]time.Time
}

// inputMark is how far one partition of the input has been read.
type inputMark struct {
	next   int64 // to be read; -1 if not known
	end    int64 // of what can be read; -1 if not known
	before int64 // next, the last time that the watch looked
	proven bool  // the watch has seen a record at next
	// since is when it was first seen not to get on, with input to read and a
	// task that runs. It outlives sessions.
	since time.Time
	rests int64 // next at that time
}

// watchMost is the most time between two looks.
const watchMost = 10 * time.Second

func newWatch(cfg *Config) *watch {
	return &watch{
		cfg: cfg, inputs: make(map[TopicPartition]*inputMark),
		stuck:   make(map[int32]string),
		renewed: make(map[int]time.Time),
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
// of all that it reads.
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

// watchTasks looks at the tasks at every interval until ctx ends. It returns an
// error if a topic has got partitions that no task reads.
func (p *Processor) watchTasks(ctx context.Context) error {
	ticks, stop := p.cfg.Clock.NewTicker(min(max(p.cfg.StallTimeout/4, time.Millisecond), watchMost))
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticks:
			limit, cancel := context.WithTimeout(ctx, sideTimeout)
			err := p.lookAtInputs(limit, p.runningTasks())
			cancel()
			if f := (*fatalError)(nil); errors.As(err, &f) {
				return err
			}
			if err != nil && ctx.Err() == nil {
				p.log.Debug("asking how far the input goes failed", "error", err)
			}
			p.lookForStuck(now)
		}
	}
}

// runningTasks returns the tasks that run in this process.
func (p *Processor) runningTasks() map[int32]TaskStatus {
	tasks := make(map[int32]TaskStatus)
	for _, w := range p.workers {
		for _, t := range w.status() {
			if t.State == TaskRunning {
				tasks[t.Partition] = t
			}
		}
	}
	return tasks
}

// lookAtInputs asks the brokers how far the input goes. What is left unread of
// a partition that has not moved since the last time may be nothing but markers
// of transactions, which no task ever sees: it looks there itself.
func (p *Processor) lookAtInputs(ctx context.Context, running map[int32]TaskStatus) error {
	w := p.watch
	w.mu.Lock()
	for _, m := range w.inputs {
		m.proven = false // unless it is seen again now
	}
	w.mu.Unlock()
	admin := kadm.NewClient(p.side)
	ends, err := admin.ListCommittedOffsets(ctx, p.cfg.consumed()...)
	if err != nil {
		return err
	}
	for topic, partitions := range ends {
		if has := int32(len(partitions)); has > p.cfg.partitionsOf(topic) {
			return fatal(fmt.Errorf("partitions were added under the application: %w", p.cfg.wrongPartitions(topic, has)))
		}
	}
	starts, err := admin.ListStartOffsets(ctx, p.cfg.consumed()...)
	if err != nil {
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
		err = errors.Join(err, p.lookBeyond(ctx, tp))
	}
	return err
}

// lookBeyond moves the mark of a partition past what has no records, and notes
// if one is there.
func (p *Processor) lookBeyond(ctx context.Context, tp TopicPartition) error {
	r := newChangelogReader(p.side, tp.Topic, tp.Partition, 0, 64<<10)
	if err := r.locate(ctx); err != nil {
		return err
	}
	p.watch.mu.Lock()
	from, end := p.watch.inputs[tp].next, p.watch.inputs[tp].end
	p.watch.mu.Unlock()
	r.position = from
	for r.position < end {
		before := r.position
		records, err := r.read(ctx)
		if err != nil {
			return err
		}
		if len(records) > 0 || r.position == before {
			p.watch.mu.Lock()
			m := p.watch.inputs[tp]
			m.proven = len(records) > 0 && m.next == before
			p.watch.mu.Unlock()
			break
		}
		p.watch.mu.Lock()
		if m := p.watch.inputs[tp]; m.next == before {
			m.next, m.before = r.position, r.position
		}
		p.watch.mu.Unlock()
	}
	return nil
}

// lookForStuck decides which tasks are stuck, and logs when that changes.
func (p *Processor) lookForStuck(now time.Time) {
	stall := p.cfg.StallTimeout
	stuck := make(map[int32]string)
	running := p.runningTasks()
	// A record whose Prepare fails is retried at least once per Prepare timeout.
	patience := max(stall, p.cfg.RebalanceTimeout/prepareShare+watchMost)
	waiting := make(map[int]int) // partitions with something to read, by worker
	var tasks []TaskStatus
	for _, w := range p.workers {
		tasks = append(tasks, w.status()...)
	}
	w := p.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	for tp, m := range w.inputs {
		t, here := running[tp.Partition]
		// Another session begins before the markers that this one has passed.
		if m.since.IsZero() || !here || m.next >= m.end || m.next > m.rests || p.workers[t.Worker].isBlockedOnPrepare(now, patience) {
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
			idle = p.feed(&t, now, waiting[t.Worker])
		default:
			continue
		}
		if idle >= stall {
			stuck[t.Partition] = what
			if w.stuck[t.Partition] == "" {
				p.log.Error("a task is stuck", "task", t.Partition, "worker", t.Worker, "state", string(t.State),
					"reason", what, "without_progress", idle.Round(time.Second).String())
			}
		}
	}
	for task := range w.stuck {
		if stuck[task] == "" {
			p.log.Info("a task that was stuck gets on again, or has left", "task", task)
		}
	}
	w.stuck = stuck
}

// feedAfter is the least time after which a session is given up because of a
// partition that is not read: a rebalance or an election may take as long.
const feedAfter = 10 * time.Second

// feedEach is how much longer a partition may wait for each other one of its
// worker that waits as well: one fetch may bring records of one partition only.
const feedEach = 500 * time.Millisecond

// feed returns for how long a partition of a running task has had input that was
// not read though it was its turn, of so many partitions of its worker that wait.
// After half the time at which that counts as stuck, the session of the worker
// is given up, if the watch can read what the worker's client does not: a client
// can lose sight of a partition. franz-go v1.22.2 does when an
// answer to a fetch has an error above the partitions and fences one of them.
// It is called with p.watch.mu held.
func (p *Processor) feed(t *TaskStatus, now time.Time, waiting int) (idle time.Duration) {
	w, stall := p.watch, p.cfg.StallTimeout
	var starved *recordAt
	for _, topic := range p.cfg.topicsOf(t.Partition) {
		tp := TopicPartition{topic, t.Partition}
		m := w.inputs[tp]
		rest := max(0, now.Sub(m.since)-time.Duration(max(0, waiting-1))*feedEach)
		idle = max(idle, rest)
		if m.proven && rest >= max(stall/2, feedAfter) {
			starved = &recordAt{tp, m.next}
		}
	}
	last, renewed := w.renewed[t.Worker]
	if starved != nil && (!renewed || now.Sub(last) >= stall) {
		w.renewed[t.Worker] = now
		p.workers[t.Worker].requestNewSession(starved)
	}
	return idle
}

// isAt reports whether a partition has not been read beyond a record, nor before.
func (w *watch) isAt(r *recordAt) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.inputs[r.in]
	return m != nil && m.next == r.offset
}

// position returns where the client begins to read, as the group's committed
// offset has it: 0 for none, as all is read from the start.
func position(o kgo.Offset) int64 { return max(o.EpochOffset().Offset, 0) }
