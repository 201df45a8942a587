package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"handprint/processor"
	"handprint/schemas"
	"handprint/serve/catalog"
	"handprint/serve/history"
	"handprint/serve/live"
	"handprint/state"
	"handprint/topology"
)

// Config is what a Follower needs.
type Config struct {
	Client             []kgo.Opt
	Names              topology.Names
	Partitions         int32
	ApplicationID      string
	Store              *state.Store // of its own
	History            *history.History
	Ring               *live.Ring
	Snapshot           string   // file; empty: none is kept
	CatalogMemory      int64    // bytes
	Registered         []string // primitives that the catalogue never leaves out
	ChangelogRetention time.Duration
	ProfileRetention   time.Duration
	Writers            *schemas.Writers      // of Avro records; nil: JSON alone
	Schemas            topology.SchemaFinder // nil: there is no registry
	LookEvery          time.Duration         // looks at brokers and copies are at most so far apart; 0: no such bound
	Clock              processor.Clock       // nil: the system's
	Logger             *slog.Logger
}

// Phase is how far the catalogue is.
type Phase struct {
	Ready    bool
	TooSmall bool    // it needs more memory than it may take
	Needed   int64   // bytes, at least; if TooSmall
	Progress float64 // in [0, 1], while it is built
	Left     time.Duration
}

// Freshness is how far behind what is shown is, in two numbers: of the reading here,
// and of the engine, which others measure.
type Freshness struct {
	AsOf    float64 // everything committed until then, to changelog and event topics, is applied, Unix seconds; 0: not known yet
	ReadLag int64   // committed changelog offsets that are not applied yet
}

// Follower follows. Its methods may be called by several goroutines at the same
// time; Run is called once.
type Follower struct {
	cfg    Config
	copies *processor.Copies
	client *kgo.Client

	catalog atomic.Pointer[catalog.Catalog]
	phase   atomic.Pointer[Phase]       // stored under mu
	fresh   atomic.Pointer[[]Freshness] // of the changelog alone, by partition; stored under mu
	applied atomic.Int64                // records
	bad     atomic.Int64                // records that could not be decoded

	alone atomic.Bool // the brokers have not said since the start how far the changelog is

	loaded   atomic.Bool // the catalogue was complete as far as the copy goes, and none began anew
	prepared time.Time   // when it was; set before anything else runs

	filling sync.RWMutex // held for writing while the catalogue is built anew

	mu        sync.Mutex // guards the marks
	positions []position // by partition, what the catalogue holds
	events    eventPositions
	rebuild   bool
	again     time.Time           // a build that has failed is tried again then; zero: none has
	crowded   bool                // it was said that the catalogue leaves primitives out
	emptied   map[int32]bool      // copies that began anew, and have nothing yet
	begun     int                 // how often one, or the history, did
	begunAt   map[int32]time.Time // when it did last
	done      doneEvents
	began     time.Time
	building  time.Time // when the catalogue that is being built was begun

	withheld  atomic.Bool // the topic of identities is not there, or may not be read
	watermark watermark   // of the event topics whose records the history has, open transactions included
	shown     watermark   // of all event topics, as far as they are committed

	eventIDs map[string]string        // of the topics that events is of, by name; guarded by mu
	missing  atomic.Pointer[[]string] // event topics that are not there

	checked chan struct{} // closed once the history is known to be of these topics
}

// position is how far one partition of the changelog is in the catalogue.
type position struct {
	Identity string    `json:"identity"`
	Offset   int64     `json:"offset"`
	At       time.Time `json:"at"`
	AsOf     float64   `json:"as_of"` // everything committed until then is there, Unix seconds
}

// New returns a Follower that Run starts.
func New(c Config) (*Follower, error) {
	if c.Clock == nil {
		c.Clock = processor.SystemClock{}
	}
	f := &Follower{cfg: c, positions: make([]position, c.Partitions), done: newDoneEvents(), checked: make(chan struct{})}
	f.catalog.Store(catalog.New(c.Registered...))
	f.phase.Store(&Phase{})
	f.fresh.Store(new([]Freshness))
	f.missing.Store(new([]string))
	f.copies = processor.NewCopies(processor.CopiesConfig{
		Client: c.Client, Name: c.ApplicationID + "-serve", Changelog: c.Names.Changelog, Partitions: c.Partitions,
		Store: c.Store, ChangelogRetention: c.ChangelogRetention, MaxWait: c.LookEvery, Clock: c.Clock, Logger: c.Logger,
		Watcher: processor.CopyWatcher{Applied: f.onApplied, Emptied: f.onEmptied},
	})
	var err error
	if f.client, err = kgo.NewClient(append(c.Client[:len(c.Client):len(c.Client)], kgo.ClientID(c.ApplicationID+"-serve"))...); err != nil {
		return nil, fmt.Errorf("following the changelog: %w", err)
	}
	return f, nil
}

// Catalog returns the catalogue as it is now, and how far it is. While it is not
// ready it lacks a part of what there is.
func (f *Follower) Catalog() (*catalog.Catalog, Phase) { return f.catalog.Load(), *f.phase.Load() }

// Freshness returns how far one partition is, or, of -1, the oldest of all. Answers show
// what event topics say beside what the changelog says: addresses, suspicions, what has
// happened. So nothing is as of later than these topics are.
func (f *Follower) Freshness(partition int32) Freshness {
	fresh := f.changelogFreshness(partition)
	fresh.AsOf = min(fresh.AsOf, f.shown.now())
	return fresh
}

// changelogFreshness is Freshness without the event topics.
func (f *Follower) changelogFreshness(partition int32) Freshness {
	all := *f.fresh.Load()
	if partition >= 0 {
		if int(partition) < len(all) {
			return all[partition]
		}
		return Freshness{}
	}
	var worst Freshness
	for i, p := range all {
		if i == 0 || p.AsOf < worst.AsOf {
			worst.AsOf = p.AsOf
		}
		worst.ReadLag += p.ReadLag
	}
	return worst
}

// Applied returns how many changelog records were applied since the start, and how
// many of all records could not be decoded.
func (f *Follower) Applied() (records, bad int64) { return f.applied.Load(), f.bad.Load() }

// Alone reports whether the brokers have not said since the start how far the changelog
// is, of each partition: none answers, or the leaders of some are away. What is shown is
// what the copy had then, and what those say that are there.
func (f *Follower) Alone() bool { return f.alone.Load() }

// Stuck returns the copies that do not get on, a line for each.
func (f *Follower) Stuck() (lines []string) {
	for _, s := range f.copies.Status() {
		if s.Stuck != "" && !f.Alone() { // a restart would not help
			lines = append(lines, fmt.Sprintf("the copy of partition %d is stuck: %s", s.Partition, s.Stuck))
		}
	}
	return lines
}

// Run follows until ctx ends. An error means that the store, the history or the
// brokers' permissions have failed.
func (f *Follower) Run(ctx context.Context) error {
	defer f.client.Close()
	f.began = f.cfg.Clock.Now()
	f.building = f.began
	if err := f.prepare(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return f.copies.Run(ctx) })
	group.Go(func() error { return f.tail(ctx) })
	group.Go(func() error { return f.identities(ctx) })
	group.Go(func() error { f.measure(ctx); return nil })
	group.Go(func() error { f.mend(ctx); return nil })
	err := group.Wait()
	if phase := f.phase.Load(); phase.Ready && f.cfg.Snapshot != "" {
		if serr := f.writeSnapshot(); serr != nil {
			f.cfg.Logger.Warn("the snapshot of the catalogue could not be written; the next start reads the copy", "error", serr)
		}
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

const (
	measureEvery  = 200 * time.Millisecond
	snapshotEvery = 10 * time.Minute
	profileEvery  = 10 * time.Minute
)

// measure takes down how far the copies are, and sees to what is due.
func (f *Follower) measure(ctx context.Context) {
	lastSnapshot, lastProfiles := f.began, f.began
	repeat(ctx, f.cfg.every(measureEvery), func() {
		f.look()
		now := f.cfg.Clock.Now()
		if f.cfg.Snapshot != "" && f.phase.Load().Ready && now.Sub(lastSnapshot) >= snapshotEvery {
			lastSnapshot = now
			if err := f.writeSnapshot(); err != nil {
				f.cfg.Logger.Warn("the snapshot of the catalogue could not be written", "error", err)
			}
		}
		if f.cfg.ProfileRetention > 0 && now.Sub(lastProfiles) >= profileEvery {
			lastProfiles = now
			before := float64(now.Add(-f.cfg.ProfileRetention).Unix())
			f.catalog.Load().Apply(func(w *catalog.Writer) { w.ForgetProfiles(before) })
		}
	})
}

// look takes down how far the copies are.
func (f *Follower) look() {
	status := f.copies.Status()
	f.mu.Lock()
	fresh := make([]Freshness, f.cfg.Partitions)
	copy(fresh, *f.fresh.Load())
	known, left, total := 0, int64(0), int64(0)
	for _, s := range status {
		if s.Lag < 0 {
			continue
		}
		known++
		p := &fresh[s.Partition]
		p.ReadLag = s.Lag
		if s.Lag == 0 && !s.MovedAt.Before(f.begunAt[s.Partition]) {
			p.AsOf = max(p.AsOf, float64(s.MovedAt.UnixMilli())/1000)
		}
		left += s.Lag
		total += s.Lag + s.Position
	}
	f.fresh.Store(&fresh)
	f.mu.Unlock()
	if known == int(f.cfg.Partitions) && left <= nearlyDone && f.alone.CompareAndSwap(true, false) {
		f.cfg.Logger.Info("the brokers answer again: the copy is up to date")
	}
	if f.loaded.Load() && known < int(f.cfg.Partitions) && f.cfg.Clock.Now().Sub(f.prepared) >= reachTime {
		if phase := f.phase.Load(); !phase.Ready && !phase.TooSmall {
			f.cfg.Logger.Warn("the brokers have not said of each partition how far it is: what is served is what the copy has, until they do",
				"partitions", known, "of", f.cfg.Partitions, "as of", time.Unix(int64(f.Freshness(-1).AsOf), 0).UTC().Format(time.RFC3339))
			f.serveAlone()
		}
	}
	f.settlePhase(known == int(f.cfg.Partitions), left, total)
}

// nearlyDone is how many offsets may be left when the catalogue is called complete:
// what is written meanwhile is read lag, not building.
const nearlyDone = 10_000

func (f *Follower) settlePhase(known bool, left, total int64) {
	size := f.catalog.Load().Bytes()
	f.mu.Lock()
	defer f.mu.Unlock()
	phase := *f.phase.Load()
	switch {
	case phase.TooSmall:
		return
	case size > f.cfg.CatalogMemory:
		progress := max(phase.Progress, 0.01)
		if phase.Ready {
			progress = 1
		}
		needed := int64(float64(size) / progress)
		f.cfg.Logger.Error("the catalogue needs more memory than it may take: lists are not served; set catalog-memory higher", "needed", needed, "catalog-memory", f.cfg.CatalogMemory)
		f.phase.Store(&Phase{TooSmall: true, Needed: needed})
		f.catalog.Store(catalog.New(f.cfg.Registered...)) // never a part of the data
		return
	case phase.Ready:
		return
	case known && left <= nearlyDone && !f.isRebuilding():
		f.phase.Store(&Phase{Ready: true, Progress: 1})
		f.cfg.Logger.Info("the catalogue is complete", "records", f.applied.Load(), "bytes", size, "after", f.cfg.Clock.Now().Sub(f.building).Round(time.Millisecond).String())
		return
	case known && total > 0:
		phase.Progress = float64(total-left) / float64(total)
	}
	if spent := f.cfg.Clock.Now().Sub(f.building); phase.Progress > 0 {
		phase.Left = time.Duration(float64(spent) * (1 - phase.Progress) / phase.Progress)
	}
	f.phase.Store(&phase)
}

// Caught returns when everything committed up to now, to changelog and event topics, is
// applied, or ctx ends.
func (f *Follower) Caught(ctx context.Context) error {
	now := float64(f.cfg.Clock.Now().UnixMilli()) / 1000
	t := time.NewTicker(f.cfg.every(measureEvery) / 4)
	defer t.Stop()
	for f.Freshness(-1).AsOf < now {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
	return nil
}

// repeat calls f, and again each time that so much has passed, until ctx ends.
func repeat(ctx context.Context, every time.Duration, f func()) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		f()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// every returns how far apart looks are that usually are so far apart.
func (c *Config) every(usual time.Duration) time.Duration {
	if c.LookEvery > 0 {
		return min(usual, c.LookEvery)
	}
	return usual
}

// pause waits before something is tried again.
func (c *Config) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
