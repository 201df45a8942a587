package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"handprint/internal/config"
	"handprint/internal/operations"
)

func (a *app) changelogCommand() *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:     "changelog",
		Short:   "Write the state of the tasks back into a changelog that was lost",
		Example: `  handprint changelog restore --state-dir /var/lib/handprint`,
	})
	var execute bool
	var dirs []string
	restore := &cobra.Command{
		Use:   "restore",
		Short: "Write stores back into an empty changelog",
		Long: `Write the stores of an application back into its changelog, after that topic was
deleted or emptied, so that the application goes on where the stores are.

The state directories must have every task between them; of several copies of a
task the newest is taken. They are read only, and no process may use them.
Everything is written in one transaction. A changelog that has records is refused.

Without --execute it only says what it would do.`,
		Example: `  handprint changelog restore --brokers a:9092 --application-id soc --state-dir /var/lib/handprint
  handprint changelog restore --state-dir host-a/handprint --state-dir host-b/handprint --execute`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(dirs) == 0 {
				return usageErrorf("flag --state-dir: is missing: give the state directory of each process of the application")
			}
			return a.restoreChangelog(cmd.Context(), dirs, execute)
		},
	}
	f := restore.Flags()
	f.BoolVar(&execute, "execute", false, "Do it.")
	f.StringArrayVar(&dirs, "state-dir", nil, "State directory of a process that is stopped, or a copy of one. May be given several times.")
	cmd.AddCommand(a.configure(restore, config.GroupConnection, config.GroupApplication, config.GroupTopics))
	return cmd
}

func (a *app) restoreChangelog(ctx context.Context, dirs []string, execute bool) error {
	cl, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	plan, err := operations.PlanChangelogRestore(ctx, cl, a.operated(), dirs)
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
	if !execute {
		fmt.Fprintln(a.out, "Nothing was changed. Say --execute to do it.")
		return nil
	}
	records, err := plan.Execute(ctx, cl)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%d records written\n", records)
	return nil
}
