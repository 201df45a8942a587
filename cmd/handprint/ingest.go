package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"handprint/ingest"
	"handprint/ingest/behave"
	"handprint/ingest/cowrie"
	"handprint/internal/config"
)

// ingestQuery is what the flags of `handprint ingest` ask for.
type ingestQuery struct {
	stdout     bool
	topic      string
	group      string
	untilEnd   bool
	closeAtEnd bool
	format     string // empty: the output format that is configured
	letters    letterText
	sortWithin time.Duration
	addresses  bool // the sensor's adapter knows attackers' addresses
	follow     bool
	positions  string
}

// letterText is the flag --dead-letter-text.
type letterText struct{ ingest.LetterText }

func (t *letterText) String() string {
	return map[ingest.LetterText]string{ingest.NoText: "none", ingest.MaskedText: "masked", ingest.WholeText: "all"}[t.LetterText]
}

// Type implements pflag.Value.
func (t *letterText) Type() string { return "masked|all" }

// Set implements pflag.Value.
func (t *letterText) Set(text string) error {
	switch text {
	case "none":
		t.LetterText = ingest.NoText
	case "masked":
		t.LetterText = ingest.MaskedText
	case "all":
		t.LetterText = ingest.WholeText
	default:
		return errors.New("must be none, masked or all")
	}
	return nil
}

func (a *app) ingestCommand() *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "ingest",
		Short: "Turn sensor logs into observations",
		Example: `  handprint ingest cowrie --brokers a:9092 /var/log/cowrie/cowrie.json.2026-*
  zcat old.gz | handprint ingest cowrie --stdout -
  handprint ingest behave --brokers a:9092 observations.ndjson`,
	})
	cmd.AddCommand(a.ingestCowrieCommand(), a.ingestNetworkCommand("zeek"), a.ingestNetworkCommand("suricata"), a.ingestBehaveCommand(), a.ingestServeCommand())
	return cmd
}

func (a *app) ingestCowrieCommand() *cobra.Command {
	var q ingestQuery
	cmd := &cobra.Command{
		Use:   "cowrie FILE... | --topic NAME",
		Short: "Read Cowrie's JSON log",
		Long: `Read Cowrie's JSON log and send what it shows of its sessions as observations.
Commands, passwords, user names and keys never leave this command.

Files are read in the order of their first lines; they may be packed (gzip, zstd,
xz, bzip2, tar), and the events wrapped by a shipper (docs/sensors.md); - is
standard input. Reading a log twice does no harm: observations keep their ids.

Lines that cannot be used go to the dead-letter topic, as where they stood, why,
their length and a digest; --dead-letter-text adds what may be told of them. At
the end, and every 30 s, is said what has become of all lines. If none of the
first 1,000 can be used, reading stops with exit code 8.

Every number of docs/cowrie.md is a setting that begins with cowrie-, as a flag
too; docs/configuration.md lists them.

With --topic the log is read from Kafka, where Cowrie can write it, and followed
until interrupted. The next run goes on where the oldest open session began. With
--follow files and folders are followed in the same way, through rotations.`,
		Example: `  handprint ingest cowrie --brokers a:9092 cowrie.json.2026-08-0*.gz cowrie.json
  handprint ingest cowrie --stdout cowrie.json | jq .primitive
  handprint ingest cowrie --brokers a:9092 --topic cowrie
  handprint ingest cowrie --brokers a:9092 --follow --positions /var/lib/handprint/cowrie.json /home/cowrie/var/log/cowrie/cowrie.json
  handprint ingest cowrie --cowrie-session-timeout 10m cowrie.json`,
		RunE: func(cmd *cobra.Command, files []string) error { return a.ingestCowrie(cmd.Context(), &q, files) },
	}
	q.flags(cmd)
	q.topicFlags(cmd, "cowrie")
	cmd.Flags().DurationVar(&q.sortWithin, "sort", 0, "Put lines in order of time that run backwards by up to this; --sort alone is 24h. Takes up to 64 MB.")
	cmd.Flags().Lookup("sort").NoOptDefVal = "24h"
	cmd.Flags().BoolVar(&q.closeAtEnd, "close-at-end", false, "With --until-end: take sessions that are open then for ended.")
	return a.configure(cmd, config.GroupConnection, "application-id", config.GroupTopics, config.GroupSchemas, "max-ahead", "addresses", config.GroupCowrie)
}

func (a *app) ingestBehaveCommand() *cobra.Command {
	var q ingestQuery
	cmd := &cobra.Command{
		Use:   "behave FILE...",
		Short: "Read observations that are made already, one JSON object a line",
		Long: `Read observations as JSON, one a line, and send them as they are. Files may be
gzipped; - is standard input. Lines that are no JSON objects go to the
dead-letter topic; whether the others are good observations is for the pipeline
to say.`,
		Example: `  handprint ingest behave --brokers a:9092 observations.ndjson.gz
  sensor | handprint ingest behave --brokers a:9092 -`,
		RunE: func(cmd *cobra.Command, files []string) error { return a.ingestBehave(cmd.Context(), &q, files) },
	}
	q.flags(cmd)
	return a.configure(cmd, config.GroupConnection, config.GroupTopics, config.GroupSchemas)
}

// topicFlags declares the flags about a topic.
func (q *ingestQuery) topicFlags(cmd *cobra.Command, sensor string) {
	cmd.Flags().StringVar(&q.topic, "topic", "", "Read this Kafka topic instead of files.")
	cmd.Flags().StringVar(&q.group, "group", "", "Consumer group that remembers how far the topic is read. (default <application id>-ingest-"+sensor+")")
	cmd.Flags().BoolVar(&q.untilEnd, "until-end", false, "With --topic or --follow: end with the last line that is there now.")
	cmd.Flags().BoolVar(&q.follow, "follow", false, "Follow files and folders as they grow, through rotations, until interrupted; go on where the last run ended.")
	cmd.Flags().StringVar(&q.positions, "positions", "", "File in which --follow keeps how far it has read. (default handprint-ingest-"+sensor+".json here)")
}

func (q *ingestQuery) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&q.stdout, "stdout", false, "Print the observations, one JSON object a line, instead of sending them. Needs no broker.")
	cmd.Flags().StringVar(&q.format, "format", "", "Send json or avro; avro needs --schema-registry-url. (default as --output-format)")
	complete(cmd, "format", "json", "avro")
	cmd.Flags().Var(&q.letters, "dead-letter-text", "Keep of lines that cannot be used what may be told (masked, what --dead-letter-text alone means), or all, passwords too.")
	cmd.Flags().Lookup("dead-letter-text").NoOptDefVal = "masked"
	complete(cmd, "dead-letter-text", "masked", "all")
}

// check refuses flags that make no sense together.
func (q *ingestQuery) check(files []string) error {
	switch {
	case q.format != "" && q.format != "json" && q.format != "avro":
		return usageErrorf("flag --format: must be json or avro, is %s", q.format)
	case q.format == "avro" && q.stdout:
		return usageErrorf("flag --format: --stdout prints JSON")
	case q.topic == "" && len(files) == 0:
		return usageErrorf("no files given; - is standard input")
	case q.topic != "" && len(files) > 0:
		return usageErrorf("flag --topic: cannot be used together with files")
	case q.topic != "" && q.follow:
		return usageErrorf("flag --follow: a topic is followed anyway")
	case q.positions != "" && !q.follow:
		return usageErrorf("flag --positions: needs --follow")
	case q.follow && q.sortWithin > 0:
		return usageErrorf("flag --sort: cannot be used together with --follow")
	case q.follow && slices.Contains(files, ingest.Stdin):
		return usageErrorf("flag --follow: standard input cannot be followed")
	case q.topic == "" && (q.untilEnd && !q.follow || q.group != ""):
		return usageErrorf("flags --until-end and --group: need --topic")
	case q.closeAtEnd && !q.untilEnd:
		return usageErrorf("flag --close-at-end: needs --until-end")
	}
	return nil
}

func (a *app) ingestCowrie(ctx context.Context, q *ingestQuery, files []string) error {
	if err := q.check(files); err != nil {
		return err
	}
	q.addresses = true
	settings := a.cowrie
	settings.OpaqueSource, settings.MaxAhead = a.warnOpaque, a.cfg.Values.MaxAhead
	adapt := func(s ingest.Sink) (*cowrie.Adapter, error) { return cowrie.New(settings, s.Observation, s.Dead) }
	if q.topic != "" {
		settings.EndedEvent = func(sensor, session string) {
			a.log.Warn("events came after their session's end: the topic must have one partition or be keyed by session; such events are ignored",
				"topic", q.topic, "sensor", sensor, "session", session)
		}
		return a.ingestTopic(ctx, q, "cowrie", func(s ingest.Sink) (ingest.Positioned, error) { return adapt(s) })
	}
	if q.follow {
		return a.ingestFollow(ctx, q, "cowrie", files, func(s ingest.Sink) (ingest.Positioned, error) { return adapt(s) })
	}
	return a.ingestFiles(ctx, q, files, func(s ingest.Sink) (ingest.Adapter, error) { return adapt(s) })
}

// warnOpaque warns that a log has something else than addresses.
func (a *app) warnOpaque(form string) {
	a.log.Warn("src_ip is no IP address: its text stands for an attacker, by an opaque id", "form", form)
}

func (a *app) ingestBehave(ctx context.Context, q *ingestQuery, files []string) error {
	if err := q.check(files); err != nil {
		return err
	}
	return a.ingestFiles(ctx, q, files, func(s ingest.Sink) (ingest.Adapter, error) { return behave.New(s.Record, s.Dead), nil })
}

// ingestFiles reads files through an adapter into the sink that q asks for.
func (a *app) ingestFiles(ctx context.Context, q *ingestQuery, files []string, adapt func(ingest.Sink) (ingest.Adapter, error)) error {
	for _, name := range files {
		if name == ingest.Stdin {
			continue
		}
		// Looked at first, so that a wrong name sends nothing.
		if err := readable(name); err != nil {
			return err
		}
	}
	sink, done, err := a.sink(ctx, q)
	if err != nil {
		return err
	}
	run := ingest.Files{Names: files}
	total := run.TotalSize()
	if p, ok := sink.(*printingSink); ok {
		p.atOnce = total == 0 // somebody may be waiting for each line of a pipe
	}
	run.Progress = a.progress(total)
	run.LetterText, run.SortWithin = q.letters.LetterText, q.sortWithin
	run.Warn, run.Report = a.warn, a.tell
	result, err := run.Run(ctx, sink, adapt)
	err = errors.Join(err, done(ctx))
	a.conclude(result.Tally)
	return unusable(err)
}

func (a *app) warn(text string) { a.log.Warn(text) }

// tell says what has become of the lines.
func (a *app) tell(t ingest.Tally) { fmt.Fprintln(a.err, t.String()) }

// conclude does so at the end, with what a user should know.
func (a *app) conclude(t ingest.Tally) {
	a.tell(t)
	for _, note := range t.Notes {
		a.log.Warn(note)
	}
}

// unusable gives an error the exit code of an input that is no log of the
// sensor, if it says that.
func unusable(err error) error {
	var u *ingest.UnusableError
	if errors.As(err, &u) {
		return &codeError{exitUnusable, err}
	}
	return err
}

// readable returns an error that names the file if it is none to read.
func readable(name string) error {
	info, err := os.Stat(name)
	if err == nil && info.IsDir() {
		return usageErrorf("%s: is a folder", name)
	}
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return usageErrorf("%s: %w", name, pe.Err)
	}
	return err
}

// ingestTopic reads a Kafka topic through an adapter into the sink that q asks
// for.
func (a *app) ingestTopic(ctx context.Context, q *ingestQuery, sensor string, adapt func(ingest.Sink) (ingest.Positioned, error)) error {
	opts, err := a.clientOpts()
	if err != nil {
		return err
	}
	cl, err := a.connect(ctx)
	if err != nil {
		return err
	}
	err = a.requireTopics(ctx, cl, false, q.topic)
	cl.Close()
	if err != nil {
		return err
	}
	sink, done, err := a.sink(ctx, q)
	if err != nil {
		return err
	}
	run := ingest.Topic{
		Brokers: a.cfg.Connection.Brokers, Name: q.topic, Group: q.group, UntilEnd: q.untilEnd, CloseAtEnd: q.closeAtEnd,
		Progress: a.progress(0), Log: a.log, Options: opts,
	}
	if run.Group == "" {
		run.Group = a.cfg.Application.ID + "-ingest-" + sensor
	}
	run.LetterText, run.Report, run.AnyOrder = q.letters.LetterText, a.tell, sensor != "cowrie"
	result, err := run.Run(ctx, sink, adapt)
	err = errors.Join(err, done(ctx))
	a.conclude(result.Tally)
	return unusable(err)
}

// ingestFollow follows files through adapters into the sink that q asks for.
func (a *app) ingestFollow(ctx context.Context, q *ingestQuery, sensor string, paths []string, adapt func(ingest.Sink) (ingest.Positioned, error)) error {
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return usageErrorf("%w", err)
		} else if err != nil {
			a.log.Warn("there is no such file yet: it is waited for", "path", path)
		}
	}
	sink, done, err := a.sink(ctx, q)
	if err != nil {
		return err
	}
	if p, ok := sink.(*printingSink); ok {
		p.atOnce = true
	}
	run := ingest.Follow{
		Paths: paths, State: cmp.Or(q.positions, "handprint-ingest-"+sensor+".json"), UntilEnd: q.untilEnd,
		LetterText: q.letters.LetterText, Report: a.tell, Log: a.log,
	}
	result, err := run.Run(ctx, sink, adapt)
	err = errors.Join(err, done(ctx))
	a.conclude(result.Tally)
	return unusable(err)
}
