package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/admin"
	"handprint/internal/broker"
	"handprint/internal/config"
	"handprint/internal/operations"
	"handprint/processor"
	"handprint/schemas"
	"handprint/serve"
	"handprint/serve/api"
	"handprint/serve/guard"
	"handprint/serve/ui"
	"handprint/topology"
)

func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the API and the analysts' pages",
		Long: `Follow what an application publishes, and serve it: an HTTP API and pages for
analysts. It reads topics only, keeps a copy of its own, and takes nothing from the
instances that run the application. Any number of these may run; each answers alone.

Without tokens it listens on this machine only, and prints a link that logs in.
With --admin-listen there are metrics, /livez, and /readyz, which answers once the
catalogue is complete.`,
		Example: `  handprint serve --brokers a:9092 --application-id soc --partitions 12
  handprint serve --web-listen 0.0.0.0:8480 --web-tls-cert cert.pem --web-tls-key key.pem --token-file tokens.json --web-hosts handprint.soc.example`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context()) },
	}
	return a.configureReading(cmd, config.GroupConnection, config.GroupApplication, config.GroupTopics, config.GroupThresholds, config.GroupValues,
		config.GroupSchemas, config.GroupWeb, "store-cache", "admin-listen")
}

func (a *app) serve(ctx context.Context) error {
	client, err := a.clientOpts()
	if err != nil {
		return err
	}
	observed, err := a.startObservers(ctx)
	if err != nil {
		return err
	}
	defer observed.close(a)
	web, err := a.openWeb(guard.Read, a.cfg.Web.Dir)
	if err != nil {
		return err
	}
	defer web.close()
	if err := a.reachForServing(ctx); err != nil {
		return err
	}
	return a.runWeb(ctx, client, web, nil, func(w *serve.Web) {
		if observed.server != nil {
			observed.server.Attach(admin.Source{Version: readVersion().text(), Reading: w.Reading})
		}
		fmt.Fprintf(a.out, "serving on %s\n", w.URL())
	})
}

// copyWait is how long a read side that has a copy waits for a broker at its start.
const copyWait = 2 * time.Second

// reachForServing waits for a broker as every command does. A read side that has a copy
// and its catalogue goes on without one: a question never waits for a broker. Brokers
// that refuse a certificate or credentials end the start in either case.
func (a *app) reachForServing(ctx context.Context) error {
	timeout := a.cfg.Connection.Timeout
	_, err := os.Stat(filepath.Join(a.cfg.Web.Dir, "catalog.snapshot"))
	hasCopy := err == nil
	if hasCopy {
		timeout = min(timeout, copyWait)
	}
	cl, err := a.connectBy(ctx, func(ctx context.Context, cl *kgo.Client, _ time.Duration) error {
		return broker.Await(ctx, cl, timeout, func(err error) {
			if !hasCopy {
				a.log.Warn("no broker answers, trying again", "for", timeout.String(), "error", err)
			}
		})
	})
	if err != nil {
		if hasCopy && broker.Away(err) && ctx.Err() == nil {
			return nil
		}
		return err
	}
	defer cl.Close()
	return a.fitsChangelog(ctx, cl)
}

// fitsChangelog refuses a number of tasks that is not that of the changelog, since what
// is shown would lack identities. A changelog that is not there yet fits.
func (a *app) fitsChangelog(ctx context.Context, cl *kgo.Client) error {
	name, set := a.cfg.Topics.Changelog, int(a.cfg.Layout.Partitions)
	topics, err := kadm.NewClient(cl).ListTopics(ctx, name)
	if err != nil {
		a.log.Warn("the brokers do not say how many partitions the changelog has", "topic", name, "error", err)
		return nil
	}
	if n := len(topics[name].Partitions); n > 0 && n != set {
		return &codeError{exitTopics, fmt.Errorf("partitions is %d, but topic %s has %d: set partitions to %d, or name the right topics", set, name, n, n)}
	}
	return nil
}

// runWeb runs the read side until ctx ends. started is called when it answers.
func (a *app) runWeb(ctx context.Context, client []kgo.Opt, opened *openedWeb, story *ui.Story, started func(*serve.Web)) (err error) {
	defer opened.close()
	c, err := a.application(client)
	if err != nil {
		return err
	}
	events, err := a.knowSchemas(ctx, &c)
	if err != nil {
		return err
	}
	web := &a.cfg.Web
	side, err := serve.Open(serve.Config{
		Dir: opened.dir, Client: client, Names: a.cfg.Topics, Partitions: a.cfg.Layout.Partitions, ApplicationID: a.cfg.Application.ID,
		Registry: c.Engine.Registry, Thresholds: c.Engine.Thresholds, ChangelogRetention: a.cfg.Layout.TombstoneLifetime, ProfileRetention: a.cfg.Layout.ProfileRetention,
		CatalogMemory: int64(web.CatalogMemory), StoreCache: int64(a.cfg.Runtime.StoreCache), HistoryAge: web.HistoryAge, HistoryBytes: int64(web.HistoryBytes),
		Writers: c.Engine.Writers, Schemas: c.Schemas, Clock: processor.SystemClock{}, Logger: a.log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, side.Close()) }()
	note, noted, err := a.auditTopic(ctx, client)
	if err != nil {
		return err
	}
	defer noted()
	opened.guard.Audit.Also(note)
	asking, err := kgo.NewClient(append(client[:len(client):len(client)], kgo.ClientID(a.cfg.Application.ID+"-serve-watch"))...)
	if err != nil {
		return fmt.Errorf("making a client that asks how far the engine is: %w", err)
	}
	defer asking.Close()
	w, err := side.Listen(serve.WebConfig{
		Guard: opened.guard, Listener: opened.listener, LiveClients: web.LiveClients, LivePerSubject: web.LivePerSubject, Version: readVersion().text(), EventFormat: events,
		Watch:    func(ctx context.Context) (*api.Health, error) { return a.engineHealth(ctx, asking) },
		Pages:    serve.Pages(story),
		Exporter: serve.NewSIEMExporter(opened.exports, a.siemTopics(), c.Engine.Registry),
	})
	if err != nil {
		return err
	}
	if started != nil {
		started(w)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 2)
	go func() { ended <- side.Run(ctx) }()
	go func() { ended <- w.Run(ctx) }()
	err = <-ended
	cancel()
	return errors.Join(err, <-ended)
}

// knowSchemas gives a read side the registry, if there is one, and returns the format
// of the identity events that operators send.
func (a *app) knowSchemas(ctx context.Context, c *topology.Config) (*schemas.Format, error) {
	r, err := a.registry()
	if err != nil || r == nil {
		return nil, err
	}
	c.Schemas, c.Engine.Writers = r, r.Writers()
	return a.inputFormat(ctx, a.cfg.Schemas.OutputFormat, schemas.IdentityEventContract)
}

// engineHealth asks the brokers how far the engine is.
func (a *app) engineHealth(ctx context.Context, cl *kgo.Client) (*api.Health, error) {
	l, err := operations.MeasureLag(ctx, cl, a.operated())
	if err != nil {
		return nil, err
	}
	h := &api.Health{Group: l.Group, State: l.State, Members: l.Members, Unowned: l.Unowned, InputLag: l.Total, Tasks: []api.Task{}}
	for _, t := range l.Tasks {
		h.Tasks = append(h.Tasks, api.Task{Task: t.Task, Owner: t.Owner, Host: t.Host, InputLag: t.Total})
	}
	return h, nil
}

// labStory is what the demo's first page tells: what was recorded, a tour, and what
// is known of each address, whose hands the lab has kept.
func labStory() *ui.Story {
	s := &ui.Story{
		Title: "This is the demo: a recorded attack on a lab sensor whose hands are known",
		Chapters: []ui.Chapter{
			{Text: "15 addresses opened 81 sessions in two and a half minutes. handprint read the sensor's log and drew a verdict for each trait of each address.", Link: "All addresses", Path: "/identities"},
			{Text: "127.0.9.9 looks like several actors. Truth: three scripted hands take turns there.", Link: "See why it says so", Path: "/identities/127.0.9.9"},
			{Text: "127.0.6.1 changed its tool half way. Truth: one hand, a new client.", Link: "Its fingerprint", Path: "/identities/127.0.6.1/why/toolchain.ssh.hassh_client"},
			{Text: "127.0.4.1 and 127.0.4.2 behave alike. Truth: one hand behind both.", Link: "Compare them", Path: "/compare?a=127.0.4.1&b=127.0.4.2"},
		},
	}
	hands := labHands()
	ids := make([]string, 0, len(hands))
	for id := range hands {
		ids = append(ids, id)
	}
	sortByAddress(ids, hands)
	for _, id := range ids {
		h := hands[id]
		names := strings.Fields(h.names)
		text := "one hand, the " + h.names
		if len(names) > 1 {
			text = fmt.Sprintf("%d hands: the %s", len(names), strings.Join(names[:len(names)-1], ", the ")+" and the "+names[len(names)-1])
		}
		if h.address == "127.0.6.1" {
			text += ", which changes its tool half way"
		}
		s.Lines = append(s.Lines, ui.StoryLine{Identity: id, Address: h.address, Text: text + "."})
	}
	return s
}

// demoWeb runs the read side of the demo until ctx ends. The link is returned when
// it listens; wait returns its end.
func (a *app) demoWeb(ctx context.Context, e *embedded, story *ui.Story) (link string, wait func() error, err error) {
	listening, done := make(chan string, 1), make(chan error, 1)
	// A demo beside another one, or beside a serve, takes a free port.
	opened, err := a.openWeb(guard.Operate, filepath.Join(e.dir, "serve"))
	if errors.Is(err, syscall.EADDRINUSE) {
		a.cfg.Web.Listen = "127.0.0.1:0"
		opened, err = a.openWeb(guard.Operate, filepath.Join(e.dir, "serve"))
	}
	if err != nil {
		return "", nil, err
	}
	go func() {
		done <- a.runWeb(ctx, e.broker.ClientOpts(), opened, story, func(w *serve.Web) { listening <- w.URL() })
	}()
	select {
	case link = <-listening:
		return link, func() error { return <-done }, nil
	case err := <-done:
		if err == nil {
			err = errors.New("the read side ended")
		}
		return "", nil, err
	}
}
