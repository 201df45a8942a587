package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"handprint/ingest"
	"handprint/ingest/behave"
	"handprint/ingest/network"
	"handprint/ingest/suricata"
	"handprint/ingest/zeek"
)

// Bounds of a request.
const (
	// DefaultMaxBody bounds a body in bytes, unpacked.
	DefaultMaxBody = 8 << 20
	// DefaultMaxRequests bounds how many requests are under way at once.
	DefaultMaxRequests = 8
	// DefaultSendTimeout is how long the brokers may take.
	DefaultSendTimeout = 30 * time.Second

	readTimeout  = 60 * time.Second
	writeTimeout = readTimeout + DefaultSendTimeout + 10*time.Second
	idleTimeout  = 2 * time.Minute
	maxHeader    = 16 << 10

	retrySoon  = 1 // seconds
	retryLater = 5
)

// Batch takes what is made of one request, and sends it.
type Batch interface {
	ingest.Sink
	// Send waits until the brokers have everything.
	Send(ctx context.Context) error
}

// Config says what is taken, and from whom.
type Config struct {
	// Network says whose rows count. Its sensor is that of senders without a
	// token.
	Network network.Settings
	// Tokens are those of the senders; nil: nobody needs one. A token's name is
	// the sensor's.
	Tokens *Tokens
	// NewBatch returns an empty batch.
	NewBatch func() Batch

	MaxBody     int64         // DefaultMaxBody if 0
	MaxRequests int           // DefaultMaxRequests if 0
	SendTimeout time.Duration // DefaultSendTimeout if 0
	Log         *slog.Logger  // slog's default if nil
}

// Server is the endpoint.
type Server struct {
	config  Config
	slots   chan struct{}
	metrics *Metrics
	handler http.Handler
}

// New returns a server. It fails if the settings are invalid.
func New(config Config) (*Server, error) {
	if err := config.Network.Validate(); err != nil {
		return nil, err
	}
	if config.MaxBody <= 0 {
		config.MaxBody = DefaultMaxBody
	}
	if config.MaxRequests <= 0 {
		config.MaxRequests = DefaultMaxRequests
	}
	if config.SendTimeout <= 0 {
		config.SendTimeout = DefaultSendTimeout
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	s := &Server{config: config, slots: make(chan struct{}, config.MaxRequests), metrics: newMetrics()}
	mux := http.NewServeMux()
	for path, adapt := range map[string]adaptFunc{
		"/v1/observations": func(_ network.Settings, to ingest.Sink) (ingest.Adapter, error) {
			return behave.New(to.Record, to.Dead), nil
		},
		"/v1/ingest/zeek": func(n network.Settings, to ingest.Sink) (ingest.Adapter, error) {
			return zeek.New(n, to.Observation, to.Dead)
		},
		"/v1/ingest/suricata": func(n network.Settings, to ingest.Sink) (ingest.Adapter, error) {
			return suricata.New(n, to.Observation, to.Dead)
		},
	} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { s.take(w, r, path, adapt) })
	}
	// A page in somebody's browser must not send to a listener on loopback.
	s.handler = http.NewCrossOriginProtection().Handler(mux)
	return s, nil
}

type adaptFunc func(network.Settings, ingest.Sink) (ingest.Adapter, error)

// Metrics returns what was taken, by sensor.
func (s *Server) Metrics() *Metrics { return s.metrics }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Serve answers on a listener until ctx ends, and then finishes what is under
// way.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s, ReadTimeout: readTimeout, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serving on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.SendTimeout)
	defer cancel()
	err := server.Shutdown(last)
	if e := <-ended; err == nil && !errors.Is(e, http.ErrServerClosed) {
		err = e
	}
	return err
}

// answer is what a sender is told.
type answer struct {
	Lines        int64 `json:"lines"`
	Observations int64 `json:"observations"`
	Ignored      int64 `json:"ignored"`
	Dead         int64 `json:"dead"`
}

func (s *Server) take(w http.ResponseWriter, r *http.Request, path string, adapt adaptFunc) {
	a, f := s.request(r, path, adapt)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if f != nil {
		switch {
		case f.code == http.StatusUnauthorized:
			h.Set("WWW-Authenticate", "Bearer")
		case f.retry > 0:
			h.Set("Retry-After", strconv.Itoa(f.retry))
		}
		w.WriteHeader(f.code)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": f.text}) // the sender may have gone
		return
	}
	_ = json.NewEncoder(w).Encode(a)
}

func (s *Server) request(r *http.Request, path string, adapt adaptFunc) (a answer, f *failure) {
	settings := s.config.Network
	if f := s.admit(r, &settings); f != nil {
		return a, f
	}
	if path == "/v1/ingest/zeek" {
		switch p := r.URL.Query().Get("path"); p {
		case "", "ssh", "ssl", "conn", "http":
			settings.Path = p
		default:
			return a, &failure{code: http.StatusBadRequest, text: "the path must be ssh, ssl, conn or http"}
		}
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return a, &failure{code: http.StatusTooManyRequests, text: "too much is under way: send all of it again", retry: retrySoon}
	}
	r.Body = http.MaxBytesReader(nil, r.Body, s.config.MaxBody)
	lines, f := body(r, s.config.MaxBody)
	if f != nil {
		return a, f
	}
	batch := s.config.NewBatch()
	take := &intake{Batch: batch, sensor: settings.Sensor}
	adapter, err := adapt(settings, take)
	if err != nil {
		return a, s.broken(err)
	}
	var bytes int64
	for i, line := range lines {
		take.number = int64(i + 1)
		bytes += int64(len(line))
		if err := adapter.Line(line); err != nil {
			return a, s.broken(err)
		}
	}
	if err := adapter.Close(); err != nil {
		return a, s.broken(err)
	}
	tally := adapter.Tally()
	a = take.answer(tally)
	if err := take.tellRest(); err != nil {
		return a, s.broken(err)
	}
	if tally.Used == 0 && a.Dead > 0 && take.noJSON == a.Dead {
		return a, &failure{code: http.StatusBadRequest, text: "the body is no NDJSON: no line is a JSON object"}
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.config.SendTimeout)
	defer cancel()
	if err := batch.Send(ctx); err != nil {
		s.config.Log.Warn("the brokers did not take a request: its sender was told to send it again", "sensor", settings.Sensor, "error", err)
		return a, &failure{code: http.StatusServiceUnavailable, text: "the brokers do not answer: send all of it again", retry: retryLater}
	}
	s.metrics.add(settings.Sensor, a, bytes, time.Now())
	return a, nil
}

func (s *Server) broken(err error) *failure {
	s.config.Log.Error("a request could not be read", "error", err)
	return &failure{code: http.StatusInternalServerError, text: "the request could not be read"}
}

// admit looks at the token. Its name is the sensor's.
func (s *Server) admit(r *http.Request, n *network.Settings) *failure {
	if s.config.Tokens == nil {
		return nil
	}
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return &failure{code: http.StatusUnauthorized, text: "a token is needed: Authorization: Bearer"}
	}
	name, role, ok := s.config.Tokens.Find(strings.TrimSpace(secret))
	switch {
	case !ok:
		return &failure{code: http.StatusUnauthorized, text: "the token is not known, or has expired"}
	case role != Role:
		return &failure{code: http.StatusForbidden, text: "the token is not one for ingest"}
	}
	n.Sensor = name
	return nil
}

// intake is the adapter's sink for one request: it counts, and says of a dead
// letter where its line stood.
type intake struct {
	Batch
	sensor       string
	number       int64
	observations int64
	dead, noJSON int64
}

func (t *intake) Observation(o ingest.Observation) error {
	t.observations++
	return t.Batch.Observation(o)
}

func (t *intake) Record(key, value []byte) error {
	t.observations++
	return t.Batch.Record(key, value)
}

func (t *intake) Dead(d ingest.DeadLetter) error {
	t.dead++
	if strings.HasPrefix(d.Reason, "not a JSON object") || strings.HasPrefix(d.Reason, "columns") {
		t.noJSON++
	}
	if t.dead > maxLetters {
		return nil // tellRest does
	}
	d.Private = true // what somebody sends by mistake may hold anything
	d.File, d.Number = "http:"+t.sensor, t.number-d.Back
	return t.Batch.Dead(ingest.NoText.Guard(d))
}

// maxLetters bounds the dead letters of a request: a body of a few bytes that
// unpacks to many lines of no use must not fill a topic.
const maxLetters = 1000

// tellRest makes one dead letter of all beyond the bound.
func (t *intake) tellRest() error {
	if t.dead <= maxLetters {
		return nil
	}
	return t.Batch.Dead(ingest.NoText.Guard(ingest.DeadLetter{
		Reason: fmt.Sprintf("%d more lines of the same request", t.dead-maxLetters), File: "http:" + t.sensor, Number: t.number, Private: true,
	}))
}

func (t *intake) answer(tally ingest.Tally) answer {
	a := answer{Lines: tally.Lines, Observations: t.observations, Dead: t.dead}
	for _, c := range tally.Of {
		if c.Name == "ignored" {
			a.Ignored = c.N
		}
	}
	return a
}
