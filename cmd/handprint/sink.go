package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/admin"
	"handprint/internal/broker"
	"handprint/internal/config"
	"handprint/siem"
	"handprint/siem/deliver"
)

func (a *app) sinkCommand() *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "sink",
		Short: "Deliver what handprint says to security systems",
		Example: `  handprint sink run --sinks sinks.yaml --brokers a:9092
  handprint sink lag --sinks sinks.yaml`,
	})
	cmd.AddCommand(a.sinkRunCommand(), a.sinkLagCommand(), a.sinkCheckCommand(), a.sinkTemplateCommand())
	return cmd
}

// sinkFlags adds what commands of sinks have.
func sinkFlags(cmd *cobra.Command, file *string, only *[]string) {
	cmd.Flags().StringVar(file, "sinks", "sinks.yaml", "File of sinks; docs/siem.md describes it.")
	cmd.Flags().StringSliceVar(only, "only", nil, "Only these sinks of the file.")
}

// readSinks reads the sinks that are asked for.
func readSinks(file string, only []string) ([]deliver.Sink, error) {
	all, err := deliver.ReadSinks(file)
	if err != nil {
		return nil, usageErrorf("%w", err)
	}
	if len(only) == 0 {
		return all, nil
	}
	var chosen []deliver.Sink
	for _, name := range only {
		i := slices.IndexFunc(all, func(s deliver.Sink) bool { return s.Name == name })
		if i < 0 {
			return nil, usageErrorf("flag --only: %s has no sink %s", file, name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func (a *app) sinkRunCommand() *cobra.Command {
	var (
		q    formatQuery
		file string
		only []string
	)
	fromNow := false
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Deliver events until interrupted",
		Long: `Deliver events to the receivers that a file of sinks names: Elasticsearch,
OpenSearch, Splunk, syslog, webhooks, files, a MISP feed, TAXII. Each sink reads
in a consumer group of its own (<application id>-sink-NAME), so none waits for
another, and a slow receiver never slows attribution. Offsets are committed
behind what a receiver has; what it will never take is in the dead letters, with
the reason.`,
		Example: `  handprint sink run --sinks sinks.yaml --brokers a:9092
  handprint sink run --only elastic --admin-listen 127.0.0.1:9465`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.sinkRun(cmd.Context(), &q, file, only, fromNow) },
	}
	sinkFlags(cmd, &file, &only)
	cmd.Flags().BoolVar(&fromNow, "from-now", false, "Begin with what comes from now on, where a sink has not read anything yet.")
	q.flags(cmd)
	return a.configure(cmd, config.GroupConnection, "application-id", config.GroupTopics, config.GroupSchemas, "multi-actor-confidence-cap", config.GroupAdmin, "registry-file")
}

func (a *app) sinkRun(ctx context.Context, q *formatQuery, file string, only []string, fromNow bool) error {
	sinks, err := readSinks(file, only)
	if err != nil {
		return err
	}
	needed := []string{a.cfg.Topics.DeadLetter}
	names := a.siemTopics()
	for i := range sinks {
		needed = append(needed, sinks[i].Topics(&names)...)
	}
	slices.Sort(needed)
	s, err := a.startSIEM(ctx, q, slices.Compact(needed))
	if err != nil {
		return err
	}
	defer s.close()
	var loops []*deliver.Loop
	var parts []func(context.Context) error
	for i := range sinks {
		sink := &sinks[i]
		receiver, err := sink.Open(s.options)
		if err != nil {
			return usageErrorf("%s: sink %s: %w", file, sink.Name, err)
		}
		source, err := deliver.NewKafka(deliver.KafkaConfig{
			Sink: sink.Name, Group: a.sinkGroup(sink), Topics: sink.Topics(&names), DeadLetter: a.cfg.Topics.DeadLetter,
			FromNow: fromNow, Options: s.opts, DeadLetterValue: s.deadLetterValue,
		})
		if err != nil {
			return err
		}
		defer source.Close()
		judge := siem.NewFormatter(siem.ECS, s.options.Options)
		loop := deliver.NewLoop(deliver.Config{
			Name: sink.Name, Type: sink.Type, Source: source, Receiver: receiver, Decoder: s.decoder, Await: s.reader.await,
			Filter: sink.Filter(judge.Severity), Pace: sink.Pace(), Log: a.log,
		})
		loops, parts = append(loops, loop), append(parts, loop.Run)
		a.log.Info("delivering", "sink", sink.Name, "type", sink.Type, "group", a.sinkGroup(sink))
		if sink.Type == "syslog" && sink.Network == "udp" {
			a.log.Warn("syslog over UDP promises nothing: events may be lost without a trace", "sink", sink.Name)
		}
	}
	s.show(admin.Source{Sinks: func() []deliver.Status {
		all := make([]deliver.Status, len(loops))
		for i, l := range loops {
			all[i] = l.Status()
		}
		return all
	}})
	return s.run(ctx, parts...)
}

func (a *app) siemTopics() siem.Topics {
	n := &a.cfg.Topics
	return siem.Topics{StateChanged: n.StateChanged, Suspected: n.MultiActorSuspects, IdentityChanged: n.IdentityChanged, State: n.State}
}

func (a *app) sinkGroup(s *deliver.Sink) string { return a.cfg.Application.ID + "-sink-" + s.Name }

func (a *app) sinkCheckCommand() *cobra.Command {
	var file string
	var only []string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a file of sinks, without connecting anywhere",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			a.running = true
			sinks, err := readSinks(file, only)
			if err != nil {
				return err
			}
			for i := range sinks {
				if _, err := sinks[i].Open(siem.ExportOptions{}); err != nil {
					return usageErrorf("%s: sink %s: %w", file, sinks[i].Name, err)
				}
				fmt.Fprintf(a.out, "%s: %s, good\n", sinks[i].Name, sinks[i].Type)
			}
			return nil
		},
	}
	sinkFlags(cmd, &file, &only)
	return cmd
}

func (a *app) sinkTemplateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "template events|rows",
		Short: "Print the index template that Elasticsearch and OpenSearch need",
		Long: `Print an index template for Elasticsearch and OpenSearch: of the data streams of
events, or of the index of rows. It is put at _index_template/NAME before the
first event comes.`,
		Example: `  handprint sink template events | curl -XPUT -H 'Content-Type: application/json' --data-binary @- https://opensearch:9200/_index_template/handprint-events
  handprint sink template rows | curl -XPUT -H 'Content-Type: application/json' --data-binary @- https://opensearch:9200/_index_template/handprint-state`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: []string{"events", "rows"},
		RunE: func(_ *cobra.Command, args []string) error {
			a.running = true
			var text []byte
			switch args[0] {
			case "events":
				text = deliver.EventsTemplate()
			case "rows":
				text = deliver.RowsTemplate()
			default:
				return usageErrorf("the template must be events or rows, is %s", args[0])
			}
			_, err := a.out.Write(text)
			return err
		},
	}
}

func (a *app) sinkLagCommand() *cobra.Command {
	var file string
	var only []string
	asJSON := false
	cmd := &cobra.Command{
		Use:   "lag",
		Short: "Show how far each sink is behind, and how old its oldest undelivered event is",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.sinkLag(cmd.Context(), file, only, asJSON) },
	}
	sinkFlags(cmd, &file, &only)
	cmd.Flags().BoolVar(&asJSON, "json", false, "Print JSON, one object a sink.")
	return a.configure(cmd, config.GroupConnection, "application-id", config.GroupTopics)
}

// sinkBehind is how far a sink is behind.
type sinkBehind struct {
	Sink    string `json:"sink"`
	Group   string `json:"group"`
	Members int    `json:"members"`
	Lag     int64  `json:"lag"`
	// Oldest is the age of the oldest undelivered record, in seconds; absent if
	// there is none.
	Oldest *float64 `json:"oldest_seconds,omitempty"`
}

func (a *app) sinkLag(ctx context.Context, file string, only []string, asJSON bool) error {
	sinks, err := readSinks(file, only)
	if err != nil {
		return err
	}
	cl, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	names := a.siemTopics()
	for i := range sinks {
		b, err := a.behind(ctx, cl, &sinks[i], &names)
		if err != nil {
			return err
		}
		if asJSON {
			if err := json.NewEncoder(a.out).Encode(b); err != nil {
				return err
			}
			continue
		}
		text := "no events are waiting"
		if b.Lag > 0 {
			text = strconv.FormatInt(b.Lag, 10) + " records behind"
		}
		if b.Oldest != nil {
			text += ", the oldest " + time.Duration(*b.Oldest*float64(time.Second)).Round(time.Second).String() + " old"
		}
		if b.Members == 0 {
			text += "; no process delivers"
		}
		fmt.Fprintf(a.out, "%s: %s\n", b.Sink, text)
	}
	return nil
}

// behind works out how far a sink is behind: markers of transactions count in the
// lag of its topics, so what is left is looked at, partition by partition.
func (a *app) behind(ctx context.Context, cl *kgo.Client, s *deliver.Sink, names *siem.Topics) (sinkBehind, error) {
	b := sinkBehind{Sink: s.Name, Group: a.sinkGroup(s)}
	adm := kadm.NewClient(cl)
	groups, err := adm.DescribeGroups(ctx, b.Group)
	if err == nil {
		b.Members = len(groups[b.Group].Members)
	}
	committed, err := adm.FetchOffsets(ctx, b.Group)
	if err != nil && !strings.Contains(err.Error(), "GROUP_ID_NOT_FOUND") {
		return b, fmt.Errorf("asking for the offsets of %s: %w", b.Group, err)
	}
	starts, err := adm.ListStartOffsets(ctx, s.Topics(names)...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return b, fmt.Errorf("asking for the oldest offsets: %w", err)
	}
	var oldest time.Time
	for topic, partitions := range starts {
		for p, start := range partitions {
			from := start.Offset
			if at, ok := committed.Lookup(topic, p); ok {
				from = max(from, at.At)
			}
			n, err := broker.CountFrom(ctx, cl, topic, p, from)
			if err != nil {
				return b, err
			}
			if b.Lag += n; n == 0 {
				continue
			}
			if at, err := firstTime(ctx, cl, topic, p, from); err == nil && (oldest.IsZero() || at.Before(oldest)) {
				oldest = at
			}
		}
	}
	if !oldest.IsZero() {
		age := max(time.Since(oldest).Seconds(), 0)
		b.Oldest = &age
	}
	return b, nil
}

// firstTime returns the timestamp of the first record at or behind an offset.
func firstTime(ctx context.Context, cl *kgo.Client, topic string, partition int32, from int64) (at time.Time, err error) {
	found := fmt.Errorf("found")
	err = broker.ScanRange(ctx, cl, func(r *kgo.Record) error {
		if r.Offset < from {
			return nil
		}
		at = r.Timestamp
		return found
	}, topic, partition, from, from+1<<40)
	if at.IsZero() {
		return at, err
	}
	return at, nil
}
