package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/internal/config"
	"handprint/schemas"
)

func (a *app) identityCommand() *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "identity",
		Short: "Say which attackers are the same hands, and look at an identity",
		Long: `Write identity events, as a clusterer does, and look at what became of them.
Ids are taken as they are; nothing is linked that is not named.`,
		Example: `  handprint identity form 8f0c… attacker-1 attacker-2
  handprint identity merge --winner 8f0c… --loser 11aa…
  handprint identity show 8f0c…
  handprint identity owner attacker-1`,
	})
	var e attribution.IdentityEvent
	send := func(use, short string, args cobra.PositionalArgs, make func(args []string)) *cobra.Command {
		return a.configure(&cobra.Command{
			Use: use, Short: short, Args: args,
			RunE: func(cmd *cobra.Command, args []string) error {
				make(args)
				return a.sendIdentityEvent(cmd.Context(), &e)
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

// sendIdentityEvent writes an event, keyed as the clusterer's are, and says
// where it stands.
func (a *app) sendIdentityEvent(ctx context.Context, e *attribution.IdentityEvent) error {
	record := schemas.AppendIdentityEvent(nil, e)
	if _, err := schemas.DecodeIdentityEvent("", record); err != nil {
		return usageErrorf("the event would be a bad record: %w", err)
	}
	if e.Type == attribution.Merged && e.Identity == e.Loser {
		return usageErrorf("the event would be a bad record: it merges an identity with itself")
	}
	cl, err := a.connect(ctx, kgo.RequiredAcks(kgo.AllISRAcks()))
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := a.requireTopics(ctx, cl, true, a.cfg.Topics.IdentityEvents); err != nil {
		return err
	}
	format, err := a.inputFormat(ctx, a.cfg.Schemas.OutputFormat, schemas.IdentityEventContract)
	if err != nil {
		return err
	}
	sent, err := cl.ProduceSync(ctx, &kgo.Record{Topic: a.cfg.Topics.IdentityEvents, Key: []byte(e.Identity), Value: format.AppendIdentityEvent(nil, e)}).First()
	if err != nil {
		return fmt.Errorf("sending the event to %s: %w", a.cfg.Topics.IdentityEvents, err)
	}
	_, err = fmt.Fprintf(a.out, "%s[%d] offset %d: %s\n", sent.Topic, sent.Partition, sent.Offset, record)
	return err
}
