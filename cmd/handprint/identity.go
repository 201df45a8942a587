package main

import (
	"github.com/spf13/cobra"

	"handprint/attribution"
	"handprint/internal/config"
)

func (a *app) identityCommand() *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "identity",
		Short: "Say which attackers are the same hands, and look at an identity",
		Long: `Write identity events, as a clusterer does, and look at what became of them.
An attacker or an identity is named by an address, an id, or the beginning of an
id. A name that is not known, or that may mean several, is refused. What will
move is printed before anything is sent.`,
		Example: `  handprint identity form 8f0c… attacker-1 attacker-2
  handprint identity merge --winner 192.0.2.1 --loser 11aa… --wait
  handprint identity show 8f0c…
  handprint identity owner 192.0.2.1`,
	})
	var q identityQuery
	e := &q.event
	send := func(use, short string, args cobra.PositionalArgs, make func(args []string)) *cobra.Command {
		return a.configure(&cobra.Command{
			Use: use, Short: short, Args: args,
			RunE: func(cmd *cobra.Command, args []string) error {
				make(args)
				return a.sendIdentityEvent(cmd.Context(), &q)
			},
		}, config.GroupConnection, config.GroupApplication, config.GroupTopics, config.GroupSchemas)
	}
	form := send("form IDENTITY [ATTACKER...]", "These attackers now belong to this identity", cobra.MinimumNArgs(1), func(args []string) {
		e.Type, e.Identity, e.Attackers = attribution.Formed, args[0], args[1:]
	})
	link := send("link IDENTITY ATTACKER", "This attacker now belongs to this identity", cobra.ExactArgs(2), func(args []string) {
		e.Type, e.Identity, e.Attackers = attribution.Linked, args[0], args[1:]
	})
	merge := send("merge --winner IDENTITY --loser IDENTITY [ATTACKER...]", "All attackers of the loser now belong to the winner", cobra.ArbitraryArgs, func(args []string) {
		e.Type, e.Attackers = attribution.Merged, args
	})
	unmerge := send("unmerge --winner IDENTITY --loser IDENTITY [ATTACKER...]", "The loser is itself again, with these attackers", cobra.ArbitraryArgs, func(args []string) {
		e.Type, e.Attackers = attribution.Unmerged, args
	})
	for _, c := range []*cobra.Command{form, link, merge, unmerge} {
		c.Flags().BoolVar(&q.unseen, "unseen", false, "Take names as they are, also those of what has not been seen.")
		c.Flags().BoolVar(&q.yes, "yes", false, "Do not ask, on a terminal either.")
		c.Flags().BoolVar(&q.wait, "wait", false, "Wait until the event is over, and say what has moved.")
	}
	for _, c := range []*cobra.Command{merge, unmerge} {
		c.Flags().StringVar(&e.Identity, "winner", "", "The identity merged into.")
		c.Flags().StringVar(&e.Loser, "loser", "", "The identity that is merged, or is itself again.")
		for _, required := range []string{"winner", "loser"} {
			if err := c.MarkFlagRequired(required); err != nil {
				panic(err) // the flag is declared above
			}
		}
	}
	cmd.AddCommand(form, link, merge, unmerge, a.identityShowCommand(), a.identityOwnerCommand())
	return cmd
}
