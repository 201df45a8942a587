package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"handprint/internal/audit"
	"handprint/internal/config"
	"handprint/topology"
)

func (a *app) auditCommand() *cobra.Command {
	var (
		stores  []string
		timeout time.Duration
		most    int
		asJSON  bool
		swept   bool
	)
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Check what was published against the input, from the beginning",
		Long: `Read the observations and the identity events from the beginning, work every row
and every transition out anew, and compare them with the output topics, the state
topic and the changelog. With --store also with the stores of instances that are
stopped. Nothing is written.

The audit begins when the application has taken all its input. It must be given
the thresholds and values that the instances run with, and it holds all that it
reads in memory: docs/audit.md says what that costs, and what an audit can tell.

Input that was deleted before the application read it is named, counted and
stepped over.

The exit code is 0 if nothing was found, 6 if there are differences, 7 if a topic
has lost what the application had read or written, so that nothing can be said.`,
		Example: `  handprint audit --brokers a:9092
  handprint audit --store /var/lib/handprint-1 --store /var/lib/handprint-2 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if most < 0 {
				return usageErrorf("flag --show: must be at least 0, is %d", most)
			}
			o, err := a.auditOptions()
			if err != nil {
				return err
			}
			o.StateDirs, o.Timeout, o.MaxDifferences, o.Swept = stores, timeout, max(most, 1), swept
			report, err := a.audit(cmd.Context(), o)
			if err != nil {
				return err
			}
			if report.Differences = report.Differences[:min(most, len(report.Differences))]; asJSON {
				err = json.NewEncoder(a.out).Encode(struct {
					OK bool `json:"ok"`
					audit.Report
				}{report.OK(), report})
			} else {
				err = writeReport(a.out, &report)
			}
			if err == nil && !report.OK() {
				err = &codeError{exitDifferences, fmt.Errorf("%d lost, %d doubled, %d different, %d unexpected", report.Lost, report.Doubled, report.Different, report.Unexpected)}
			}
			return err
		},
	}
	cmd.Flags().StringArrayVar(&stores, "store", nil, "State directory of a stopped instance, to compare its store too; may be repeated.")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "How long to wait until the application has taken all its input.")
	cmd.Flags().IntVar(&most, "show", 100, "How many differences to list; all are counted.")
	cmd.Flags().BoolVar(&asJSON, "json", false, "Print the report as JSON.")
	cmd.Flags().BoolVar(&swept, "swept", false, "Count a suspicion that is due as lost: every task has swept since the last row changed.")
	return a.configureReading(cmd, config.GroupConnection, config.GroupApplication, config.GroupTopics, config.GroupThresholds, config.GroupValues, config.GroupSchemas)
}

// auditOptions are the application as it is configured.
func (a *app) auditOptions() (audit.Options, error) {
	client, err := a.clientOpts()
	if err != nil {
		return audit.Options{}, err
	}
	e, err := a.engineConfig()
	if err != nil {
		return audit.Options{}, err
	}
	o := audit.Options{
		Client: client, Topics: a.cfg.Topics, Group: a.cfg.Application.ID,
		Rules: audit.Rules{Thresholds: e.Thresholds, Registry: e.Registry, RecordLimit: e.RecordLimit, MaxAhead: e.MaxAhead, Retention: e.Retention, Strict: e.Strict},
	}
	r, err := a.registry()
	if err == nil && r != nil {
		o.Writers, o.Schemas = r.Writers(), r
	}
	return o, err
}

func (a *app) audit(ctx context.Context, o audit.Options) (audit.Report, error) {
	cl, err := a.connect(ctx)
	if err != nil {
		return audit.Report{}, err
	}
	defer cl.Close()
	if err := a.requireApplication(ctx, cl); err != nil {
		return audit.Report{}, err
	}
	if err := a.requireTopics(ctx, cl, false, auditedTopics(&o.Topics)...); err != nil {
		return audit.Report{}, err
	}
	report, err := audit.Run(ctx, o)
	if errors.Is(err, audit.ErrHistoryGone) || errors.Is(err, audit.ErrOtherTopic) {
		err = &codeError{exitHistoryGone, err}
	}
	return report, err
}

func auditedTopics(n *topology.Names) []string {
	return []string{n.Observations, n.IdentityEvents, n.Commands, n.StateChanged, n.MultiActorSuspects, n.IdentityChanged, n.State, n.Identities, n.DeadLetter, n.Changelog}
}

func writeReport(to io.Writer, r *audit.Report) error {
	out := bufio.NewWriter(to)
	for _, d := range r.Differences {
		fmt.Fprintln(out, printable(d.String()))
	}
	if found := r.Lost + r.Doubled + r.Different + r.Unexpected; found > int64(len(r.Differences)) {
		fmt.Fprintf(out, "and %d more\n", found-int64(len(r.Differences)))
	}
	for _, note := range r.Notes {
		fmt.Fprintln(out, printable(note))
	}
	fmt.Fprintf(out, "read %d observations, %d identity events, %d transitions, %d suspicions, %d dead letters, %d state records, %d changelog records, %d store records\n",
		r.Observations, r.IdentityEvents, r.Transitions, r.Suspicions, r.DeadLetters, r.StateRecords, r.ChangelogRecords, r.StoreRecords)
	if r.InputLost+r.CommandsLost > 0 {
		fmt.Fprintf(out, "%d offsets of the input and %d of the commands were deleted before the application read them\n", r.InputLost, r.CommandsLost)
	}
	fmt.Fprintf(out, "%d rows of %d identities; %d transitions compared one by one, %d as links of a chain; %d rows that the input does not determine; %d sweeps due\n",
		r.Rows, r.Identities, r.Exact, r.Chained, r.Loose, r.SweepsDue)
	fmt.Fprintf(out, "%d lost, %d doubled, %d different, %d unexpected; %.1f s\n", r.Lost, r.Doubled, r.Different, r.Unexpected, r.Took)
	return out.Flush()
}
