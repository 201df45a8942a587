package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"handprint/internal/config"
)

func (a *app) identityOwnerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "owner ATTACKER",
		Short: "Show which identity an attacker belongs to",
		Long: `Show which identity an attacker belongs to. ATTACKER is an address, an id, or the
beginning of one. There is one answer at every moment,
also while a move is under way. It is read like "handprint identity show", from
the partition of the attacker.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
			// An id as it is needs no other topic; what is none may be an address,
			// or the beginning of an id.
			attacker, _ := attackerOf(args[0])
			owner, known, err := a.ownerOf(cmd.Context(), cl, attacker)
			if err != nil {
				return err
			}
			if !known {
				names, err := a.readDirectory(cmd.Context(), cl)
				if err != nil {
					return err
				}
				if attacker, err = names.findAttacker(args[0]); err != nil {
					return err
				}
				if owner, known, err = a.ownerOf(cmd.Context(), cl, attacker); err != nil {
					return err
				}
			}
			if !known {
				return fmt.Errorf("attacker %s was neither seen nor linked", printable(attacker))
			}
			_, err = fmt.Fprintln(a.out, owner)
			return err
		},
	}
	return a.configureReading(cmd, config.GroupConnection, config.GroupApplication, config.GroupTopics)
}
