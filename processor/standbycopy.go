package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/processor/assignor"
	"handprint/state"
)

// standby is the copy of one task. Its changelog is read and written to the
// store as in a restore, by the same rules, but without an end.
type standby struct {
	task int32

	// Only the goroutine that reads uses these.
	reader     *changelogReader
	restorer   *restorer
	opened     bool // the checkpoint is known
	younger    bool // the changelog was reported as younger than the copy
	waited     bool // the last fetch had no room for it
	checkpoint state.Checkpoint
	retry      backoff
	denied     denial
	notBefore  time.Time // of the next attempt, after an error
	askedAt    time.Time // when the group was asked to look again
	askNext    time.Duration

	mu       sync.Mutex // guards the store and all below
	gone     bool       // given up: nothing may be written any more
	warmUp   bool
	position int64     // -1 before the checkpoint is known
	end      int64     // what can be read of the changelog
	moved    time.Time // when it last got on, or had nothing to do

	told atomic.Pointer[StandbyStatus] // as of the last write: nobody waits for one that takes long
}

// tell takes down how far the copy is, for status. The caller holds mu, or is alone.
func (c *standby) tell() {
	s := &StandbyStatus{Partition: c.task, Position: max(c.position, 0), Lag: -1, WarmUp: c.warmUp, MovedAt: c.moved}
	if c.position >= 0 {
		s.Lag = max(c.end-c.position, 0)
	}
	c.told.Store(s)
}

func newStandby(s *standbys, client *kgo.Client, task int32) *standby {
	c := &standby{
		task:   task,
		reader: newChangelogReader(client, s.cfg.Changelog, task, s.maxWait, standbyPartBytes),
		restorer: &restorer{
			cfg: s.cfg, task: task, store: s.cfg.Store.Partition(task), progress: new(progress),
			counters: s.counters, log: s.log, watcher: s.watcher,
		},
		retry: backoff{clock: s.cfg.Clock, max: restoreRetryMax}, position: -1, moved: s.cfg.Clock.Now(),
	}
	c.tell()
	return c
}

// open finds the checkpoint and empties a store that cannot be brought up to
// date from it. An error is fatal; what may pass is noted and tried again.
func (c *standby) open(ctx context.Context) error {
	ends, err := c.reader.bounds(ctx)
	if errors.Is(err, errOtherTopic) {
		c.reader.id = noTopicID
	}
	if err == nil {
		err = c.write(func() (err error) {
			if c.checkpoint, err = c.restorer.checkpoint(ctx, c.reader, ends); err == nil {
				c.reader.position, c.position, c.end = c.restorer.first(c.checkpoint, ends), c.checkpoint.Offset, ends.end
			}
			return err
		})
		c.opened = err == nil
	}
	switch f := (*fatalError)(nil); {
	case err == nil, ctx.Err() != nil, errors.Is(err, errGone):
		return nil
	case errors.As(err, &f):
		return err
	}
	c.failed(err)
	return nil
}

// youngerAgain is how long a copy waits whose changelog is younger than it.
const youngerAgain = time.Minute

// errGone is returned when a copy has been given up meanwhile.
var errGone = errors.New("the copy has been given up")

// write calls f unless the copy has been given up, and keeps it from being
// given up meanwhile.
func (c *standby) write(f func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return errGone
	}
	defer c.tell()
	return f()
}

// take writes what a fetch that began at the time given has brought.
func (c *standby) take(answer *kmsg.FetchResponseTopicPartition, began time.Time) error {
	records, err := c.reader.process(answer)
	switch {
	case unauthorized(err):
		return c.denied.judge(began, c.restorer.wrap(fmt.Errorf("this principal may not read topic %s (allow READ on it; docs/operations.md, ACLs): %w", c.reader.topic, err), c.reader.position))
	case errors.Is(err, kgo.ErrMaxDecompress):
		return fatal(c.restorer.wrap(err, c.reader.position))
	case err != nil:
		return err
	}
	c.denied.granted()
	retention := c.restorer.cfg.ChangelogRetention
	if retention > 0 && began.Sub(c.checkpoint.At) >= retention && c.checkpoint.Offset < answer.LastStableOffset {
		return fmt.Errorf("the copy has been behind for %s and may have missed deletions", retention)
	}
	err = c.write(func() error {
		before := c.checkpoint
		c.end = max(answer.LastStableOffset, c.reader.position)
		if c.reader.position >= c.end {
			c.checkpoint.At = began // it lacks nothing that was there then
			c.moved = began
		}
		if c.reader.position <= before.Offset && c.checkpoint.At.Sub(before.At) < state.CheckpointMaxAge {
			c.checkpoint.At = before.At
			return c.restorer.history.take(records)
		}
		c.moved = began
		err := c.restorer.advance(records, c.reader.position, &c.checkpoint)
		c.position = c.checkpoint.Offset
		return err
	})
	if errors.Is(err, errOtherHistory) {
		return c.rebuild(err)
	}
	if errors.Is(err, errGone) {
		return nil
	}
	if err == nil {
		c.retry.reset()
	}
	return err
}

// rebuild empties the store of a copy that does not fit; open makes it anew.
func (c *standby) rebuild(why error) error {
	limit, cancel := context.WithTimeout(context.Background(), sideTimeout)
	defer cancel()
	err := c.write(func() error { return c.restorer.rebuild(limit, c.reader, why.Error()) })
	if errors.Is(err, errGone) {
		return nil
	}
	return cmp.Or(err, why)
}

// failed notes an error that may pass.
func (c *standby) failed(err error) {
	c.opened = false // look for the leader and the bounds anew
	if errors.Is(err, errYounger) {
		// The process is still of use for other tasks.
		c.notBefore = c.restorer.cfg.Clock.Now().Add(youngerAgain)
		if !c.younger {
			c.younger = true
			c.restorer.log.Error("a standby copy is further on than its changelog, and is kept as it is", "task", c.task, "error", err)
		}
		return
	}
	c.notBefore = c.restorer.cfg.Clock.Now().Add(c.retry.step())
	if c.retry.next < c.retry.max/2 {
		return // a broker that has just moved is no news
	}
	c.restorer.log.Warn("keeping a standby copy failed, trying again", "task", c.task, "offset", c.reader.position, "error", err)
}

// isReady reports whether the copy is of a task that is to move here, has caught
// up, and the group has not been asked just now.
func (c *standby) isReady(now time.Time, acceptable int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.warmUp {
		c.askNext = 0
		return false
	}
	if c.gone || c.position < 0 || c.end-c.position > acceptable || now.Sub(c.askedAt) < c.askNext {
		return false
	}
	c.askedAt, c.askNext = now, min(max(2*c.askNext, askAgainFirst), maxAskAgain)
	return true
}

// data returns what the group is to know of the copy, and false if nothing is
// known yet.
func (c *standby) data() (assignor.CopyData, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return assignor.CopyData{
		Position: c.position, Lag: max(c.end-c.position, 0), Standby: true,
		Topic: c.checkpoint.Identity, Age: ageOf(c.checkpoint.At, c.restorer.cfg.Clock.Now()),
	}, c.position >= 0
}

// status returns how far the copy is. It does not wait for a write that is under way.
func (c *standby) status(now time.Time, stall time.Duration) StandbyStatus {
	s := *c.told.Load()
	if idle := now.Sub(s.MovedAt); stall > 0 && idle >= stall {
		s.Stuck = fmt.Sprintf("has not read its changelog for %s", idle.Round(time.Second))
	}
	return s
}
