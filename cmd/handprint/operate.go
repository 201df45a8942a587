package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/config"
	"handprint/internal/memory"
	"handprint/internal/operations"
)

// operated is the application that operator's commands look at.
func (a *app) operated() *operations.Application {
	return &operations.Application{ID: a.cfg.Application.ID, Names: a.cfg.Topics, Layout: a.cfg.Layout}
}

func (a *app) doctorCommand() *cobra.Command {
	asJSON := false
	var plan planned
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the cluster, the permissions and this machine",
		Long: `Check that everything is there that "handprint run" with the same settings needs:
brokers that are new enough, transactions, topics, permissions, the state
directory, clocks, memory. One line for each, ok, warning or failed, with what to
do. Exits with 1 if anything failed.

It changes nothing, but writes one record to the health topic in a transaction
that it aborts.

With --plan it asks no broker, and prints how many cores, how much memory and disk
a load needs, computed from what was measured (docs/performance.md).`,
		Example: `  handprint doctor --brokers a:9092 --application-id soc --state-dir /var/lib/handprint
  handprint doctor --json
  handprint doctor --plan --rate 20000 --identities 1000000`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if plan.wanted {
				return a.plan(&plan, asJSON)
			}
			for _, name := range planFlags {
				if cmd.Flags().Changed(name) {
					return usageErrorf("--%s goes with --plan", name)
				}
			}
			return a.doctor(cmd.Context(), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "Print JSON.")
	plan.flags(cmd)
	return a.configure(cmd, config.GroupConnection, config.GroupApplication, config.GroupTopics, "state-dir", "record-cache", "store-cache", "standby-replicas", "identity-retention")
}

var resultColours = map[operations.Result]string{operations.OK: "32", operations.Warning: "33", operations.Failed: "31"}

func (a *app) doctor(ctx context.Context, asJSON bool) error {
	cl, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	checks := operations.Diagnose(ctx, cl, a.operated(), operations.Host{
		StateDir: a.cfg.Runtime.StateDir, Now: time.Now,
		Caches: a.caches(),
	})
	if asJSON {
		if err := json.NewEncoder(a.out).Encode(checks); err != nil {
			return err
		}
	} else {
		p := palette(a.coloured())
		for _, c := range checks {
			line := p.paint(resultColours[c.Result], fmt.Sprintf("%-7s", c.Result)) + "  " + c.Name + ": " + printable(oneLine(errors.New(c.Found)))
			if c.Fix != "" {
				line += " -> " + c.Fix
			}
			fmt.Fprintln(a.out, line)
		}
	}
	if operations.Worst(checks) == operations.Failed {
		failed := 0
		for _, c := range checks {
			if c.Result == operations.Failed {
				failed++
			}
		}
		return fmt.Errorf("%d of %d checks failed", failed, len(checks))
	}
	return nil
}

// caches returns how many bytes a process uses outside of Go's heap.
func (a *app) caches() uint64 {
	record, blocks := a.cfg.Runtime.Caches()
	return uint64(record + blocks + memory.Memtables)
}

func (a *app) lagCommand() *cobra.Command {
	var asJSON bool
	var watch time.Duration
	cmd := &cobra.Command{
		Use:   "lag",
		Short: "Show how far each task is behind, and who has it",
		Long: `Show how far each task is behind in each of its inputs, which member of the group
has it, and how many offsets of the changelog a rebuild would read. How many tasks
there are is taken from the topics; with --partitions it must be that number.

A lag of up to 1000 is counted in records, a larger one in offsets, a few of
which are the markers of transactions.`,
		Example: `  handprint lag --brokers a:9092 --application-id soc
  handprint lag --watch 5s
  handprint lag --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.lag(cmd.Context(), asJSON, watch) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "Print JSON, with --watch an object a line.")
	cmd.Flags().DurationVar(&watch, "watch", 0, "Print again after each such time, such as 5s, until interrupted.")
	return a.configureReading(cmd, config.GroupConnection, config.GroupApplication, config.GroupTopics)
}

func (a *app) lag(ctx context.Context, asJSON bool, watch time.Duration) error {
	if watch != 0 && watch < 100*time.Millisecond {
		return usageErrorf("flag --watch: must be at least 100ms, is %s", watch)
	}
	cl, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	var ticks <-chan time.Time
	if watch > 0 {
		t := time.NewTicker(watch)
		defer t.Stop()
		ticks = t.C
	}
	if err := a.requireApplication(ctx, cl); err != nil {
		return err
	}
	if err := a.countPartitions(ctx, cl); err != nil {
		return err
	}
	for {
		if err := a.requireTopics(ctx, cl, false, a.cfg.Topics.Observations, a.cfg.Topics.IdentityEvents, a.cfg.Topics.Commands, a.cfg.Topics.Changelog); err != nil {
			return err
		}
		l, err := operations.MeasureLag(ctx, cl, a.operated())
		if err != nil {
			return err
		}
		if asJSON {
			err = a.writeJSON(l)
		} else {
			err = writeLag(a.out, a.paper(), l)
		}
		if err != nil || watch == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return nil // asked for: there is no other end
		case <-ticks:
			if !asJSON {
				fmt.Fprintln(a.out)
			}
		}
	}
}

// requireApplication returns an error if the cluster knows nothing of the application.
func (a *app) requireApplication(ctx context.Context, cl *kgo.Client) error {
	err := a.operated().Confirm(ctx, cl)
	if errors.Is(err, operations.ErrNoApplication) {
		err = &codeError{exitTopics, err}
	}
	return err
}

// countPartitions takes the number of tasks from the topics, and refuses another one
// that was set.
func (a *app) countPartitions(ctx context.Context, cl *kgo.Client) error {
	if err := a.requireTopics(ctx, cl, false, a.cfg.Topics.Observations, a.cfg.Topics.Commands, a.cfg.Topics.Changelog); err != nil {
		return err
	}
	n, err := a.operated().CountPartitions(ctx, cl)
	if errors.Is(err, operations.ErrPartitions) {
		err = &codeError{exitTopics, err}
	}
	if err != nil {
		return err
	}
	if set := a.settings.Lookup("partitions"); set.Origin() != (config.Origin{}) && a.cfg.Layout.Partitions != n {
		return &codeError{exitTopics, fmt.Errorf("partitions is %d, but topic %s has %d: leave it out, or name the right topics", a.cfg.Layout.Partitions, a.cfg.Topics.Observations, n)}
	}
	a.cfg.Layout.Partitions = n
	return nil
}

func writeLag(w io.Writer, p paper, l *operations.Lag) error {
	var rows [][]cell
	for _, t := range l.Tasks {
		owner := cell{text: printable(t.Owner)}
		if t.Owner == "" {
			owner = cell{text: "nobody", sgr: "31"}
		}
		for i, in := range t.Inputs {
			row := []cell{{}, {text: in.Topic}, {text: strconv.FormatInt(in.Lag, 10), right: true}, {text: "-", right: true}, {text: strconv.FormatInt(in.End, 10), right: true}, {}, {}, {}}
			if in.Committed >= 0 {
				row[3].text = strconv.FormatInt(in.Committed, 10)
			}
			if i == 0 {
				row[0] = cell{text: strconv.Itoa(int(t.Task)), right: true}
				row[5] = cell{text: strconv.FormatInt(t.Changelog, 10), right: true}
				row[6], row[7] = owner, cell{text: printable(strings.TrimPrefix(t.Host, "/")), sgr: faint}
			}
			rows = append(rows, row)
		}
	}
	columns := []column{
		{head: "TASK"}, {head: "TOPIC", least: 20, tail: true}, {head: "LAG"}, {head: "COMMITTED", drop: 2}, {head: "END", drop: 3},
		{head: "CHANGELOG", drop: 4}, {head: "OWNER", least: 12}, {head: "HOST", least: 12, drop: 1},
	}
	if err := p.writeTable(w, columns, rows); err != nil {
		return err
	}
	err := p.wrap(w, "", fmt.Sprintf("%d behind in all; group %s is %s with %s, %d of %s have no owner", l.Total, l.Group, l.State, plural(l.Members, "member"), l.Unowned, plural(len(l.Tasks), "task")))
	if err == nil && l.Lost > 0 {
		_, err = fmt.Fprintf(w, "%d offsets were deleted before they were read; each task says and counts its part when it runs\n", l.Lost)
	}
	if err == nil && l.HeldUp > 0 {
		_, err = fmt.Fprintf(w, "%d offsets of the input lie behind open transactions and cannot be read yet; if that lasts, the log of the task's process says whose they are\n", l.HeldUp)
	}
	return err
}

func (a *app) resetCommand() *cobra.Command {
	var execute bool
	var from string
	var o operations.ResetOptions
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "Begin again from the oldest input",
		Long: `Make the application begin again: forget what was read and what followed from it,
so that the next start reads the input from the oldest record, or the
observations from a time on.

Without --execute it only says what it would do. It refuses while a process of
the application runs. Input topics are never touched.`,
		Example: `  handprint reset --brokers a:9092 --application-id soc
  handprint reset --brokers a:9092 --application-id soc --state-dir /var/lib/handprint --execute
  handprint reset --from 2026-11-01T00:00:00Z --outputs --execute`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.reset(cmd.Context(), o, from, execute) },
	}
	f := cmd.Flags()
	f.BoolVar(&execute, "execute", false, "Do it.")
	f.StringVar(&from, "from", "oldest", "Where to begin in the observations: oldest, or a time as 2026-11-01T00:00:00Z.")
	f.BoolVar(&o.Outputs, "outputs", false, "Delete the output topics as well and make them anew. Who reads them sees them begin again.")
	f.StringArrayVar(&o.StateDirs, "state-dir", nil, "State directory on this machine whose store is deleted too. May be given several times.")
	return a.configure(cmd, config.GroupConnection, config.GroupApplication, config.GroupTopics)
}

func (a *app) reset(ctx context.Context, o operations.ResetOptions, from string, execute bool) error {
	if from != "oldest" {
		var err error
		if o.From, err = time.Parse(time.RFC3339, from); err != nil {
			return usageErrorf("flag --from: must be oldest or a time as 2026-11-01T00:00:00Z, is %s", from)
		}
	}
	cl, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := a.requireApplication(ctx, cl); err != nil {
		return err
	}
	if err := a.requireTopics(ctx, cl, false, a.cfg.Topics.Observations, a.cfg.Topics.IdentityEvents); err != nil {
		return err
	}
	plan, err := operations.PlanReset(ctx, cl, a.operated(), o)
	if err != nil {
		return err
	}
	lead := "would "
	if execute {
		lead = ""
	}
	for _, s := range plan.Steps {
		fmt.Fprintln(a.out, lead+s)
	}
	for _, n := range plan.Notes {
		fmt.Fprintln(a.out, n)
	}
	if !execute {
		fmt.Fprintln(a.out, "Nothing was changed. Say --execute to do it.")
		return nil
	}
	if err := plan.Execute(ctx, cl); err != nil {
		return err
	}
	fmt.Fprintln(a.out, "done")
	return nil
}
