package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/term"

	"handprint/ingest/cowrie"
	"handprint/ingest/network"
	"handprint/internal/broker"
	"handprint/internal/config"
)

// streams are a command's connections to the outside. Tests bring buffers.
type streams struct {
	in       io.Reader
	out, err io.Writer
	environ  []string // "NAME=value" each
}

// app is what the commands share.
type app struct {
	streams
	configFile string
	settings   *config.Set
	cfg        config.Config
	cowrie     cowrie.Settings
	network    network.Numbers
	log        *slog.Logger

	// running is set when a command's own work begins: errors from before are
	// about how it was called.
	running bool
}

func newApp(s streams) *app {
	a := &app{streams: s, cowrie: cowrie.DefaultSettings(), network: network.DefaultNumbers(), log: slog.New(slog.DiscardHandler)}
	a.settings = config.Declare(&a.cfg)
	a.settings.Group(config.GroupCowrie)
	for _, p := range a.cowrie.Params() {
		a.settings.Foreign("cowrie-"+p.Name, paramType(p), p.Default, p.Range, p.Usage, setParam(p, a.cowrie.Validate), p.Get, config.Important(config.Low))
	}
	a.settings.Group(config.GroupNetwork)
	for _, p := range a.network.Params() {
		a.settings.Foreign("network-"+p.Name, paramType(p), p.Default, p.Range, p.Usage, setParam(p, a.network.Validate), p.Get, config.Important(config.Low))
	}
	return a
}

// setParam returns the function that sets p; validate looks at it and at the
// others. A value out of range is an error of that setting; how two settings go
// together is looked at when all are set.
func setParam(p cowrie.Param, validate func() error) func(string) error {
	about := "setting " + p.Name + ": "
	return func(text string) error {
		if text == p.Get() {
			return nil // as at each start, when all settings get their defaults
		}
		err := p.Set(text)
		if err == nil {
			if err = validate(); err == nil || !strings.HasPrefix(err.Error(), about) {
				return nil
			}
		}
		return errors.New(strings.TrimPrefix(err.Error(), about))
	}
}

// paramType names the kind of a setting of an adapter by its notation.
func paramType(p cowrie.Param) string {
	if _, err := time.ParseDuration(p.Default); err == nil && strings.HasSuffix(p.Default, "s") {
		return "duration"
	}
	if _, err := strconv.ParseBool(p.Default); err == nil && strings.HasSuffix(p.Default, "e") {
		return "boolean"
	}
	return "number"
}

// configure gives cmd the flags of setting groups, or of settings by their
// names, and makes it read the configuration before it runs. Every command
// that needs a setting goes through here.
func (a *app) configure(cmd *cobra.Command, groupsOrNames ...string) *cobra.Command {
	a.settings.Flags(cmd.Flags(), groupsOrNames...)
	cmd.PreRunE = func(*cobra.Command, []string) error { return a.load() }
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a.running = true
		return run(cmd, args)
	}
	return cmd
}

// writeSettings decide how records and topics are written. A command that writes
// nothing takes them, since one file of settings serves all commands, and does
// not list them.
var writeSettings = []string{"replication-factor", "retention", "profile-retention", "output-format", "schema-auto-register"}

// configureReading is configure for a command that only reads.
func (a *app) configureReading(cmd *cobra.Command, groupsOrNames ...string) *cobra.Command {
	a.configure(cmd, groupsOrNames...)
	for _, name := range writeSettings {
		if f := cmd.Flags().Lookup(name); f != nil {
			f.Hidden = true
		}
	}
	return cmd
}

// load reads the configuration and sets up the log.
func (a *app) load() error {
	warnings, err := a.settings.Load(a.configFile, a.environ)
	if err == nil {
		err = a.cfg.Finish(a.settings)
	}
	if err == nil {
		if err = a.cowrie.Validate(); err != nil {
			err = fmt.Errorf("cowrie: %w", err)
		} else if err = a.network.Validate(); err != nil {
			err = fmt.Errorf("network: %w", err)
		}
	}
	if err != nil {
		return &codeError{exitUsage, err}
	}
	a.log = a.newLogger()
	for _, w := range warnings {
		a.log.Warn(w)
	}
	return nil
}

// newLogger returns the log that the settings ask for, on standard error.
func (a *app) newLogger() *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.cfg.Logging.Level)); err != nil {
		level = slog.LevelInfo // the setting allows only words that slog knows
	}
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: plainError}
	if a.cfg.Logging.Format == "json" || a.cfg.Logging.Format == "auto" && !isTerminal(a.err) {
		return slog.New(slog.NewJSONHandler(a.err, o))
	}
	return slog.New(slog.NewTextHandler(a.err, o))
}

// env returns an environment variable, empty if it is not set.
func (a *app) env(name string) string {
	for _, kv := range a.environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// coloured reports whether output may have colours: on a terminal that knows
// them, if nobody said otherwise (https://no-color.org).
func (a *app) coloured() bool {
	return isTerminal(a.out) && a.env("NO_COLOR") == "" && a.env("TERM") != "dumb"
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// clientOpts returns what every client of the cluster needs.
func (a *app) clientOpts() ([]kgo.Opt, error) {
	opts, err := a.cfg.Connection.ClientOpts()
	if err != nil {
		return nil, &codeError{exitUsage, err}
	}
	return opts, nil
}

// connect returns a client of the cluster, which has answered. The caller
// closes it.
func (a *app) connect(ctx context.Context, more ...kgo.Opt) (*kgo.Client, error) {
	return a.connectBy(ctx, broker.Reach, more...)
}

// awaitCluster is connect for a process that is started before the brokers, or
// while they are down: it waits for them as long as connect-timeout says. A
// person who asks something is told at once that nobody listens.
func (a *app) awaitCluster(ctx context.Context) (*kgo.Client, error) {
	return a.connectBy(ctx, func(ctx context.Context, cl *kgo.Client, timeout time.Duration) error {
		return broker.Await(ctx, cl, timeout, func(err error) {
			a.log.Warn("no broker answers, trying again", "for", timeout.String(), "error", err)
		})
	})
}

func (a *app) connectBy(ctx context.Context, reach func(context.Context, *kgo.Client, time.Duration) error, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := a.clientOpts()
	if err != nil {
		return nil, err
	}
	// Commands ask a few questions and go: the client need not spare the
	// brokers by answering from what it asked before.
	opts = append(opts, kgo.MetadataMinAge(100*time.Millisecond))
	cl, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return nil, usageErrorf("making a client: %w", err)
	}
	if err := reach(ctx, cl, a.cfg.Connection.Timeout); err != nil {
		cl.Close()
		return nil, err
	}
	return cl, nil
}

// specs returns the topics of the application as they have to be.
func (a *app) specs() []broker.TopicSpec { return a.cfg.Topics.Specs(a.cfg.Layout) }

// requireTopics returns an error if one of the topics is missing or, if fit is
// set, does not fit its spec.
func (a *app) requireTopics(ctx context.Context, cl *kgo.Client, fit bool, names ...string) error {
	var wanted []broker.TopicSpec
	for _, name := range names {
		spec := broker.TopicSpec{Name: name, Partitions: 1, AnyPartitions: true}
		for _, s := range a.specs() {
			if fit && s.Name == name {
				spec = s
			}
		}
		wanted = append(wanted, spec)
	}
	problems, err := broker.Check(ctx, cl, wanted)
	if err != nil {
		return err
	}
	return topicsError(problems)
}

// topicsError makes one line of the problems that are no advice, nil of none.
func topicsError(problems []broker.Problem) error {
	problems = broker.Needed(problems)
	switch len(problems) {
	case 0:
		return nil
	case 1:
		return &codeError{exitTopics, fmt.Errorf("%s", problems[0])}
	}
	return &codeError{exitTopics, fmt.Errorf("%s; and %d more, which `handprint topics check` lists", problems[0], len(problems)-1)}
}
