package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"handprint/internal/admin"
	"handprint/internal/config"
	"handprint/internal/metrics"
	"handprint/internal/tracing"
	"handprint/processor"
	"handprint/topology"
)

// observers are what looks at a running processor from within its process: the
// server of metrics and health, and the tracer. Either may be nil.
type observers struct {
	server *admin.Server
	tracer *tracing.Tracer
	end    func() // ends the server, and waits
	// waiting says what the process waits for; nil: it never does.
	waiting func() string
}

// startObservers starts what the settings ask for. From then on the process
// says that it starts. The caller closes it.
func (a *app) startObservers(ctx context.Context) (*observers, error) {
	o := &observers{end: func() {}}
	if a.cfg.Admin.Listen == "" {
		return o, nil
	}
	server, err := admin.Listen(a.cfg.Admin.Listen, a.log)
	if err != nil {
		return nil, usageErrorf("admin-listen: %w: choose another address, or end the process that has this one", err)
	}
	o.server = server
	// Stopping takes its time: until it is over, the process is to be seen.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(serving); err != nil {
			a.log.Error("metrics and health are not served any more", "error", err)
		}
	}()
	o.end = func() { stop(); <-ended }
	a.log.Info("serving metrics, health and status", "address", server.Addr())
	return o, nil
}

// trace starts the tracer, if one is asked for, and gives the processor to be
// made the hooks of everything that looks at it.
func (o *observers) trace(ctx context.Context, a *app, c *topology.Config) error {
	if a.cfg.Admin.OTLPEndpoint != "" {
		var err error
		o.tracer, err = tracing.Start(a.cfg.Admin.OTLPEndpoint, tracing.Process{
			Application: a.cfg.Application.ID, Instance: c.Runtime.InstanceID, Version: readVersion().text(),
		})
		if err != nil {
			return usageErrorf("otlp-endpoint: %w", err)
		}
	}
	var told []func(processor.BatchReport)
	if o.server != nil {
		told = append(told, o.server.Hooks().Batch)
	}
	if o.tracer != nil {
		told = append(told, o.tracer.Hooks().Batch)
	}
	if len(told) > 0 {
		c.Runtime.Hooks.Batch = func(r processor.BatchReport) {
			for _, tell := range told {
				tell(r)
			}
		}
	}
	return nil
}

// attach shows p.
// beside is a read side in this process, nil as long as there is none.
func (o *observers) attach(a *app, c *topology.Config, p *processor.Processor, beside func() *metrics.Reading) {
	if o.server == nil {
		return
	}
	dir := c.Runtime.Store.Dir()
	o.server.Attach(admin.Source{
		Version: readVersion().text(), Status: p.Status, Store: c.Runtime.Store.Metrics, Engine: c.Engine.Counters,
		Waiting: o.waiting, Beside: beside,
		DiskFree: func() int64 {
			usage, err := vfs.Default.GetDiskUsage(dir)
			if err != nil {
				return -1
			}
			return int64(usage.AvailBytes)
		},
	})
}

// close ends what was started.
func (o *observers) close(a *app) {
	if o.tracer != nil {
		limit, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := o.tracer.Close(limit); err != nil {
			a.log.Warn("the last traces are lost", "error", err)
		}
	}
	o.end()
}

func (a *app) healthcheckCommand() *cobra.Command {
	ready := false
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the process on this machine whether it is live, or ready",
		Long: `Ask the process that runs with the same --admin-listen on this machine whether it
is live: whether no task is stuck. Exits with 1 and says why if it is not, or if
nobody answers. For the health check of a container.`,
		Example: `  handprint healthcheck --admin-listen 127.0.0.1:9464
  handprint healthcheck --admin-listen 127.0.0.1:9464 --ready`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.healthcheck(cmd.Context(), ready) },
	}
	cmd.Flags().BoolVar(&ready, "ready", false, "Ask whether it is ready: whether every task that it owns runs.")
	return a.configure(cmd, config.GroupAdmin)
}

func (a *app) healthcheck(ctx context.Context, ready bool) error {
	if a.cfg.Admin.Listen == "" {
		return usageErrorf("admin-listen is not set: name the address that the process was started with")
	}
	host, port, _ := net.SplitHostPort(a.cfg.Admin.Listen) // the setting was checked
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	path := "livez"
	if ready {
		path = "readyz"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/"+path, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err
		}
		return fmt.Errorf("nobody answers at %s: %w", a.cfg.Admin.Listen, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 16<<10))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", a.cfg.Admin.Listen, err)
	}
	answer := strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "; ")
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", printable(answer))
	}
	fmt.Fprintln(a.out, printable(answer))
	return nil
}
