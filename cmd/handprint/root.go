package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"handprint/internal/config"
)

// run runs one command line and returns its exit code.
func run(ctx context.Context, s streams, args []string) int {
	a := newApp(s)
	root := a.root()
	root.SetArgs(args)
	called, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	code := exitCode(err)
	if !a.running {
		code = exitUsage
	}
	if code == exitInterrupted && ctx.Err() == nil {
		code = exitFailure // something was cancelled, but not by a signal
	}
	text := oneLine(err)
	var coded *codeError
	if code == exitUsage && !errors.As(err, &coded) && called != nil {
		text += fmt.Sprintf(" (see %s --help)", called.CommandPath())
	}
	if code == exitInterrupted && errors.Is(err, context.Canceled) {
		text = "interrupted"
	}
	fmt.Fprintf(s.err, "handprint: %s\n", text)
	return code
}

// root returns the command line, with every command in the order of --help.
func (a *app) root() *cobra.Command {
	root := parent(&cobra.Command{
		Use:   "handprint",
		Short: "Tell which attackers are the same hands",
		Long: `handprint reads observations of attackers' behaviour from Kafka and tells, for
every identity and every trait, whether it is stable, drifting, conflicted or
looks like several actors. It links behaviour to opaque ids, never to people.

Settings come from flags, from HANDPRINT_ environment variables and from a
configuration file, in that order; docs/configuration.md lists them all.

` + exitCodes,
		SilenceUsage:  true,
		SilenceErrors: true,
	})
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.PersistentFlags().StringVar(&a.configFile, "config", "", "Configuration file (YAML).")
	a.settings.Flags(root.PersistentFlags(), config.GroupLogging)
	root.AddCommand(
		a.demoCommand(),
		a.replayCommand(),
		a.runCommand(), a.serveCommand(), a.tokenCommand(),
		a.ingestCommand(),
		a.explainCommand(), a.deadLettersCommand(), a.eventsCommand(),
		a.rowsCommand(),
		a.identityCommand(),
		a.suggestCommand(),
		a.formatCommand(),
		a.exportCommand(),
		a.sinkCommand(),
		a.auditCommand(),
		a.topicsCommand(),
		a.schemasCommand(),
		a.topologyCommand(),
		a.doctorCommand(),
		a.lagCommand(),
		a.resetCommand(),
		a.changelogCommand(),
		a.healthcheckCommand(),
		a.versionCommand(),
		a.referenceCommand(),
	)
	// Cobra's own two take any name that they do not know for a success.
	root.InitDefaultCompletionCmd("completion")
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "completion":
			parent(cmd)
		case "help":
			cmd.Args = func(_ *cobra.Command, args []string) error {
				if found, rest, err := root.Find(args); err != nil || found == nil || len(rest) > 0 {
					return fmt.Errorf("unknown help topic %q", args)
				}
				return nil
			}
		}
	}
	return root
}

// parent makes a command of commands. Called without one it shows its help, and
// that is a wrong call: cobra would call it a success, and a wrong name too.
func parent(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cmd.SetOut(cmd.ErrOrStderr())
		if err := cmd.Help(); err != nil {
			return err
		}
		return usageErrorf("no command given")
	}
	return cmd
}
