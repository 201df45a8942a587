package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"handprint/internal/admin"
	"handprint/internal/broker"
	"handprint/internal/config"
	"handprint/internal/metrics"
	"handprint/schemas"
	"handprint/siem"
	"handprint/siem/deliver"
)

func (a *app) formatRunCommand() *cobra.Command {
	var q formatQuery
	var to, instance string
	fromNow, create := false, false
	cmd := &cobra.Command{
		Use:   "run --to FORMAT",
		Short: "Keep a topic of formatted events up to date, exactly once",
		Long: `Format transitions, suspicions and identity changes as they come, and write them
to the topic attribution.siem.FORMAT, for whoever delivers from Kafka: Kafka
Connect, Vector, Fluent Bit. What is written and how far was read are committed
in one transaction. The consumer group is <application id>-format-FORMAT; several
processes share its work.`,
		Example: `  handprint format run --to ecs --brokers a:9092 --create
  handprint format run --to cef --rows --from now`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.formatRun(cmd.Context(), &q, to, instance, fromNow, create)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "ocsf, ecs, cef or leef.")
	cmd.Flags().BoolVar(&q.rows, "rows", false, "Write rows and their deletions too.")
	cmd.Flags().StringVar(&instance, "instance", "", "Name of this process among those of the group, for its transactional id. (default the host's name and a number that no other process here has)")
	cmd.Flags().BoolVar(&fromNow, "from-now", false, "Begin with what comes from now on, if the group has not read anything yet.")
	cmd.Flags().BoolVar(&create, "create", false, "Create the topic if it is not there.")
	q.flags(cmd)
	complete(cmd, "to", string(siem.OCSF), string(siem.ECS), string(siem.CEF), string(siem.LEEF))
	if err := cmd.MarkFlagRequired("to"); err != nil {
		panic(err) // the flag is declared above
	}
	return a.configure(cmd, config.GroupConnection, config.GroupApplication, config.GroupTopics, config.GroupSchemas, "multi-actor-confidence-cap", config.GroupAdmin, "registry-file")
}

func (a *app) formatRun(ctx context.Context, q *formatQuery, to, instance string, fromNow, create bool) error {
	format, err := siem.ParseFormat(to)
	if err != nil {
		return usageErrorf("flag --to: must be ocsf, ecs, cef or leef, is %s", to)
	}
	n := &a.cfg.Topics
	spec := n.Formatted(to, a.cfg.Layout)
	topics := []string{n.StateChanged, n.MultiActorSuspects, n.IdentityChanged}
	if q.rows {
		topics = append(topics, n.State)
	}
	s, err := a.startSIEM(ctx, q, append([]string{n.DeadLetter}, topics...))
	if err != nil {
		return err
	}
	defer s.close()
	if create {
		if _, err := broker.Ensure(ctx, s.client, []broker.TopicSpec{spec}); err != nil {
			return err
		}
	}
	if err := a.requireTopics(ctx, s.client, false, spec.Name); err != nil {
		return fmt.Errorf("%w: --create makes it", err)
	}
	group := a.cfg.Application.ID + "-format-" + to
	if instance == "" {
		name, release, err := formatInstance(os.TempDir(), group)
		if err != nil {
			return err
		}
		defer release()
		instance = name
	}
	stream := deliver.NewStream(deliver.StreamConfig{
		Group: group, Instance: instance, Topics: topics, Output: spec.Name, DeadLetter: n.DeadLetter,
		FromNow: fromNow, Decoder: s.decoder, Await: s.reader.await, Formatter: siem.NewFormatter(format, s.options.Options), Options: s.opts, Log: a.log,
		Timeout: a.cfg.Runtime.TransactionTimeout, DeadLetterValue: s.deadLetterValue,
	})
	s.show(admin.Source{Formats: func() []metrics.FormatCounts {
		formatted, dead, filtered := stream.Counts()
		return []metrics.FormatCounts{{Format: to, Formatted: formatted, Dead: dead, Filtered: filtered}}
	}})
	a.log.Info("formatting", "format", to, "topic", spec.Name)
	return s.run(ctx, stream.Run)
}

// siemProcess is what format run and sink run have in common: a cluster that has
// answered, what makes events of records, and the table of addresses.
type siemProcess struct {
	app             *app
	options         siem.ExportOptions
	opts            []kgo.Opt
	client          *kgo.Client
	reader          recordReader
	decoder         *siem.Decoder
	addresses       *deliver.AddressFeed // nil: none are asked for
	observers       *observers
	deadLetterValue func([]byte, []kgo.RecordHeader) []byte
}

// startSIEM connects, looks for the topics, and reads the addresses that there
// are. The caller closes what it returns.
func (a *app) startSIEM(ctx context.Context, q *formatQuery, topics []string) (_ *siemProcess, err error) {
	s := &siemProcess{app: a}
	if s.options, err = q.options(a); err != nil {
		return nil, err
	}
	if s.decoder, err = q.decoder(a); err != nil {
		return nil, err
	}
	if s.decoder.Registry, err = a.primitives(); err != nil {
		return nil, err
	}
	if s.opts, err = a.clientOpts(); err != nil {
		return nil, err
	}
	if s.observers, err = a.startObservers(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.client, err = a.awaitCluster(ctx); err != nil {
		return nil, err
	}
	n := &a.cfg.Topics
	if q.addresses {
		topics = append(topics, n.Profiles, n.Identities)
	}
	if err = a.requireTopics(ctx, s.client, false, topics...); err != nil {
		return nil, err
	}
	if s.reader, err = a.recordReader(ctx); err != nil {
		return nil, err
	}
	s.decoder.Writers = s.reader.Writers
	dead, err := a.inputFormat(ctx, a.cfg.Schemas.OutputFormat, schemas.DeadLetterContract)
	if err != nil {
		return nil, err
	}
	s.deadLetterValue = dead.DeadLetterValue
	if q.addresses {
		s.addresses = &deliver.AddressFeed{Profiles: n.Profiles, Identities: n.Identities, Table: s.decoder.Addresses, Writers: s.reader.Writers, Await: s.reader.await, Options: s.opts, Log: a.log}
		if err = s.addresses.Load(ctx, s.client); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// show lets the process be seen.
func (s *siemProcess) show(from admin.Source) {
	from.Version = readVersion().Version
	if s.observers.server != nil {
		s.observers.server.Attach(from)
	}
}

// run runs the parts of a process, and the table of addresses beside them, until
// ctx ends or one fails.
func (s *siemProcess) run(ctx context.Context, parts ...func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	if s.addresses != nil {
		parts = append(parts, s.addresses.Run)
	}
	for _, part := range parts {
		group.Go(func() error { return part(ctx) })
	}
	err := group.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (s *siemProcess) close() {
	if s.client != nil {
		s.client.Close()
	}
	s.observers.close(s.app)
}
