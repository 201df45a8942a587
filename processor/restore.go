package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/state"
)

// restorer brings one task's store up to the end of its changelog. It starts
// when the task's partitions are owned, the worker has a producer epoch newer
// than any of its own transactions that may still be open, and the group's
// offsets for the partitions are settled. From then on nobody can commit to the
// changelog but this worker, so the high watermark that is read next is the end
// of what has to be applied: what lies below it is committed, aborted, or will
// be aborted by its timeout.
type restorer struct {
	cfg      *Config
	task     int32
	store    *state.Partition
	progress *progress
	counters *counters
	log      *slog.Logger
	history  history // of the store, once its checkpoint is known
	// unblock ends transactions of the task's former owner that are in the
	// way; nil for a copy of a task that has an owner.
	unblock func(ctx context.Context, task int32) error
	// watcher is told what has been written; nil: nobody.
	watcher *CopyWatcher
}

const (
	restoreFetchBytes = 4 << 20
	restoreMaxWait    = 200 * time.Millisecond
	restoreLogEvery   = 5 * time.Second
	restoreRetryMax   = 2 * time.Second
	// How far a checkpoint may lie in the future before its time counts as that
	// of a wrong clock. Clocks that are set a little every now and then stay
	// within.
	clockDoubt = time.Minute
	// Fetches without records, each of them restoreMaxWait long, before a
	// restore looks what is in the way, and until it looks again.
	blockedFirst = int(orphanPatience / restoreMaxWait)
	blockedLook  = int(orphanAgain / restoreMaxWait)
)

// errTooSlow is returned when a restore has taken longer than the changelog keeps
// deletions: what it has read may be deleted, and nothing says so any more.
var errTooSlow = errors.New("the restore takes too long and may have missed deletions")

// run restores the store and returns its checkpoint. It tries again whatever
// may pass, and gives up when ctx ends or the store or the broker's permissions
// fail.
func (r *restorer) run(ctx context.Context) (state.Checkpoint, error) {
	client, err := kgo.NewClient(r.cfg.clientOptions("-restore")...)
	if err != nil {
		return state.Checkpoint{}, fatal(r.wrap(err, -1))
	}
	defer client.Close()
	reader := newChangelogReader(client, r.cfg.Changelog, r.task, restoreMaxWait, restoreFetchBytes)
	retry := backoff{clock: r.cfg.Clock, max: restoreRetryMax}
	for {
		cp, err := r.attempt(ctx, reader)
		if err == nil {
			r.counters.restores.Add(1)
			r.counters.restoredRecords.Add(r.progress.recordsIn.Load())
			return cp, nil
		}
		err = r.wrap(err, reader.position)
		var f *fatalError
		switch {
		case ctx.Err() != nil:
			return state.Checkpoint{}, ctx.Err()
		case errors.As(err, &f):
			return state.Checkpoint{}, err
		case errors.Is(err, errOutOfRange), errors.Is(err, errOtherTopic), errors.Is(err, errOtherHistory), errors.Is(err, errTooSlow):
			reader.id = noTopicID
			failed := r.rebuild(ctx, reader, err.Error())
			switch {
			case errors.As(failed, &f):
				return state.Checkpoint{}, failed
			case errors.Is(failed, errYounger):
				return state.Checkpoint{}, fatal(r.wrap(failed, reader.position))
			}
			if failed != nil && ctx.Err() == nil {
				r.log.Warn("restore interrupted, trying again", "task", r.task, "error", failed)
			}
		case unauthorized(err):
			return state.Checkpoint{}, fmt.Errorf("this principal may not read topic %s (allow READ on it; docs/operations.md, ACLs): %w", r.cfg.Changelog, err)
		case errors.Is(err, errYounger), errors.Is(err, kgo.ErrMaxDecompress):
			return state.Checkpoint{}, fatal(err)
		default:
			r.log.Warn("restore interrupted, trying again", "task", r.task, "error", err)
		}
		if err := retry.wait(ctx); err != nil {
			return state.Checkpoint{}, err
		}
	}
}

func (r *restorer) wrap(err error, offset int64) error {
	return fmt.Errorf("restoring task %d: changelog %s[%d] at offset %d: %w", r.task, r.cfg.Changelog, r.task, offset, err)
}

// attempt reads from the checkpoint to the end of the changelog.
func (r *restorer) attempt(ctx context.Context, reader *changelogReader) (state.Checkpoint, error) {
	reader.position = -1
	started := r.cfg.Clock.Now()
	ends, err := reader.bounds(ctx)
	if err != nil {
		return state.Checkpoint{}, err
	}
	cp, err := r.checkpoint(ctx, reader, ends)
	if err != nil {
		return state.Checkpoint{}, err
	}
	reader.position = r.first(cp, ends)
	r.progress.from.Store(cp.Offset)
	r.progress.at.Store(cp.Offset)
	r.progress.to.Store(ends.end)
	if err := r.follow(ctx, reader, ends.end, &cp); err != nil {
		return state.Checkpoint{}, err
	}
	cp.At = started
	return cp, r.apply(nil, cp)
}

// follow applies the changelog from the reader's position to end, and moves cp
// along. The next records are fetched while the last ones are written.
func (r *restorer) follow(ctx context.Context, reader *changelogReader, end int64, cp *state.Checkpoint) error {
	type piece struct {
		records  []*kgo.Record
		position int64
		err      error
	}
	ctx, cancel := context.WithCancel(ctx)
	pieces := make(chan piece)
	at := reader.position // before the reader moves it
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	reading.Go(func() {
		for reader.position < end {
			records, err := reader.read(ctx)
			select {
			case pieces <- piece{records, reader.position, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	})
	lastLog, blocked := r.cfg.Clock.Now(), 0
	for at < end {
		var p piece
		select {
		case p = <-pieces:
		case <-ctx.Done():
			return ctx.Err()
		}
		if p.err != nil {
			return p.err
		}
		if p.position == at && cp.Offset >= end {
			return nil // nothing is left of what was to be compared
		}
		if p.position == at {
			// An open transaction is in the way.
			if blocked++; blocked%blockedLook == blockedFirst && r.unblock != nil {
				if err := r.unblock(ctx, r.task); err != nil && ctx.Err() == nil {
					r.log.Warn("a restore waits for a transaction that is open", "task", r.task, "error", err)
				}
			}
			continue
		}
		blocked = 0
		// The time of the checkpoint stays: until the end is reached, the
		// store may hold what a deletion further up takes away, and that
		// deletion is only kept for so long.
		at = p.position
		if err := r.advance(p.records, p.position, cp); err != nil {
			return err
		}
		now := r.cfg.Clock.Now()
		if retention := r.cfg.ChangelogRetention; retention > 0 && at < end && now.Sub(cp.At) >= retention {
			return fmt.Errorf("%w: it goes on from what was true %s ago, and deletions are kept for %s (delete.retention.ms)", errTooSlow, now.Sub(cp.At).Round(time.Second), retention)
		}
		if now.Sub(lastLog) >= restoreLogEvery {
			lastLog = now
			p := r.progress.snapshot(now)
			r.log.Info("restoring", "task", r.task, "done", p.Done, "total", p.Total,
				"offsets_per_second", int64(p.Rate), "left", p.Left.Round(time.Second).String())
		}
	}
	return nil
}

// first returns where to begin to read: at the last record of positions that the
// store has, to be compared, or at the checkpoint if that is gone.
func (r *restorer) first(cp state.Checkpoint, ends bounds) int64 {
	if r.history.at >= ends.start {
		return min(cp.Offset, r.history.at)
	}
	return cp.Offset
}

// advance applies records that were read up to position and moves cp along. The
// store may have the first of them already.
func (r *restorer) advance(records []*kgo.Record, position int64, cp *state.Checkpoint) error {
	if err := r.history.take(records); err != nil {
		return err
	}
	n := 0
	for n < len(records) && records[n].Offset < cp.Offset {
		n++
	}
	cp.Offset, cp.Note = max(cp.Offset, position), r.history.note()
	records = slices.DeleteFunc(records[n:], func(rec *kgo.Record) bool { return IsPositions(rec.Key) })
	return r.apply(records, *cp)
}

// checkpoint returns where to start, after having emptied a store that cannot
// be brought up to date from there.
func (r *restorer) checkpoint(ctx context.Context, reader *changelogReader, ends bounds) (state.Checkpoint, error) {
	now := r.cfg.Clock.Now()
	cp, found, err := r.store.Checkpoint()
	if err == nil {
		r.history, err = historyOf(cp)
	}
	if err != nil {
		return cp, fatal(fmt.Errorf("reading the checkpoint: %w", err))
	}
	cut, err := r.isCut(ctx, reader)
	if err != nil {
		return cp, err
	}
	var why string
	switch retention := r.cfg.ChangelogRetention; {
	case !found:
		if ends.end > 0 {
			r.log.Info("no local copy of the task's store", "task", r.task, "changelog_end", ends.end)
		}
	case cp.Identity != ends.identity:
		why = "the changelog is another topic than the one that the store came from"
	case cp.Offset < ends.start || cp.Offset > ends.end:
		why = fmt.Sprintf("the store's checkpoint %d lies outside the changelog, which has %d to %d", cp.Offset, ends.start, ends.end)
	case cut:
		why = fmt.Sprintf("the changelog was cut below the store's checkpoint %d: leader epoch %d ends before", cp.Offset, r.history.epoch)
	case retention > 0 && now.Sub(cp.At) >= retention:
		why = fmt.Sprintf("the store is %s old and may have missed deletions, which the changelog keeps for %s", now.Sub(cp.At).Round(time.Second), retention)
	case retention > 0 && cp.At.Sub(now) > clockDoubt:
		why = fmt.Sprintf("the store was written at %s, which is yet to come: the clock was put back, so its age is not known", cp.At.UTC().Format(time.RFC3339))
	default:
		return cp, nil
	}
	if why != "" {
		if err := r.rebuild(ctx, reader, why); err != nil {
			return cp, err
		}
	} else if err := r.store.Reset(); err != nil {
		return cp, fatal(fmt.Errorf("emptying the store: %w", err))
	}
	if r.watcher != nil {
		r.watcher.Emptied(r.task)
	}
	r.history = noHistory
	cp = state.Checkpoint{Offset: ends.start, Identity: ends.identity, At: now}
	// An empty changelog has nothing to apply, but the store must say from
	// then on which changelog it belongs to.
	return cp, r.apply(nil, cp)
}

// isCut reports whether the leader epoch by which the store has read ends before
// the record of positions that it has.
func (r *restorer) isCut(ctx context.Context, reader *changelogReader) (bool, error) {
	if r.history.epoch < 0 {
		return false, nil
	}
	end, known, err := reader.endOfEpoch(ctx, r.history.epoch)
	if err != nil {
		return false, fmt.Errorf("asking for the end of leader epoch %d: %w", r.history.epoch, err)
	}
	return known && end <= r.history.epochAt, nil
}

// rebuild empties the store, unless it is further on than the changelog.
func (r *restorer) rebuild(ctx context.Context, reader *changelogReader, why string) error {
	ends, err := reader.bounds(ctx)
	if err != nil {
		return err
	}
	if err := r.refuseYounger(ctx, reader, ends); err != nil {
		return err
	}
	r.counters.rebuilds.Add(1)
	r.log.Warn("rebuilding the task's store from the whole changelog", "task", r.task, "reason", why)
	if err := r.store.Reset(); err != nil {
		return fatal(fmt.Errorf("emptying the store of task %d: %w", r.task, err))
	}
	if r.watcher != nil {
		r.watcher.Emptied(r.task)
	}
	r.history = noHistory
	return nil
}

// errYounger is returned for a changelog that knows less than the store, which may
// be the last copy of the state.
var errYounger = errors.New("the changelog was deleted, made anew or put back from a backup: put the right one back; " +
	"or move the state directory away, to go on from what the changelog has; or begin from nothing with: handprint reset")

// refuseYounger returns errYounger if the store has read further than the
// changelog says.
func (r *restorer) refuseYounger(ctx context.Context, reader *changelogReader, ends bounds) error {
	if r.history.at < 0 || r.cfg.expendable {
		return nil
	}
	newest, err := newestPositions(ctx, reader, ends)
	if err != nil {
		return err
	}
	mine := &r.history.positions
	if newest == nil {
		return fmt.Errorf("it has nothing of what the store has: %w", errYounger)
	}
	if newest.Reset > mine.Reset {
		return nil
	}
	for _, in := range mine.Inputs {
		at := newest.of(in.Topic)
		if in.Topic == r.cfg.Commands || at == nil || at.ID != in.ID {
			continue // ticks are commands, too
		}
		if at.Next < in.Next {
			return fmt.Errorf("it has read %s[%d] to offset %d, the store to %d: %w", in.Topic, r.task, at.Next, in.Next, errYounger)
		}
	}
	return nil
}

// newestPositions returns the last committed record of positions in the changelog,
// nil if there is none. It moves the reader.
func newestPositions(ctx context.Context, reader *changelogReader, ends bounds) (*Positions, error) {
	const near = 1000 // a transaction or two
	for window := int64(near); ; window *= 10 {
		from := max(ends.start, ends.end-window)
		var last []byte
		reader.position = from
		for reader.position < ends.end {
			before := reader.position
			records, err := reader.read(ctx)
			if err != nil {
				return nil, err
			}
			for _, rec := range records {
				if IsPositions(rec.Key) {
					last = rec.Value
				}
			}
			if reader.position == before {
				break // a transaction is open
			}
		}
		if last != nil {
			p, err := DecodePositions(last)
			if err != nil {
				return nil, fatal(err)
			}
			return &p, nil
		}
		if from == ends.start {
			return nil, nil
		}
	}
}

func (r *restorer) apply(records []*kgo.Record, cp state.Checkpoint) error {
	err := r.store.Restore(func(yield func(key, value []byte) bool) {
		for _, rec := range records {
			if !yield(rec.Key, rec.Value) {
				return
			}
		}
	}, cp)
	if err != nil {
		return fatal(fmt.Errorf("writing to the store: %w", err))
	}
	r.progress.recordsIn.Add(int64(len(records)))
	r.progress.at.Store(cp.Offset)
	r.progress.moved.Store(r.cfg.Clock.Now().UnixNano())
	if r.watcher != nil {
		r.watcher.Applied(r.task, records, cp)
	}
	return nil
}
