// Package serve puts the read side together: a follower of the application's topics,
// what it fills, and the API over it. See docs/api.md for what callers see.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/processor"
	"handprint/schemas"
	"handprint/serve/follow"
	"handprint/serve/history"
	"handprint/serve/live"
	"handprint/serve/query"
	"handprint/state"
	"handprint/topology"
)

// Config is what the read side needs.
type Config struct {
	Dir                string // of copy, catalogue and history; nobody else may use it
	Client             []kgo.Opt
	Names              topology.Names
	Partitions         int32
	ApplicationID      string
	Registry           *attribution.Registry
	Thresholds         attribution.Thresholds
	ChangelogRetention time.Duration
	ProfileRetention   time.Duration
	CatalogMemory      int64
	StoreCache         int64
	HistoryAge         time.Duration
	HistoryBytes       int64
	Writers            *schemas.Writers
	Schemas            topology.SchemaFinder
	LookEvery          time.Duration // looks at brokers and copies are at most so far apart; 0: no such bound
	Clock              processor.Clock
	Logger             *slog.Logger
}

// ringEvents is how many events live clients can fall behind.
const ringEvents = 10_000

// Side is a read side. Open makes it, Run keeps it up to date.
type Side struct {
	cfg      Config
	store    *state.Store
	closing  sync.Mutex       // guards history against HistoryBytes while Close ends it
	history  *history.History // nil once closed
	Follower *follow.Follower
	Ring     *live.Ring
	Reader   *query.Reader
}

// Open opens what is on the disk. A copy, history or catalogue of another application
// is refused with one line; a damaged copy is set aside and made anew.
func Open(c Config) (_ *Side, err error) {
	if c.Clock == nil {
		c.Clock = processor.SystemClock{}
	}
	if err := Claim(c.Dir, c.ApplicationID, c.Names); err != nil {
		return nil, err
	}
	s := &Side{cfg: c, Ring: live.NewRing(ringEvents)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.store, err = state.Open(filepath.Join(c.Dir, "copy"), state.Options{FS: vfs.Default, CacheBytes: c.StoreCache, Logger: c.Logger}); err != nil {
		return nil, err
	}
	if s.history, err = history.Open(filepath.Join(c.Dir, "history"), c.Logger); err != nil {
		return nil, &FolderError{err}
	}
	s.Follower, err = follow.New(follow.Config{
		Client: c.Client, Names: c.Names, Partitions: c.Partitions, ApplicationID: c.ApplicationID, Store: s.store, History: s.history, Ring: s.Ring,
		Snapshot: filepath.Join(c.Dir, "catalog.snapshot"), CatalogMemory: c.CatalogMemory, Registered: c.Registry.Names(), ChangelogRetention: c.ChangelogRetention,
		ProfileRetention: c.ProfileRetention, Writers: c.Writers, Schemas: c.Schemas, LookEvery: c.LookEvery, Clock: c.Clock, Logger: c.Logger,
	})
	if err != nil {
		return nil, err
	}
	s.Reader = query.New(query.Config{
		Source: s.Follower, Store: s.store, History: s.history, Partitions: c.Partitions, Registry: c.Registry, Thresholds: c.Thresholds, Now: c.Clock.Now,
	})
	return s, nil
}

// FolderError says that the folder of a read side cannot be used.
type FolderError struct{ err error }

// Error implements error.
func (e *FolderError) Error() string { return e.err.Error() }

// Unwrap returns what is wrong with the folder.
func (e *FolderError) Unwrap() error { return e.err }

// Claim makes the folder of a read side if it is missing, notes whose it is, and refuses
// another application's. Its errors are FolderErrors.
func Claim(dir, application string, names topology.Names) error {
	if err := claim(dir, application, names); err != nil {
		return &FolderError{err}
	}
	return nil
}

func claim(dir, application string, names topology.Names) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("serve-dir: making the folder of the read side: %w", err)
	}
	owner := application + " " + names.Changelog + "\n"
	name := filepath.Join(dir, "application")
	have, err := os.ReadFile(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := os.WriteFile(name, []byte(owner), 0o600); err != nil {
			return fmt.Errorf("serve-dir: claiming the folder of the read side: %w", err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("serve-dir: reading whose read side the folder holds: %w", err)
	case string(have) != owner:
		return fmt.Errorf("serve-dir %s holds the read side of another application (%.200q): give each its own, or delete the folder", dir, have)
	}
	return nil
}

// Run keeps the read side up to date until ctx ends.
func (s *Side) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { s.Reader.Work(ctx) })
	beside.Go(func() {
		s.history.Keep(ctx, s.cfg.Clock.Now, s.cfg.HistoryAge, s.cfg.HistoryBytes)
	})
	err := s.Follower.Run(ctx)
	cancel()
	beside.Wait()
	return err
}

// HistoryBytes returns what the history takes on disk, 0 once the side is closed.
func (s *Side) HistoryBytes() int64 {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.history == nil {
		return 0
	}
	return s.history.Bytes()
}

// Close closes what Open opened. Run must have ended.
func (s *Side) Close() (err error) {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.history != nil {
		err = s.history.Close()
		s.history = nil
	}
	if s.store != nil {
		err = errors.Join(err, s.store.Close())
	}
	return err
}
