package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/schemas"
	"handprint/serve/api"
	"handprint/serve/guard"
	"handprint/serve/live"
)

// WebConfig is how the read side is reached.
type WebConfig struct {
	Guard          guard.Config
	Listener       net.Listener // of Guard.Listen, if it is open already; nil: Listen opens it
	LiveClients    int
	LivePerSubject int
	Version        string
	EventFormat    *schemas.Format // of identity events that operators send; nil: JSON
	Exporter       api.Exporter
	// Watch asks the brokers how far the engine is; nil: nobody is asked.
	Watch func(ctx context.Context) (*api.Health, error)
	// Pages registers the analysts' pages; nil: there are none.
	Pages func(w *Web, mux *guard.Mux) error
}

// Web is the HTTP interface of a Side.
type Web struct {
	Side     *Side
	Guard    *guard.Guard
	Stream   *live.Stream
	Document *huma.OpenAPI

	cfg      WebConfig
	brokers  *brokers
	listener net.Listener
	server   *http.Server
	log      *slog.Logger
}

// Listen makes the interface of a read side and begins to listen. An address,
// certificate, token file or route that is not in order is an error of one line.
func (s *Side) Listen(c WebConfig) (_ *Web, err error) {
	w := &Web{Side: s, cfg: c, log: s.cfg.Logger}
	if c.Guard.Logger == nil {
		c.Guard.Logger = s.cfg.Logger
	}
	if w.Guard, err = guard.New(c.Guard); err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(s.cfg.Client[:len(s.cfg.Client):len(s.cfg.Client)], kgo.ClientID(s.cfg.ApplicationID+"-serve-web"),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(s.cfg.Names.Partitioner()))...)
	if err != nil {
		return nil, fmt.Errorf("making a client for the web interface: %w", err)
	}
	defer func() {
		if err != nil {
			client.Close()
		}
	}()
	w.brokers = &brokers{client: client, names: s.cfg.Names, application: s.cfg.ApplicationID, format: c.EventFormat, watch: c.Watch, writers: s.cfg.Writers, now: s.cfg.Clock.Now, log: s.cfg.Logger,
		opts:       append(s.cfg.Client[:len(s.cfg.Client):len(s.cfg.Client)], kgo.ClientID(s.cfg.ApplicationID+"-serve-observations")),
		partitions: s.cfg.Partitions, lookEvery: s.cfg.LookEvery, observers: make(chan struct{}, maxObservers)}
	w.brokers.behind = func() float64 {
		f := s.Reader.Freshness(-1)
		if f.ReadLag == 0 || f.AsOf == 0 {
			return 0
		}
		return max(0, float64(s.cfg.Clock.Now().UnixMilli())/1000-f.AsOf)
	}
	w.Stream = live.NewStream(live.Config{
		Ring: s.Ring, History: s.history, Clients: c.LiveClients, PerSubject: c.LivePerSubject,
		Snapshot: w.snapshot, Stale: w.stale,
	})
	w.Document = api.Register(w.Guard.Mux(), api.Config{
		Reader: s.Reader, Waiter: s.Follower, Operations: w.brokers, Stream: w.Stream, Evidence: w.brokers.Evidence, Observer: w.brokers, Exporter: c.Exporter, Audit: c.Guard.Audit,
		IdentityEvents: s.cfg.Names.IdentityEvents, Version: c.Version, Logger: s.cfg.Logger, Now: s.cfg.Clock.Now,
	})
	if c.Pages != nil {
		if err := c.Pages(w, w.Guard.Mux()); err != nil {
			return nil, err
		}
	}
	if err := w.Guard.Mux().Err(); err != nil {
		return nil, err
	}
	tls, err := w.Guard.TLS()
	if err != nil {
		return nil, err
	}
	if w.listener = c.Listener; w.listener == nil {
		if w.listener, err = net.Listen("tcp", c.Guard.Listen); err != nil {
			return nil, fmt.Errorf("web-listen: %w", err)
		}
	}
	w.server = &http.Server{
		Handler: w.Guard, TLSConfig: tls, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		ConnContext: live.WithConn, MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
	return w, nil
}

// snapshot is the first event of a stream.
func (w *Web) snapshot() any {
	f := w.Side.Reader.Freshness(-1)
	to := map[string]any{"as_of": f.AsOf, "read_lag": f.ReadLag}
	if c, phase := w.Side.Follower.Catalog(); phase.Ready {
		n := c.Counts()
		to["counts"] = map[string]int{"unknown": n.States[0], "stable": n.States[1], "drifting": n.States[2], "conflicted": n.States[3], "multi_actor": n.States[4]}
		to["identities"], to["suspected"] = n.Identities, n.Suspected
	}
	return to
}

// Stale says what is behind: read, input, or nothing.
func (w *Web) stale() string {
	f := w.Side.Reader.Freshness(-1)
	if age := float64(w.Side.cfg.Clock.Now().UnixMilli())/1000 - f.AsOf; age > 2 {
		return "read"
	}
	if h := w.brokers.Health(); h != nil && h.BehindFor > 30 {
		return "input"
	}
	return ""
}

// Addr returns where it listens.
func (w *Web) Addr() string { return w.listener.Addr().String() }

// URL returns the address for a browser, with the token that was made for local use.
func (w *Web) URL() string {
	scheme := "http"
	if w.server.TLSConfig != nil {
		scheme = "https"
	}
	url := scheme + "://" + w.Addr() + w.Guard.BasePath()
	if t := w.Guard.LocalToken(); t != "" {
		url += "#t=" + t
	}
	return url
}

// stopTime is how long requests that are under way may take when the process stops.
const stopTime = 3 * time.Second

// Run serves until ctx ends.
func (w *Web) Run(ctx context.Context) error {
	defer w.brokers.client.Close()
	watching, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { w.brokers.run(watching) })
	defer running.Wait()
	defer stop()
	served := make(chan error, 1)
	go func() {
		if w.server.TLSConfig != nil {
			served <- w.server.ServeTLS(w.listener, "", "")
		} else {
			served <- w.server.Serve(w.listener)
		}
	}()
	select {
	case err := <-served:
		return fmt.Errorf("serving the web interface: %w", err)
	case <-ctx.Done():
	}
	w.Stream.Stop()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := w.server.Shutdown(ending); err != nil {
		_ = w.server.Close() // who is still there is cut off
	}
	w.Guard.Drain()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the web interface: %w", err)
	}
	return nil
}
