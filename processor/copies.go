package processor

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/state"
)

// Copies keeps a copy of the stores of all tasks, outside the group, for those who
// read what the tasks have concluded. It is made of the same parts as a standby
// copy, by the same rules: committed records only, position and records in one
// write, rebuilt when the changelog is another topic or may have lost deletions. Unlike
// a standby copy it is nobody's last: one that is further on than its changelog is
// rebuilt too.
type Copies struct {
	standbys *standbys
	cfg      Config
}

// CopiesConfig is what Copies needs.
type CopiesConfig struct {
	Client             []kgo.Opt
	Name               string // of the client, as brokers log it
	Changelog          string
	Partitions         int32
	Store              *state.Store  // nobody else may write to it
	ChangelogRetention time.Duration // delete.retention.ms of the changelog; 0: not looked at
	MaxWait            time.Duration // of a fetch, for records that are not there yet; 0: 250 ms
	Clock              Clock         // nil: the system's
	Logger             *slog.Logger
	Watcher            CopyWatcher
}

// CopyWatcher is told what is written to a copy, after it is written, one call at a
// time for each task. Both functions have to be set.
type CopyWatcher struct {
	// Applied is told of records and of how far the copy has come with them. What
	// the records hold is not to be changed.
	Applied func(task int32, records []*kgo.Record, checkpoint state.Checkpoint)
	// Emptied is told that the copy begins anew, with nothing in it.
	Emptied func(task int32)
}

// NewCopies returns copies that Run keeps.
func NewCopies(c CopiesConfig) *Copies {
	cfg := Config{
		ApplicationID: c.Name, InstanceID: "copies", Client: c.Client, Changelog: c.Changelog, Partitions: c.Partitions,
		Store: c.Store, ChangelogRetention: c.ChangelogRetention, Clock: c.Clock, Logger: c.Logger,
	}.withDefaults()
	cfg.expendable = true
	copies := &Copies{cfg: cfg}
	copies.standbys = newStandbys(&copies.cfg, newLeases(c.Partitions), new(counters), func() {})
	copies.standbys.watcher = &c.Watcher
	copies.standbys.maxWait = cmp.Or(c.MaxWait, standbyMaxWait)
	all := make(map[int32]bool, c.Partitions)
	for task := range c.Partitions {
		all[task] = false
	}
	copies.standbys.decide(0, all)
	return copies
}

// Run keeps the copies until ctx ends. An error means that the store or the
// brokers' permissions have failed.
func (c *Copies) Run(ctx context.Context) error {
	if err := c.standbys.run(ctx); err != nil {
		return fmt.Errorf("keeping copies of %s: %w", c.cfg.Changelog, err)
	}
	return nil
}

// Status returns how far the copies are, by task; a task that is not looked at yet
// is left out, or has the lag -1.
func (c *Copies) Status() []StandbyStatus { return c.standbys.status(c.cfg.Clock.Now()) }
