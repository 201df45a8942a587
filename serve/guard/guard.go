package guard

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"handprint/serve/problem"
)

// Config is how the interface is reached, and by whom.
type Config struct {
	Listen       string // host:port
	BasePath     string // below which everything stands, such as /handprint; empty: /
	Hosts        []string
	BehindProxy  []netip.Prefix // of the proxies that are trusted
	TLSCert      string         // file
	TLSKey       string
	ClientCA     string          // file; empty: client certificates are not asked for
	ClientRoles  map[string]Role // of certificates, by common name or DNS name
	TokenFile    string
	LocalRole    Role // of the token that is made on loopback
	OpenLoopback bool // no credentials on loopback
	OIDC         OIDCConfig
	SessionKey   string  // file; empty: a key of this process
	ExportApart  bool    // exports need the role export
	Rate         float64 // requests a second of a subject; 0: no limit
	Burst        int
	Audit        *Audit
	Now          func() time.Time
	Logger       *slog.Logger

	checking bool // nothing is made
}

// Subject is who asks.
type Subject struct {
	Name   string `json:"name"`
	Role   Role   `json:"role"`
	Method string `json:"method"` // token, oidc, certificate or loopback
}

// Guard stands in front of every route.
type Guard struct {
	cfg      Config
	loopback bool
	hosts    map[string]bool
	tokens   *tokens
	sessions *sessions
	oidc     *oidcLogin
	origin   *http.CrossOriginProtection
	subjects *limiters // by subject
	failures *limiters // by address
	running  chan struct{}
	scans    chan struct{}
	exports  chan struct{}
	local    string // the token that was made; empty: none
	mux      *Mux

	requests  atomic.Int64
	answering sync.RWMutex                   // held for reading by each request
	loginForm func(failed, oidc bool) []byte // nil: a plain one
}

// Limits of requests.
const (
	maxRunning  = 64
	maxScans    = 4
	maxExports  = 2 // a slow client holds one for minutes
	maxBody     = 64 << 10
	maxURL      = 8 << 10
	requestTime = 10 * time.Second
	bulkTime    = 60 * time.Second
	failureRate = 5 // a second and address
)

// New returns a guard. Its error is one line that says what to change.
func New(c Config) (*Guard, error) {
	if c.BasePath = path.Clean("/" + c.BasePath); c.Now == nil {
		c.Now = time.Now
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("web-listen: %w", err)
	}
	g := &Guard{
		cfg: c, loopback: isLoopback(host), hosts: map[string]bool{}, origin: http.NewCrossOriginProtection(),
		subjects: newLimiters(c.Rate, c.Burst), failures: newLimiters(failureRate, failureRate),
		running: make(chan struct{}, maxRunning), scans: make(chan struct{}, maxScans), exports: make(chan struct{}, maxExports),
		tokens: &tokens{file: c.TokenFile, now: c.Now},
	}
	if err := c.check(g.loopback); err != nil {
		return nil, err
	}
	hasTLS := c.TLSCert != ""
	if err := g.tokens.load(); err != nil {
		return nil, err
	}
	key, err := sessionKey(c.SessionKey, !c.checking)
	if err != nil {
		return nil, err
	}
	if g.sessions, err = newSessions(key, hasTLS || len(c.BehindProxy) > 0, c.BasePath, c.Now); err != nil {
		return nil, err
	}
	if g.loopback && !c.OpenLoopback && len(c.BehindProxy) == 0 && c.LocalRole != "" {
		secret, t := NewToken("local", c.LocalRole, c.Now(), time.Time{})
		g.local, g.tokens.fixed = secret, []Token{t}
	}
	if c.OIDC.Issuer != "" {
		g.oidc = newOIDC(c.OIDC, g.sessions)
	}
	for _, h := range c.Hosts {
		g.hosts[strings.ToLower(h)] = true
	}
	if g.loopback {
		for _, h := range []string{"localhost", "127.0.0.1", "[::1]"} {
			g.hosts[h] = true
		}
	}
	if host = strings.ToLower(host); strings.Contains(host, ":") {
		host = "[" + host + "]" // as the header has it
	}
	if host != "" {
		g.hosts[host] = true
	}
	g.mux = &Mux{mux: http.NewServeMux(), guard: g, table: Table()}
	g.mux.HandleFunc("GET /problems/{kind}", problem.Pages().ServeHTTP)
	g.mux.HandleFunc("GET /login", g.loginPage)
	g.mux.HandleFunc("POST /login", g.login)
	g.mux.HandleFunc("POST /logout", g.logout)
	if g.oidc != nil {
		g.mux.HandleFunc("GET /auth/login", g.oidc.begin)
		g.mux.HandleFunc("GET /auth/callback", g.oidcCallback)
	}
	return g, nil
}

// Check returns what is wrong with a configuration, in one line that says what to change.
// It reads the files that it names, leaves none that was not there, and asks nobody.
func Check(c Config) error {
	c.checking = true
	g, err := New(c)
	if err != nil {
		return err
	}
	_, err = g.TLS()
	return err
}

// check holds the settings against each other.
func (c *Config) check(loopback bool) error {
	hasTLS, hasCredentials := c.TLSCert != "" && c.TLSKey != "", c.TokenFile != "" || c.OIDC.Issuer != "" || c.ClientCA != ""
	elsewhere := !loopback || len(c.BehindProxy) > 0
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return errors.New("web-tls-cert and web-tls-key go together: set both")
	case c.ClientCA != "" && !hasTLS:
		return errors.New("web-client-ca needs web-tls-cert and web-tls-key")
	case c.ClientCA == "" && len(c.ClientRoles) > 0:
		return errors.New("web-client-roles needs web-client-ca: nobody is asked for a certificate")
	case c.ClientCA != "" && len(c.ClientRoles) == 0:
		return errors.New("web-client-ca needs web-client-roles: a certificate without a role may do nothing")
	case c.OIDC.Issuer == "" && (c.OIDC.ClientID != "" || c.OIDC.ClientSecret != "" || c.OIDC.RedirectURL != "" || len(c.OIDC.Roles) > 0):
		return errors.New("oidc-client-id, oidc-client-secret-file, oidc-redirect-url and oidc-roles need oidc-issuer")
	case c.OIDC.Issuer != "" && c.OIDC.ClientID == "":
		return errors.New("oidc-issuer needs oidc-client-id, by which the issuer knows this service")
	case c.OIDC.Issuer != "" && len(c.OIDC.Roles) == 0:
		return errors.New("oidc-issuer needs oidc-roles: somebody without a role may do nothing")
	case c.OpenLoopback && elsewhere:
		return errors.New("web-open-loopback needs an address on loopback in web-listen, and no proxy: anybody could do everything")
	case !loopback && len(c.BehindProxy) == 0 && !hasTLS:
		return fmt.Errorf("web-listen %s can be reached from elsewhere: set web-tls-cert and web-tls-key, or web-behind-proxy if a proxy has the certificate", c.Listen)
	case elsewhere && !hasCredentials:
		return fmt.Errorf("web-listen %s can be reached from elsewhere: set token-file, oidc-issuer or web-client-ca, so that it is known who asks", c.Listen)
	}
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// UseLoginPage sets what makes the page with the form for a token. oidc says that
// the organisation's login is offered too. It is called before the first request.
func (g *Guard) UseLoginPage(make func(failed, oidc bool) []byte) { g.loginForm = make }

// Requests returns how many requests came since the start, refused ones included.
func (g *Guard) Requests() int64 { return g.requests.Load() }

// Drain refuses requests from now on, and returns when none is being answered: what they
// read may be closed then. Their connections should be closed before.
func (g *Guard) Drain() { g.answering.Lock() }

// Mux returns where routes are registered.
func (g *Guard) Mux() *Mux { return g.mux }

// LocalToken returns the token that was made for local use; empty: none was.
func (g *Guard) LocalToken() string { return g.local }

// BasePath returns below which path everything stands; / if there is none.
func (g *Guard) BasePath() string { return g.cfg.BasePath }

type contextKey struct{}

// request is what is known of a request.
type request struct {
	id      string
	subject Subject
	from    string
}

// SubjectOf returns who asks.
func SubjectOf(ctx context.Context) Subject {
	if r, ok := ctx.Value(contextKey{}).(*request); ok {
		return r.subject
	}
	return Subject{}
}

// RequestID returns the id of a request.
func RequestID(ctx context.Context) string {
	if r, ok := ctx.Value(contextKey{}).(*request); ok {
		return r.id
	}
	return ""
}

const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// ServeHTTP is in front of all routes: it checks what concerns every request.
func (g *Guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.requests.Add(1)
	if !g.answering.TryRLock() {
		p := problem.New("busy", "The process is stopping.")
		p.After = time.Second
		p.Write(w, "")
		return
	}
	defer g.answering.RUnlock()
	var random [8]byte
	_, _ = rand.Read(random[:]) // it never fails
	req := &request{id: hex.EncodeToString(random[:]), from: g.address(r)}
	r = r.WithContext(context.WithValue(r.Context(), contextKey{}, req))
	defer func() {
		if fault := recover(); fault != nil {
			if err, ok := fault.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(fault)
			}
			g.cfg.Logger.Error("a request met a fault", "request_id", req.id, "fault", fmt.Sprint(fault), "stack", string(debug.Stack()))
			problem.New("fault", "").Write(w, req.id)
		}
	}()
	h := w.Header()
	h.Set("X-Request-Id", req.id)
	h.Set("Content-Security-Policy", csp)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store")
	if g.sessions.secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	switch {
	case len(r.RequestURI) > maxURL:
		problem.New("too-large", "The URL has more than 8 KiB.").Write(w, req.id)
		return
	case !g.isHost(r.Host) && !isOwnAddress(r):
		problem.New("not-allowed", "This name is not one of this service: add it to web-hosts.").Write(w, req.id)
		return
	}
	if err := g.origin.Check(r); err != nil {
		problem.New("not-allowed", "The request came from another site.").Write(w, req.id)
		return
	}
	if g.cfg.BasePath != "/" {
		http.StripPrefix(g.cfg.BasePath, http.HandlerFunc(g.route)).ServeHTTP(w, r)
		return
	}
	g.route(w, r)
}

func (g *Guard) route(w http.ResponseWriter, r *http.Request) {
	if _, pattern := g.mux.mux.Handler(r); pattern == "" {
		kind := problem.Kind("not-found")
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			other := r.Clone(r.Context())
			other.Method = method
			if _, pattern := g.mux.mux.Handler(other); pattern != "" && method != r.Method {
				kind = "method-not-known"
				w.Header().Add("Allow", map[string]string{http.MethodGet: "GET, HEAD", http.MethodPost: "POST"}[method])
			}
		}
		problem.New(kind, "").Write(w, RequestID(r.Context()))
		return
	}
	g.mux.mux.ServeHTTP(w, r)
}
