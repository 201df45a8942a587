package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"handprint/processor/assignor"
)

// standbys keeps the copies of tasks that are active in other processes. They
// belong to the process, as its workers share one store; each worker says which
// of them the group has given to it. One goroutine reads their changelogs, with
// one fetch at a time for each broker, and writes to the store what is
// committed, apart from all processing.
//
// A copy has the task's lease while it is kept, like an active task, so that the
// store has one writer. A task that becomes active here takes it away at once.
type standbys struct {
	cfg      *Config
	log      *slog.Logger
	leases   leases
	counters *counters
	// ready is called when the copy of a warm-up has caught up, so that the
	// group looks again who gets what.
	ready   func()
	watcher *CopyWatcher  // nil: nobody
	maxWait time.Duration // of a fetch, for records that are not there yet
	woken   chan struct{} // has room for one

	notifying sync.Mutex // keeps reports in order

	mu     sync.Mutex
	wanted []map[int32]bool // by worker: the tasks to keep; true for a warm-up
	active map[int32]int    // tasks that are owned here, with the number of workers that hold them
	kept   map[int32]*standby
	news   []TaskReport // to be told when mu is free, as hooks may ask for the status
}

const (
	standbyMaxWait    = 250 * time.Millisecond
	standbyFetchBytes = 8 << 20 // of one fetch
	standbyPartBytes  = 2 << 20 // of a partition in it
	// standbyOpenings bounds how many copies are opened at the same time.
	standbyOpenings = 4
	// A warm-up that has caught up and is not given the task asks again, less
	// and less often: the leader may have another opinion.
	askAgainFirst, maxAskAgain = time.Second, time.Minute
)

func newStandbys(cfg *Config, leases leases, counters *counters, ready func()) *standbys {
	return &standbys{
		cfg: cfg, log: cfg.Logger, leases: leases, counters: counters, ready: ready, maxWait: standbyMaxWait,
		woken: make(chan struct{}, 1), wanted: make([]map[int32]bool, cfg.Threads),
		active: make(map[int32]int), kept: make(map[int32]*standby),
	}
}

// decide says which copies the group wants worker n to keep.
func (s *standbys) decide(n int, tasks map[int32]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted[n] = tasks
	s.wake()
}

// activate gives up the copy of a task that becomes active here. When it
// returns the copy's lease is free and nothing more is written by it.
func (s *standbys) activate(task int32) {
	defer s.notify()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active[task]++
	if c := s.kept[task]; c != nil {
		s.giveUp(c, "the task becomes active here")
	}
}

// deactivate is the opposite: the task's lease is free.
func (s *standbys) deactivate(task int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active[task]--; s.active[task] == 0 {
		delete(s.active, task)
	}
	s.wake()
}

func (s *standbys) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// run keeps copies until ctx ends. An error means that the store or the
// brokers' permissions have failed.
func (s *standbys) run(ctx context.Context) error {
	client, err := kgo.NewClient(s.cfg.clientOptions("-standby")...)
	if err != nil {
		return fatal(fmt.Errorf("standby copies: %w", err))
	}
	defer client.Close()
	defer s.giveUpAll()
	for ctx.Err() == nil {
		s.update(client)
		due, later := s.due()
		if len(due) == 0 {
			s.idle(ctx, later)
			continue
		}
		if err := s.open(ctx, due); err != nil {
			return err
		}
		if err := s.read(ctx, client, due); err != nil {
			return err
		}
	}
	return nil
}

// idle waits for a wake, the end, or, if it is above 0, for the time given.
func (s *standbys) idle(ctx context.Context, limit time.Duration) {
	var timeout <-chan time.Time
	if limit > 0 {
		fired, stop := s.cfg.Clock.NewTimer(limit)
		defer stop()
		timeout = fired
	}
	select {
	case <-ctx.Done():
	case <-s.woken:
	case <-timeout:
	}
}

// update starts the standbys that are wanted, and gives up the others.
func (s *standbys) update(client *kgo.Client) {
	defer s.notify()
	s.mu.Lock()
	defer s.mu.Unlock()
	want := make(map[int32]bool)
	for _, tasks := range s.wanted {
		for task, warmUp := range tasks {
			if task < s.cfg.Partitions && s.active[task] == 0 {
				want[task] = want[task] || warmUp
			}
		}
	}
	for task, c := range s.kept {
		if _, ok := want[task]; !ok {
			s.giveUp(c, "the group wants it elsewhere")
		}
	}
	for task, warmUp := range want {
		c := s.kept[task]
		if c == nil {
			if !s.leases.try(task) {
				continue // its release wakes
			}
			c = newStandby(s, client, task)
			s.kept[task] = c
			reason := "copy of a task that is active elsewhere"
			if warmUp {
				reason = "warm-up of a task that is to move here"
			}
			s.news = append(s.news, TaskReport{Partition: task, Worker: -1, State: TaskStandby, Reason: reason})
		}
		c.mu.Lock()
		c.warmUp = warmUp
		c.tell()
		c.mu.Unlock()
	}
}

// notify calls the hook once for each queued report, in order, whichever goroutine
// drains the queue.
func (s *standbys) notify() {
	s.notifying.Lock()
	defer s.notifying.Unlock()
	s.mu.Lock()
	news := s.news
	s.news = nil
	s.mu.Unlock()
	for _, r := range news {
		s.cfg.Hooks.task(r)
	}
}

// giveUp is called with mu held.
func (s *standbys) giveUp(c *standby, why string) {
	delete(s.kept, c.task)
	c.mu.Lock()
	c.gone = true
	c.mu.Unlock()
	s.leases.release(c.task)
	s.news = append(s.news, TaskReport{Partition: c.task, Worker: -1, State: TaskClosed, Reason: why})
}

func (s *standbys) giveUpAll() {
	defer s.notify()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.kept {
		s.giveUp(c, "the process stops")
	}
}

// due returns the copies that may be read now and, if there are none, how long
// until there is one, 0 for never.
func (s *standbys) due() (due []*standby, later time.Duration) {
	now := s.cfg.Clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.kept {
		if wait := c.notBefore.Sub(now); wait > 0 {
			if later == 0 || wait < later {
				later = wait
			}
			continue
		}
		due = append(due, c)
	}
	slices.SortFunc(due, func(a, b *standby) int { return cmp.Compare(a.task, b.task) })
	return due, later
}

// open finds out where the copies stand that have not been read yet.
func (s *standbys) open(ctx context.Context, due []*standby) error {
	var group errgroup.Group
	group.SetLimit(standbyOpenings)
	for _, c := range due {
		if !c.opened {
			group.Go(func() error { return c.open(ctx) })
		}
	}
	return group.Wait()
}

// read fetches once from each broker that leads a copy's changelog.
func (s *standbys) read(ctx context.Context, client *kgo.Client, due []*standby) error {
	byLeader := make(map[int32][]*standby)
	for _, c := range due {
		if c.opened {
			byLeader[c.reader.leader] = append(byLeader[c.reader.leader], c)
		}
	}
	var group errgroup.Group
	for leader, copies := range byLeader {
		group.Go(func() error { return s.readFrom(ctx, client, leader, copies) })
	}
	return group.Wait()
}

func (s *standbys) readFrom(ctx context.Context, client *kgo.Client, leader int32, copies []*standby) error {
	// Who was left out of the last answer is first in this one.
	slices.SortStableFunc(copies, func(a, b *standby) int { return cmp.Compare(truth(b.waited), truth(a.waited)) })
	readers := make([]*changelogReader, len(copies))
	for i, c := range copies {
		readers[i] = c.reader
	}
	began := s.cfg.Clock.Now()
	answers, err := fetchAll(ctx, client, leader, readers, s.maxWait, standbyFetchBytes, standbyPartBytes)
	for i, c := range copies {
		cause := err
		switch {
		case err != nil:
		case answers[i] == nil:
			c.waited = true
		default:
			c.waited = false
			cause = c.take(answers[i], began)
		}
		switch f := (*fatalError)(nil); {
		case cause == nil || ctx.Err() != nil:
		case errors.As(cause, &f):
			return cause
		default:
			c.failed(cause)
		}
	}
	if s.anyReady(copies) {
		s.ready()
	}
	return nil
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// anyReady reports whether the group is to be asked to look again.
func (s *standbys) anyReady(copies []*standby) bool {
	ask, now := false, s.cfg.Clock.Now()
	for _, c := range copies {
		ask = c.isReady(now, s.cfg.AcceptableLag) || ask
	}
	return ask
}

// status returns the copies that are kept, by task.
func (s *standbys) status(now time.Time) []StandbyStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]StandbyStatus, 0, len(s.kept))
	for _, c := range s.kept {
		all = append(all, c.status(now, s.cfg.StallTimeout))
	}
	slices.SortFunc(all, func(a, b StandbyStatus) int { return cmp.Compare(a.Partition, b.Partition) })
	return all
}

// describe puts what the group is to know of the copies into copies.
func (s *standbys) describe(copies map[int32]assignor.CopyData) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for task, c := range s.kept {
		if d, ok := c.data(); ok {
			copies[task] = d
		}
	}
}
