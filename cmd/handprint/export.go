package main

import (
	"bufio"
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/broker"
	"handprint/internal/config"
	"handprint/schemas"
	"handprint/siem"
)

// exportQuery is what the flags of `handprint export` ask for.
type exportQuery struct {
	formatQuery
	format    string
	identity  string
	suspected bool
	since     time.Duration
}

func (a *app) exportCommand() *cobra.Command {
	var q exportQuery
	cmd := &cobra.Command{
		Use:   "export --format FORMAT",
		Short: "Print what is known of one identity or of all, in a format of security systems",
		Long: `Print what the topics hold now, in one format: stix (a bundle), misp (events),
navigator (a layer of the ATT&CK Navigator), or lines of ocsf, ecs, cef or leef.
With --identity of one identity, else of all.`,
		Example: `  handprint export --format misp --identity 6ec0bd7f > identity.json
  handprint export --format stix --suspected > suspected.json
  handprint export --format navigator > layer.json
  handprint export --format cef --since 24h`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.export(cmd.Context(), &q) },
	}
	cmd.Flags().StringVar(&q.format, "format", "", "ocsf, ecs, cef, leef, stix, misp or navigator.")
	cmd.Flags().StringVar(&q.identity, "identity", "", "Only this identity: its id, or a beginning that no other has.")
	cmd.Flags().BoolVar(&q.suspected, "suspected", false, "Only identities that several actors are suspected to share.")
	cmd.Flags().DurationVar(&q.since, "since", 0, "Only events of this long ago or less, such as 24h.")
	cmd.Flags().BoolVar(&q.rows, "rows", false, "Rows too, where a format is of events.")
	q.flags(cmd)
	complete(cmd, "format", string(siem.OCSF), string(siem.ECS), string(siem.CEF), string(siem.LEEF), siem.STIX, siem.MISPEvents, siem.NavLayer)
	if err := cmd.MarkFlagRequired("format"); err != nil {
		panic(err) // the flag is declared above
	}
	return a.configureReading(cmd, config.GroupConnection, config.GroupTopics, config.GroupSchemas, "multi-actor-confidence-cap", "registry-file")
}

func (a *app) export(ctx context.Context, q *exportQuery) error {
	out := bufio.NewWriter(a.out)
	o, err := q.options(a)
	if err != nil {
		return err
	}
	x, err := siem.NewExporter(q.format, out, o)
	if err != nil {
		return usageErrorf("flag --format: %w", err)
	}
	n := &a.cfg.Topics
	s, err := a.startSIEM(ctx, &q.formatQuery, []string{n.StateChanged, n.MultiActorSuspects, n.IdentityChanged, n.State})
	if err != nil {
		return err
	}
	defer s.close()
	wanted, err := a.exported(ctx, s, q)
	if err != nil {
		return err
	}
	least := time.Now().Add(-q.since).UnixMilli()
	err = a.scanEvents(ctx, s, func(e *siem.Event) error {
		if q.since > 0 && e.Time < least || wanted != nil && !wanted[e.Identity] && !wanted[e.Other] {
			return nil
		}
		return x.Add(e)
	}, n.StateChanged, n.MultiActorSuspects, n.IdentityChanged, n.State)
	return errors.Join(err, x.Close(), out.Flush())
}

// exported returns the identities that are asked for; nil: all.
func (a *app) exported(ctx context.Context, s *siemProcess, q *exportQuery) (map[string]bool, error) {
	if q.identity == "" && !q.suspected {
		return nil, nil
	}
	suspected, found := map[string]bool{}, map[string]bool{}
	err := a.scanEvents(ctx, s, func(e *siem.Event) error {
		if e.Kind == siem.Suspicion {
			suspected[e.Identity] = e.Status != siem.Cleared
		}
		if q.identity != "" && len(e.Identity) >= len(q.identity) && e.Identity[:len(q.identity)] == q.identity {
			found[e.Identity] = true
		}
		return nil
	}, a.cfg.Topics.MultiActorSuspects, a.cfg.Topics.State)
	if err != nil {
		return nil, err
	}
	if q.identity != "" {
		switch {
		case found[q.identity]:
			found = map[string]bool{q.identity: true}
		case len(found) == 0:
			return nil, usageErrorf("flag --identity: no identity begins with %s", q.identity)
		case len(found) > 1:
			return nil, usageErrorf("flag --identity: %d identities begin with %s", len(found), q.identity)
		}
	}
	wanted := map[string]bool{}
	for id, open := range suspected {
		wanted[id] = open && (q.identity == "" || found[id])
	}
	if !q.suspected {
		return found, nil
	}
	return wanted, nil
}

// scanEvents calls each with the events that topics hold now. A record that
// cannot be read is logged and left out.
func (a *app) scanEvents(ctx context.Context, s *siemProcess, each func(*siem.Event) error, topics ...string) error {
	return broker.Scan(ctx, s.client, func(r *kgo.Record) error {
		if err := s.reader.await(r.Value); err != nil {
			return err
		}
		e, err := s.decoder.Decode(&siem.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli()})
		if bad := (*schemas.Bad)(nil); errors.As(err, &bad) {
			a.log.Warn("a record cannot be read and is left out", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "error", err)
			return nil
		}
		if err != nil {
			return err
		}
		return each(e)
	}, topics...)
}
