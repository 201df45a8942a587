package follow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
	"handprint/internal/broker"
	"handprint/serve/catalog"
	"handprint/serve/history"
	"handprint/state"
)

// applyRecords is how many records are applied under one write lock.
const applyRecords = 1000

// applier puts changelog records into a catalogue, and changes of values into the
// history. It is for one goroutine.
type applier struct {
	f         *Follower
	c         *catalog.Catalog
	partition int32
	sketcher  engine.Sketcher
	changes   []history.Entry
	values    bool // note changes of values
	sampled   bool // the copy was catching up
}

func (a *applier) apply(records []*kgo.Record) {
	for len(records) > 0 {
		n := min(len(records), applyRecords)
		a.c.Apply(func(w *catalog.Writer) {
			for _, r := range records[:n] {
				a.one(w, r.Key, r.Value, r)
			}
		})
		records = records[n:]
	}
}

// one applies a record; r is nil for one that is read from the copy.
func (a *applier) one(w *catalog.Writer, key, value []byte, r *kgo.Record) {
	s, err := a.sketcher.Read(key, value)
	if err != nil {
		if a.f.bad.Add(1) == 1 {
			a.f.cfg.Logger.Error("a record of the changelog cannot be read: it may be of a newer release", "partition", a.partition, "error", err)
		}
		return
	}
	if r != nil {
		w.At(a.partition, r.Offset)
	} else {
		w.At(a.partition, -1)
	}
	switch s.Kind {
	case engine.RowRecord:
		if s.Gone || !s.Published {
			w.DropRow(s.Identity, s.Primitive)
			return
		}
		row := catalog.Row{
			State: s.Row.State, Returns: s.Row.Returns, Value: s.Row.Value, Confidence: s.Row.Confidence,
			Count: s.Row.Count, ChangeTS: s.Row.LastChangeTS, SeenTS: s.Row.LastObservationTS,
		}
		if was, ok := w.PutRow(s.Identity, s.Primitive, &row); ok && a.values && was.State == row.State && string(was.Value) != string(row.Value) {
			a.note(s, &was, r)
		}
	case engine.IdentityRecord:
		if s.Gone {
			w.DropIdentity(s.Identity)
		} else {
			w.PutIdentity(s.Identity, s.Own, s.MergedInto)
		}
	case engine.MemberRecord:
		if s.Gone {
			w.DropMember(s.Identity, s.Attacker)
		} else {
			w.PutMember(s.Identity, s.Attacker)
		}
	case engine.LinkRecord:
		if s.Gone {
			w.DropLink(s.Attacker)
		} else {
			w.PutLink(s.Attacker, s.Identity)
		}
	case engine.HistoryRecord:
		if !s.Gone && r != nil {
			a.f.done.add(doneEvent{s.Offset, s.Time})
		}
	case engine.UnsettledRecord:
		w.SetUnsettled(s.Identity, !s.Gone)
	}
}

// note keeps a change of a value in the history: of long values only that it was.
func (a *applier) note(s *engine.Sketch, was *catalog.Row, r *kgo.Record) {
	a.changes = append(a.changes, history.Entry{
		Identity: string(s.Identity), Kind: history.Value, Primitive: string(s.Primitive),
		TS: s.Row.LastObservationTS, Recorded: seconds(r), Confidence: s.Row.Confidence, Count: s.Row.Count,
		OldState: s.Row.State.String(), NewState: s.Row.State.String(), Value: shown(s.Row.Value), Previous: shown(was.Value),
		Sampled: a.sampled, Source: history.Changelog, Partition: a.partition, Offset: r.Offset,
	})
}

// shown returns a value as JSON; nil: it is a long one, and only its digest is known.
func shown(v attribution.Value) json.RawMessage {
	if len(v) == 0 || !json.Valid(v) {
		return nil
	}
	return append(json.RawMessage{}, v...)
}

func seconds(r *kgo.Record) float64 { return float64(r.Timestamp.UnixMilli()) / 1000 }

// onApplied is told what was written to the copy.
func (f *Follower) onApplied(task int32, records []*kgo.Record, cp state.Checkpoint) {
	f.mu.Lock()
	delete(f.emptied, task)
	f.mu.Unlock()
	switch rebuild, due := f.mustRebuild(); {
	case due:
		f.build(context.Background())
	case rebuild: // it will be in what is built
	default:
		f.apply(task, records)
	}
	f.applied.Add(int64(len(records)))
	f.mu.Lock()
	f.positions[task] = position{Identity: cp.Identity, Offset: cp.Offset, At: cp.At}
	f.mu.Unlock()
}

// buildAgain is how long after the catalogue could not be built it is tried again.
const buildAgain = 30 * time.Second

// mustRebuild reports whether the catalogue is to be built anew, and whether it is due: it
// is at once, but for a while after it has failed.
func (f *Follower) mustRebuild() (rebuild, due bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rebuild, f.rebuild && !f.cfg.Clock.Now().Before(f.again)
}

// mend sees to a catalogue that lacks something, until ctx ends: records may not come for
// long that have it built.
func (f *Follower) mend(ctx context.Context) {
	repeat(ctx, f.cfg.every(measureEvery), func() {
		f.mendOnce(ctx)
	})
}

// mendOnce builds the catalogue anew if that has failed a while ago, or if it leaves out
// primitives for which it would have room now.
func (f *Follower) mendOnce(ctx context.Context) {
	crowded, ebbed := f.catalog.Load().IsCrowded()
	now := f.cfg.Clock.Now()
	f.mu.Lock()
	if crowded && !f.crowded {
		f.cfg.Logger.Warn("there are too many primitives that are not registered: somebody makes names up; lists leave out rows of new ones", "most", catalog.MaxMadeUp)
	}
	f.crowded = crowded
	if ebbed && !f.rebuild && f.phase.Load().Ready {
		f.beginRebuild()
		f.again = now
	}
	due := f.rebuild && !f.again.IsZero() && !now.Before(f.again)
	f.mu.Unlock()
	if due {
		f.build(ctx)
	}
}

// beginRebuild takes down that the catalogue is to be built anew. It is not complete from
// then on. The caller holds mu.
func (f *Follower) beginRebuild() {
	f.rebuild = true
	f.loaded.Store(false)
	if !f.phase.Load().TooSmall {
		f.phase.Store(&Phase{})
		f.building = f.cfg.Clock.Now()
	}
}

// build builds the catalogue anew, unless another copy's records have had it built while
// it waited: what was written before that is in it.
func (f *Follower) build(ctx context.Context) {
	f.filling.Lock()
	defer f.filling.Unlock()
	if _, due := f.mustRebuild(); !due {
		return
	}
	f.mu.Lock()
	f.rebuild, f.again = false, time.Time{} // what begins anew from here on is built once more
	f.mu.Unlock()
	// Another partition's copy began anew: what the catalogue had of it
	// cannot be told apart. The other copies have everything.
	if err := f.fill(ctx); err != nil {
		if ctx.Err() == nil {
			f.cfg.Logger.Error("the catalogue could not be built from the copy, trying again", "in", buildAgain.String(), "error", err)
		}
		f.mu.Lock()
		f.rebuild, f.again = true, f.cfg.Clock.Now().Add(buildAgain)
		f.mu.Unlock()
	}
}

// apply brings what was written to a copy to the catalogue and the history.
func (f *Follower) apply(task int32, records []*kgo.Record) {
	f.filling.RLock()
	defer f.filling.RUnlock()
	if f.phase.Load().TooSmall {
		return
	}
	a := &applier{f: f, c: f.catalog.Load(), partition: task, values: true, sampled: !f.phase.Load().Ready || f.alone.Load()}
	a.apply(records)
	if len(a.changes) > 0 {
		if err := f.cfg.History.Add(a.changes, nil); err != nil {
			f.cfg.Logger.Error("changes of values are not in the history", "error", err)
		}
	}
}

// onEmptied is told that a copy begins anew. The catalogue is not complete from then on
// until it is built, which lists and pages say. Serving the one before meanwhile would take
// twice the memory, for rows that may be of a changelog that is gone.
func (f *Follower) onEmptied(task int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.freshAnew(task)
	if f.positions[task].Offset > 0 {
		f.beginRebuild()
		if f.emptied == nil {
			f.emptied = make(map[int32]bool)
		}
		f.emptied[task] = true
		f.dropSnapshot()
	}
}

// freshAnew takes down that nothing is known of how far a copy is. The caller holds mu.
func (f *Follower) freshAnew(task int32) {
	if f.begunAt == nil {
		f.begunAt = make(map[int32]time.Time)
	}
	f.begunAt[task] = f.cfg.Clock.Now()
	if was := *f.fresh.Load(); int(task) < len(was) {
		fresh := slices.Clone(was)
		fresh[task] = Freshness{ReadLag: was[task].ReadLag}
		f.fresh.Store(&fresh)
	}
}

// isRebuilding reports whether the catalogue is to be built anew, or is being built. The
// caller holds mu.
func (f *Follower) isRebuilding() bool {
	if f.rebuild || len(f.emptied) > 0 || !f.filling.TryRLock() {
		return true
	}
	f.filling.RUnlock()
	return false
}

// prepare makes the catalogue from its snapshot or, if that cannot be used, from
// the copy.
func (f *Follower) prepare(ctx context.Context) error {
	err := f.loadSnapshot(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	away := errors.Is(err, errNoBroker)
	switch {
	case err == nil || errors.Is(err, os.ErrNotExist):
	case away:
		f.cfg.Logger.Warn("the brokers do not answer: what is served is what the copy has, until they do", "as of", time.Unix(int64(f.Freshness(-1).AsOf), 0).UTC().Format(time.RFC3339), "error", err)
	default:
		f.cfg.Logger.Warn("the catalogue is built from the copy", "reason", err)
	}
	if err != nil {
		if err := f.fill(ctx); err != nil {
			return err
		}
	}
	if away && !f.phase.Load().TooSmall {
		f.serveAlone()
	}
	f.loaded.Store(err == nil || away)
	f.prepared = f.cfg.Clock.Now()
	return nil
}

// serveAlone makes the catalogue of the copy be served although the brokers have not
// said how far the changelog is.
func (f *Follower) serveAlone() {
	f.alone.Store(true)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.phase.Store(&Phase{Ready: true, Progress: 1})
}

// fill builds the catalogue from the copy alone. What came from event topics is
// taken over from the one before.
func (f *Follower) fill(ctx context.Context) error {
	c := f.catalog.Load().WithoutRows()
	f.catalog.Store(c)
	for p := range f.cfg.Partitions {
		if err := f.fillFrom(ctx, c, p); err != nil {
			return fmt.Errorf("building the catalogue from the copy of partition %d: %w", p, err)
		}
		if f.phase.Load().TooSmall {
			return nil
		}
	}
	return nil
}

func (f *Follower) fillFrom(ctx context.Context, c *catalog.Catalog, p int32) error {
	snapshot := f.cfg.Store.Partition(p).Snapshot()
	defer snapshot.Close()
	cp, found, err := snapshot.Checkpoint()
	if err != nil || !found {
		return errors.Join(err, ctx.Err())
	}
	a := &applier{f: f, c: c, partition: p}
	type pair struct{ key, value []byte }
	batch := make([]pair, 0, applyRecords)
	var memory []byte
	flush := func() {
		c.Apply(func(w *catalog.Writer) {
			for _, r := range batch {
				a.one(w, r.key, r.value, nil)
			}
		})
		batch, memory = batch[:0], memory[:0]
	}
	applied := 0
	take := func(key, value []byte) bool {
		at := len(memory)
		memory = append(append(memory, key...), value...)
		batch = append(batch, pair{memory[at : at+len(key) : at+len(key)], memory[at+len(key) : len(memory) : len(memory)]})
		if len(batch) == applyRecords || len(memory) > 4<<20 {
			flush()
			if applied += applyRecords; applied%(100*applyRecords) == 0 {
				f.settlePhase(false, 0, 0)
			}
		}
		return ctx.Err() == nil && !f.phase.Load().TooSmall
	}
	for _, prefix := range engine.SketchPrefixes() {
		err = errors.Join(err, snapshot.Scan(prefix, nil, take))
	}
	flush()
	f.mu.Lock()
	f.positions[p] = position{Identity: cp.Identity, Offset: cp.Offset, At: cp.At}
	f.mu.Unlock()
	return errors.Join(err, ctx.Err())
}

// mark says what a snapshot was made from.
type snapshotMark struct {
	Application string            `json:"application"`
	Changelog   string            `json:"changelog"`
	Positions   []position        `json:"positions"`
	Events      eventPositions    `json:"events"`
	Topics      map[string]string `json:"topics"` // that the positions of events are of: ids by name
	Shown       float64           `json:"shown"`  // what event topics said until then is there, Unix seconds
}

func (f *Follower) writeSnapshot() (err error) {
	if !f.filling.TryRLock() {
		return nil // the catalogue has a part of the copy: the next snapshot has all
	}
	c := f.catalog.Load() // one that is begun after this is another
	shown := f.shown.now()
	f.mu.Lock()
	// The positions are those from before: what is applied meanwhile is applied
	// again, which changes nothing.
	positions, begun, emptied := slices.Clone(f.positions), f.begun, len(f.emptied) > 0
	for p := range positions {
		positions[p].AsOf = f.changelogFreshness(int32(p)).AsOf
	}
	mark, merr := json.Marshal(snapshotMark{f.cfg.ApplicationID, f.cfg.Names.Changelog, positions, f.events.clone(), maps.Clone(f.eventIDs), shown})
	f.mu.Unlock()
	f.filling.RUnlock()
	if emptied || merr != nil {
		return merr // of a copy that is empty, the next snapshot has all
	}
	file, err := os.CreateTemp(filepath.Dir(f.cfg.Snapshot), "catalog-*.tmp")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeIfThere(file.Name())) }()
	err = c.WriteSnapshot(file, mark)
	if errors.Is(err, catalog.ErrCrowded) { // the next start builds it from the copy
		return file.Close()
	}
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.begun != begun {
		return nil // a copy, or the history, began anew meanwhile
	}
	return os.Rename(file.Name(), f.cfg.Snapshot)
}

// dropSnapshot removes the snapshot, as it has what a copy, or the history, had that began
// anew. The caller holds mu.
func (f *Follower) dropSnapshot() {
	f.begun++
	if f.cfg.Snapshot == "" {
		return
	}
	if err := removeIfThere(f.cfg.Snapshot); err != nil {
		f.cfg.Logger.Error("the snapshot of the catalogue is of before a copy or the history began anew, and cannot be removed: remove it before the next start", "file", f.cfg.Snapshot, "error", err)
	}
}

func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// reachTime is how long a start waits for a broker before it goes on without one.
const reachTime = 3 * time.Second

// sinceTime is how long a start reads what the copy has got since the snapshot. The copy
// has it too, and is read instead if the brokers do not give it.
const sinceTime = 30 * time.Second

// errNoBroker says that the copy is complete as far as it goes, and that nobody can be
// asked what was committed since.
var errNoBroker = errors.New("the brokers cannot be asked what was committed since")

// loadSnapshot takes the catalogue from its snapshot, and what the copy has got
// since then from the changelog.
func (f *Follower) loadSnapshot(ctx context.Context) error {
	if f.cfg.Snapshot == "" {
		return os.ErrNotExist
	}
	file, err := os.Open(f.cfg.Snapshot)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	c, raw, err := catalog.ReadSnapshot(io.Reader(file), info.Size(), f.cfg.Registered...)
	if err != nil {
		return err
	}
	var mark snapshotMark
	if err := json.Unmarshal(raw, &mark); err != nil {
		return fmt.Errorf("%w: its mark: %w", catalog.ErrSnapshot, err)
	}
	if mark.Application != f.cfg.ApplicationID || mark.Changelog != f.cfg.Names.Changelog || len(mark.Positions) != int(f.cfg.Partitions) {
		return fmt.Errorf("%w: it is of another application", catalog.ErrSnapshot)
	}
	now := f.cfg.Clock.Now()
	since := make(map[int32]state.Checkpoint) // copies that got on after the snapshot
	fresh := make([]Freshness, f.cfg.Partitions)
	for p, at := range mark.Positions {
		fresh[p].AsOf = at.AsOf
		cp, found, err := f.cfg.Store.Partition(int32(p)).Checkpoint()
		switch {
		case err != nil:
			return err
		case !found && at.Offset == 0:
			continue
		case !found || cp.Identity != at.Identity:
			return fmt.Errorf("%w: it was made from another copy than that of partition %d", catalog.ErrSnapshot, p)
		case f.cfg.ChangelogRetention > 0 && now.Sub(at.At) >= f.cfg.ChangelogRetention:
			return fmt.Errorf("%w: it is older than deletions are kept", catalog.ErrSnapshot)
		case cp.Offset > at.Offset:
			since[int32(p)] = cp
		}
	}
	f.fresh.Store(&fresh) // so old at least, until a broker says more
	f.shown.reset(nil, mark.Shown)
	silent := func(err error) error {
		f.catalog.Store(c) // the copy has the rows; what came from events is here alone
		f.mu.Lock()
		f.events, f.eventIDs = mark.Events, mark.Topics
		f.mu.Unlock()
		return fmt.Errorf("%w: %w", errNoBroker, err)
	}
	if err := broker.Reach(ctx, f.client, reachTime); err != nil {
		return silent(err)
	}
	asked, cancel := context.WithTimeout(ctx, sinceTime)
	defer cancel()
	for p, cp := range since {
		at := mark.Positions[p]
		a := &applier{f: f, c: c, partition: p}
		var batch []*kgo.Record
		err = broker.ScanRange(asked, f.client, func(r *kgo.Record) error {
			if batch = append(batch, r); len(batch) == applyRecords {
				a.apply(batch)
				batch = batch[:0]
			}
			return nil
		}, f.cfg.Names.Changelog, p, at.Offset, cp.Offset)
		if err != nil {
			return silent(fmt.Errorf("reading what was committed to partition %d since the snapshot: %w", p, err))
		}
		a.apply(batch)
		mark.Positions[p] = position{Identity: cp.Identity, Offset: cp.Offset, At: cp.At}
	}
	f.catalog.Store(c)
	f.mu.Lock()
	f.positions, f.events, f.eventIDs = mark.Positions, mark.Events, mark.Topics
	f.mu.Unlock()
	return nil
}
