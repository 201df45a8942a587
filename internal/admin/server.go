package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"handprint/engine"
	"handprint/internal/metrics"
	"handprint/processor"
	"handprint/siem/deliver"
	"handprint/state"
)

// Source is where a server looks. Its functions are called by several
// goroutines at the same time.
type Source struct {
	Version  string
	Status   func() processor.Status // nil: no processor runs here
	Store    func() state.Metrics    // nil: none
	DiskFree func() int64            // bytes, negative if not known; nil: not known
	Engine   *engine.Counters        // nil: none
	// Waiting says what outside the cluster the process waits for, empty for
	// nothing; nil: it never does. While it waits it is not ready.
	Waiting func() string
	// Sinks and Formats are what a process delivers and formats; nil: nothing.
	Sinks   func() []deliver.Status
	Formats func() []metrics.FormatCounts
	// Reading is a read side; nil: there is none.
	Reading func() *metrics.Reading
	// Beside is a read side in the process of an engine: it is shown, and the process
	// is live and ready without it. It may return nil, and be nil itself.
	Beside func() *metrics.Reading
}

// Server shows one process. Before Attach it says that the process starts.
type Server struct {
	listener net.Listener
	http     *http.Server
	metrics  *metrics.Registry
	log      *slog.Logger
	started  time.Time
	source   atomic.Pointer[Source]
	starting atomic.Pointer[func() string] // nil: nothing in particular

	storeMu   sync.Mutex // asking the store takes locks that writes need
	storeAt   time.Time
	storeLast state.Metrics
}

// storeAge is for how long what the store said is shown again.
const storeAge = 5 * time.Second

// Listen returns a server on addr, host:port, which answers once Serve runs.
func Listen(addr string, log *slog.Logger) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		if op := (*net.OpError)(nil); errors.As(err, &op) {
			err = op.Err
		}
		return nil, fmt.Errorf("listening on %s: %w", addr, err)
	}
	s := &Server{listener: l, log: log, started: time.Now()}
	s.metrics = metrics.New(s.view, time.Now)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.Gatherer(), promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /livez", s.livez)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /statusz", s.statusz)
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	return s, nil
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Hooks returns what feeds the metrics of batches.
func (s *Server) Hooks() processor.Hooks { return s.metrics.Hooks() }

// AwaitStart says what a process waits for before Attach, as Source.Waiting does
// afterwards.
func (s *Server) AwaitStart(waiting func() string) { s.starting.Store(&waiting) }

// Attach names the process to show.
func (s *Server) Attach(from Source) { s.source.Store(&from) }

// Serve answers until ctx ends; requests under way are then finished. It closes
// the listener.
func (s *Server) Serve(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- s.http.Serve(s.listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serving administration on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if s.http.Shutdown(limit) != nil {
		_ = s.http.Close() // of those who still hold a connection
	}
	<-ended
	return nil
}

// look returns the status of the process and its health.
func (s *Server) look() (processor.Status, Health, *Source) {
	from := s.source.Load()
	if from == nil {
		waiting := []string{"starting"}
		if f := s.starting.Load(); f != nil && (*f)() != "" {
			waiting = append(waiting, (*f)())
		}
		return processor.Status{}, Health{Live: true, Waiting: waiting}, &Source{}
	}
	var status processor.Status
	if from.Status != nil {
		status = from.Status()
	}
	health := Judge(&status)
	if from.Sinks != nil {
		judgeSinks(&health, from.Sinks())
	}
	if from.Reading != nil {
		judgeReading(&health, from.Reading())
	}
	if from.Waiting != nil {
		if what := from.Waiting(); what != "" {
			health.Ready, health.Waiting = false, append(health.Waiting, what)
		}
	}
	return status, health, from
}

// view is what the metrics show.
func (s *Server) view() metrics.View {
	status, health, from := s.look()
	v := metrics.View{Version: from.Version, Ready: health.Ready, Live: health.Live, Status: status, Store: s.store(from), DiskFree: -1, Engine: from.Engine}
	if from.Sinks != nil {
		v.Sinks = from.Sinks()
	}
	if from.Formats != nil {
		v.Formats = from.Formats()
	}
	if from.Beside != nil {
		v.Reading = from.Beside()
	}
	if from.Reading != nil {
		v.Reading = from.Reading()
	}
	if from.DiskFree != nil {
		v.DiskFree = from.DiskFree()
	}
	return v
}

func (s *Server) store(from *Source) state.Metrics {
	if from.Store == nil {
		return state.Metrics{}
	}
	s.storeMu.Lock()
	defer s.storeMu.Unlock()
	if now := time.Now(); s.storeAt.IsZero() || now.Sub(s.storeAt) >= storeAge {
		s.storeLast, s.storeAt = from.Store(), now
	}
	return s.storeLast
}

func (s *Server) livez(w http.ResponseWriter, _ *http.Request) {
	_, h, _ := s.look()
	answer(w, h.Live, "live", h.Stuck)
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	_, h, _ := s.look()
	word := "ready"
	if h.Ready && len(h.Notes) > 0 {
		word += "\n" + strings.Join(h.Notes, "\n")
	}
	answer(w, h.Ready, word, append(h.Stuck, h.Waiting...))
}

// answer writes the word, or 503 and what stands against it, a line for each.
func answer(w http.ResponseWriter, ok bool, word string, reasons []string) {
	plain(w.Header(), "text/plain; charset=utf-8")
	text := word
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
		text = "not " + word + "\n" + strings.Join(reasons, "\n")
	}
	_, _ = io.WriteString(w, text+"\n") // the reader may be gone
}

func plain(h http.Header, contentType string) {
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}

// Statusz is what /statusz says.
type Statusz struct {
	Version string           `json:"version"`
	Uptime  float64          `json:"uptime_seconds"`
	Health  Health           `json:"health"`
	Status  processor.Status `json:"status"`
	Store   state.Metrics    `json:"store"`
	Sinks   []deliver.Status `json:"sinks,omitempty"`
	Reading *metrics.Reading `json:"reading,omitempty"`
}

func (s *Server) statusz(w http.ResponseWriter, _ *http.Request) {
	status, health, from := s.look()
	plain(w.Header(), "application/json")
	var sinks []deliver.Status
	if from.Sinks != nil {
		sinks = from.Sinks()
	}
	var reading *metrics.Reading
	if from.Beside != nil {
		reading = from.Beside()
	}
	if from.Reading != nil {
		reading = from.Reading()
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(Statusz{from.Version, time.Since(s.started).Seconds(), health, status, s.store(from), sinks, reading}); err != nil {
		s.log.Debug("answering /statusz failed", "error", err)
	}
}
