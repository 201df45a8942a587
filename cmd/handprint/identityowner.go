package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"handprint/attribution"
	"handprint/engine"
	"handprint/internal/config"
)

func (a *app) identityOwnerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "owner ATTACKER",
		Short: "Show which identity an attacker belongs to",
		Long: `Show which identity an attacker belongs to. There is one answer at every moment,
also while a move is under way. It is read like "handprint identity show", from
the partition of the attacker.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			attacker := args[0]
			cl, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
			records, err := a.readChangelog(cmd.Context(), cl, func(n int32) int32 { return attribution.AttackerPartition(attacker, n) },
				func(key []byte) bool { return engine.ConcernsAttacker(key, attacker) })
			if err != nil {
				return err
			}
			owner, known, err := engine.Owner(records, attacker)
			if err != nil {
				return err
			}
			if !known {
				return fmt.Errorf("attacker %s was neither seen nor linked", printable(attacker))
			}
			_, err = fmt.Fprintln(a.out, owner)
			return err
		},
	}
	return a.configure(cmd, config.GroupConnection, config.GroupApplication, config.GroupTopics)
}
