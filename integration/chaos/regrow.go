package main

import (
	"context"
	"fmt"
	"os"
)

// regrows reports whether an application's changelog is cut and grows again before
// the application ends: one in four, where all of its input is there and the brokers
// can be put back.
func (e *epoch) regrows(o *options, first int) bool {
	return e.app.Lab.Cluster.CanGoBack() && !e.app.Truncated() && (o.regrow || source(o.seed, -first-1<<20).IntN(4) == 0)
}

// regrow puts the whole cluster back to where it was, as from a backup, after the
// stores have gone on. An instance without a store makes the changelog grow past
// them, and then the others come back with theirs. The application is stopped before
// and after.
func (e *epoch) regrow(ctx context.Context, o *options) error {
	limit, cancel := context.WithTimeout(ctx, 3*o.patience)
	defer cancel()
	run := func(records int, members ...int) error {
		for _, n := range members {
			if err := e.startAgain(n); err != nil {
				return err
			}
		}
		e.app.FeedFor(limit, records, o.load)
		if err := e.app.Sweep(limit); err != nil {
			return err
		}
		return e.stopAtRest(limit, o)
	}
	if err := e.app.Lab.Cluster.Backup(limit); err != nil {
		return err
	}
	if err := e.app.Reopen(); err != nil {
		return err
	}
	if err := run(o.records/5, e.members...); err != nil {
		return fmt.Errorf("going on after the backup: %w", err)
	}
	for _, n := range e.members {
		if err := os.Rename(e.app.Config(n).StateDir(), e.app.Config(n).StateDir()+".away"); err != nil {
			return err
		}
	}
	if err := e.app.Lab.Cluster.GoBack(limit); err != nil {
		return err
	}
	if err := e.app.Reopen(); err != nil {
		return err
	}
	if err := run(o.records, e.members[0]); err != nil {
		return fmt.Errorf("growing again without a store: %w", err)
	}
	for _, n := range e.members[1:] {
		dir := e.app.Config(n).StateDir()
		if err := os.Rename(dir+".away", dir); err != nil {
			return err
		}
	}
	if err := run(o.records/5, e.members...); err != nil {
		return fmt.Errorf("coming back with stores of another history: %w", err)
	}
	return nil
}
