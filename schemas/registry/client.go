package registry

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/sr"

	"handprint/schemas"
)

// Config is how to reach a registry.
type Config struct {
	URLs []string // tried in turn; at least one
	// User and Password for basic authentication, or Token for a bearer
	// token; empty for neither.
	User, Password, Token string
	TLS                   *tls.Config // nil: the system's authorities
	Timeout               time.Duration
	Log                   *slog.Logger // nil: nothing is logged
	// Wait waits between two attempts; nil waits by the system's clock. It
	// returns an error if ctx ends first.
	Wait func(ctx context.Context, d time.Duration) error
	// Now is the system's clock if nil.
	Now func() time.Time
}

// Client asks a registry and remembers what it said. Any number of goroutines
// may use it.
type Client struct {
	cfg     Config
	sr      *sr.Client
	writers *schemas.Writers

	asking sync.Mutex // one question about an id at a time

	mu      sync.Mutex
	missing map[uint32]time.Time // when the registry said that it does not have it
	misses  atomic.Int64         // how many these are
	problem string
}

// The bounds of the client.
const (
	maxResponse = 4 << 20
	firstRetry  = 250 * time.Millisecond
	lastRetry   = 10 * time.Second
	// An id that the registry did not have is asked for again after
	// missingTime: it may have been wiped and filled again meanwhile. At most
	// maxMissing such ids are remembered.
	missingTime = time.Minute
	maxMissing  = 1000
)

// New returns a client. It asks nothing yet.
func New(cfg Config) (*Client, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Wait == nil {
		cfg.Wait = wait
	}
	for _, u := range cfg.URLs {
		parsed, err := url.Parse(u)
		if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
			return nil, fmt.Errorf("schema registry: %q is no http or https URL", u)
		}
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: cfg.Timeout}).DialContext,
		TLSClientConfig:       cfg.TLS,
		ResponseHeaderTimeout: cfg.Timeout,
		IdleConnTimeout:       time.Minute,
	}
	opts := []sr.ClientOpt{
		sr.URLs(cfg.URLs...),
		sr.UserAgent("handprint"),
		sr.HTTPClient(&http.Client{Timeout: cfg.Timeout, Transport: bounded{transport}, CheckRedirect: sameMethod}),
	}
	if cfg.User != "" {
		opts = append(opts, sr.BasicAuth(cfg.User, cfg.Password))
	}
	if cfg.Token != "" {
		opts = append(opts, sr.BearerToken(cfg.Token))
	}
	client, err := sr.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("schema registry: %w", err)
	}
	return &Client{cfg: cfg, sr: client, writers: schemas.NewWriters(), missing: make(map[uint32]time.Time)}, nil
}

// Writers returns the schemas that the registry was asked for so far. It grows.
func (c *Client) Writers() *schemas.Writers { return c.writers }

// Problem returns what keeps the client from an answer that somebody waits for,
// empty if nothing does: what a readiness check shows.
func (c *Client) Problem() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.problem
}

func (c *Client) setProblem(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problem = text
}

// RefusedError is the registry's own word that a request will not do, however
// often it is made.
type RefusedError struct {
	Doing  string // what was asked for
	Reason string // the registry's
	Status int    // of HTTP
	Code   int    // of the registry's API; 0 if it gave none
}

// Error says what was refused and why.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s: the schema registry refuses: %s", e.Doing, e.Reason)
}

// Incompatible reports whether a schema was refused because those who read or
// wrote by an earlier one could not go on.
func (e *RefusedError) Incompatible() bool { return e.Status == http.StatusConflict }

// The codes of the API that say for good what is not there. A bare 404 may come
// from anything on the way.
const (
	codeNoSubject = 40401
	codeNoVersion = 40402
	codeNoSchema  = 40403
)

// refused makes a RefusedError of what the registry means for good, and adds to
// any other error what was being done.
func refused(doing string, err error) error {
	var response *sr.ResponseError
	if !errors.As(err, &response) {
		if err := notJSON(err); err != nil { // a page of a proxy, say
			return fmt.Errorf("%s: what answers is no schema registry: %w", doing, err)
		}
		return fmt.Errorf("%s: the schema registry does not answer: %w", doing, oneCause(err))
	}
	reason := oneLine(response.Error())
	final := response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden ||
		response.StatusCode == http.StatusConflict || response.StatusCode == http.StatusUnprocessableEntity ||
		response.ErrorCode == codeNoSubject || response.ErrorCode == codeNoVersion || response.ErrorCode == codeNoSchema
	if final {
		return &RefusedError{doing, reason, response.StatusCode, response.ErrorCode}
	}
	return fmt.Errorf("%s: the schema registry answers with status %d: %s", doing, response.StatusCode, reason)
}

// notJSON returns what is wrong with an answer as JSON, nil if that is not what
// err is about.
func notJSON(err error) error {
	var syntax *json.SyntaxError
	var other *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return syntax
	case errors.As(err, &other):
		return other
	}
	return nil
}

// oneCause leaves out of an error of the HTTP client what it was doing.
func oneCause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// oneLine is what a registry says, fit for a log and a terminal.
func oneLine(text string) string {
	const most = 500
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) && !unicode.IsSpace(r) {
			return '?'
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}

// retry does try until it succeeds, is refused for good, or ctx ends. Meanwhile
// Problem says what it waits for.
func (c *Client) retry(ctx context.Context, try func(context.Context) error) error {
	defer c.setProblem("")
	for delay := firstRetry; ; delay = min(2*delay, lastRetry) {
		err := try(ctx)
		var no *RefusedError
		if err == nil || errors.As(err, &no) {
			return err
		}
		if ctx.Err() == nil {
			c.setProblem(err.Error())
			c.cfg.Log.Warn("waiting for the schema registry", "error", err)
		}
		if c.cfg.Wait(ctx, delay) != nil {
			return err
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sameMethod follows a redirect that makes the same request elsewhere. One that
// would turn a registration into a question is not followed: its answer would be
// taken for the registry's to something that was never asked.
func sameMethod(r *http.Request, via []*http.Request) error {
	switch {
	case r.Method != via[0].Method:
		return fmt.Errorf("it redirects to %s://%s: configure that address", r.URL.Scheme, r.URL.Host)
	case len(via) >= 10:
		return errors.New("it redirects again and again")
	}
	return nil
}

// bounded keeps a registry from answering without end.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxResponse}
	}
	return resp, err
}

type boundedBody struct {
	io.ReadCloser
	left int
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("an answer of more than %d bytes", maxResponse)
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
