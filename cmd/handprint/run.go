package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/broker"
	"handprint/internal/config"
	"handprint/internal/memory"
	"handprint/internal/metrics"
	"handprint/internal/operations"
	"handprint/serve"
	"handprint/serve/guard"
)

func (a *app) runCommand() *cobra.Command {
	web := false
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the stream processor",
		Long: `Run the stream processor on a cluster, until SIGTERM, SIGINT, or a message
{"action": "stop"} on the control topic. Topics that are missing are created;
topics that exist have to fit (see "handprint topics check").

Every process of an application has the same --application-id and a --state-dir
of its own. Start as many as you like: they share the partitions.`,
		Example: `  handprint run --brokers a:9092,b:9092 --application-id soc --state-dir /var/lib/handprint --threads 4`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.run(cmd.Context(), web) },
	}
	cmd.Flags().BoolVar(&web, "web", false, "Serve the API and the pages from this process too (see handprint serve).")
	return a.configure(cmd, config.GroupConnection, config.GroupApplication, config.GroupTopics,
		config.GroupRuntime, config.GroupThresholds, config.GroupValues, config.GroupSchemas, config.GroupAdmin, config.GroupWeb)
}

func (a *app) run(ctx context.Context, web bool) (err error) {
	// What is made in the state directory is its owner's alone: series and
	// values of attackers lie there, and the lock that keeps others out.
	syscall.Umask(0o077)
	a.log.Info("handprint starts", "version", readVersion().text(), "application", a.cfg.Application.ID, "partitions", a.cfg.Layout.Partitions,
		"threads", a.cfg.Runtime.Threads, "brokers", strings.Join(a.cfg.Connection.Brokers, ","), "state_dir", a.cfg.Runtime.StateDir, "admin", a.cfg.Admin.Listen)
	defer func() {
		switch {
		case err != nil: // what ends every command with an error is its last line
		case ctx.Err() != nil:
			a.log.Info("handprint ends", "reason", "a signal asked it to")
		default:
			a.log.Info("handprint ends", "reason", "the control topic asked it to")
		}
	}()
	if !web && os.Getenv("GOGC") == "" { // what web shows is on the heap, and large
		debug.SetGCPercent(memory.Read().RunGCPercent())
	}
	client, err := a.clientOpts()
	if err != nil {
		return err
	}
	c, err := a.application(client)
	if err != nil {
		return err
	}
	observers, err := a.startObservers(ctx)
	if err != nil {
		return err
	}
	defer observers.close(a)
	var opened *openedWeb
	if web {
		if opened, err = a.openWeb(guard.Operate, a.cfg.Web.Dir); err != nil {
			return err
		}
		defer opened.close()
	}
	if err := a.prepareTopics(ctx); err != nil {
		return err
	}
	if err := a.useSchemas(ctx, &c, observers); err != nil {
		return err
	}
	if from := a.cfg.Application.UpgradeFrom; from != "" {
		a.log.Info("an upgrade is under way: start without upgrade-from when no older process is left", "upgrade-from", from)
	}
	if err := a.openStore(&c, a.cfg.Runtime.StateDir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Runtime.Store.Close()) }()
	if err := observers.trace(ctx, a, &c); err != nil {
		return err
	}
	p, err := c.Processor()
	if err != nil {
		return err
	}
	var beside atomic.Pointer[serve.Web]
	observers.attach(a, &c, p, func() *metrics.Reading {
		if w := beside.Load(); w != nil {
			return w.Reading()
		}
		return nil
	})
	if !web {
		return p.Run(ctx)
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() {
		defer stop() // a read side that cannot go on ends the process
		served <- a.runWeb(running, client, opened, nil, func(w *serve.Web) {
			beside.Store(w)
			fmt.Fprintf(a.out, "serving on %s\n", w.URL())
		})
	}()
	err = p.Run(running)
	stop()
	return errors.Join(err, <-served)
}

// prepareTopics creates the topics that are missing and checks the
// others.
func (a *app) prepareTopics(ctx context.Context) error {
	cl, err := a.awaitCluster(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	err = broker.Persist(ctx, a.cfg.Connection.Timeout, func() error {
		created, err := broker.Ensure(ctx, cl, a.specs())
		if len(created) > 0 {
			a.log.Info("created topics", "topics", created)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := broker.Persist(ctx, a.cfg.Connection.Timeout, func() error { return a.checkPermissions(ctx, cl) }); err != nil {
		return err
	}
	problems, err := a.settledTopics(ctx, cl)
	if err != nil {
		return err
	}
	return topicsError(problems)
}

// checkPermissions refuses to start without a right that would be missed later,
// perhaps weeks later: when there is something to suspect for the first time.
func (a *app) checkPermissions(ctx context.Context, cl *kgo.Client) error {
	missing, err := operations.Missing(ctx, cl, a.operated())
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("the brokers do not allow all that is needed: allow %s (docs/operations.md, ACLs)", strings.Join(missing, ", "))
	}
	return nil
}

// settledTopics is broker.Check for topics that are all there, one or the other
// perhaps since a moment ago: the broker that is asked may not have heard of it.
func (a *app) settledTopics(ctx context.Context, cl *kgo.Client) ([]broker.Problem, error) {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	patience := time.NewTimer(a.cfg.Connection.Timeout)
	defer patience.Stop()
	for {
		problems, err := broker.Check(ctx, cl, a.specs())
		unheard := kerr.IsRetriable(err) // no leader for a moment, or a topic that is not known everywhere yet
		for _, p := range problems {
			unheard = unheard || p.What == broker.Existence
		}
		if !unheard {
			return problems, err
		}
		select {
		case <-again.C:
		case <-patience.C:
			return problems, err
		case <-ctx.Done():
			return problems, context.Cause(ctx)
		}
	}
}
