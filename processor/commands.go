package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// The commands topic keeps everything, because a command that is lost may be half
// of an identity event. What no state needs any more the tasks delete themselves:
// what the task has read and committed, once it is older than Config.CommandRetention,
// so that a state that was put back from a backup still finds what it has not read.

// How often old commands are looked for: this part of CommandRetention, within
// these bounds.
const (
	trimShare = 50
	minTrim   = time.Minute
	maxTrim   = time.Hour
)

// trimCommands deletes old commands of the tasks that run here, until ctx ends or
// the brokers do not allow it.
func (p *Processor) trimCommands(ctx context.Context) {
	ticks, stop := p.cfg.Clock.NewTicker(min(max(p.cfg.CommandRetention/trimShare, minTrim), maxTrim))
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticks:
			limit, cancel := context.WithTimeout(ctx, sideTimeout)
			err := p.trimOnce(limit, now)
			cancel()
			switch {
			case err == nil || ctx.Err() != nil:
			case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
				p.log.Warn("old commands are not deleted, as this principal may not: allow Delete on the topic, or delete them by other means",
					"topic", p.cfg.Commands, "error", err)
				return
			default:
				p.log.Debug("deleting old commands failed, it is tried again", "topic", p.cfg.Commands, "error", err)
			}
		}
	}
}

// trimOnce deletes what is old now.
func (p *Processor) trimOnce(ctx context.Context, now time.Time) error {
	read := make(map[int32]int64) // the next command, by task
	for _, w := range p.workers {
		w.commandsRead(read)
	}
	if len(read) == 0 {
		return nil
	}
	admin := kadm.NewClient(p.side)
	starts, err := admin.ListStartOffsets(ctx, p.cfg.Commands)
	if err != nil {
		return fmt.Errorf("asking for the oldest commands: %w", err)
	}
	young, err := admin.ListOffsetsAfterMilli(ctx, now.Add(-p.cfg.CommandRetention).UnixMilli(), p.cfg.Commands)
	if err != nil {
		return fmt.Errorf("asking for the oldest commands to keep: %w", err)
	}
	old := make(kadm.Offsets)
	for task, next := range read {
		start, ok := starts.Lookup(p.cfg.Commands, task)
		first, also := young.Lookup(p.cfg.Commands, task)
		if !ok || !also || start.Err != nil || first.Err != nil {
			continue
		}
		before := next
		if first.Offset >= 0 { // else all are older
			before = min(next, first.Offset)
		}
		if before > start.Offset {
			old.AddOffset(p.cfg.Commands, task, before, -1)
		}
	}
	if len(old) == 0 {
		return nil
	}
	deleted, err := admin.DeleteRecords(ctx, old)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		return fmt.Errorf("deleting commands: %w", err)
	}
	return nil
}

// commandsRead puts the next command of each task that runs into read.
func (w *worker) commandsRead(read map[int32]int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n, t := range w.tasks {
		if next := t.commands.Load(); t.running() && next > 0 {
			read[n] = next
		}
	}
}
