package guard

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path"
	"runtime/debug"
	"slices"
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
	local    string // the token that was made; empty: none
	mux      *Mux

	requests  atomic.Int64
	loginForm func(failed, oidc bool) []byte // nil: a plain one
}

// Limits of requests.
const (
	maxRunning  = 64
	maxScans    = 4
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
		running: make(chan struct{}, maxRunning), scans: make(chan struct{}, maxScans),
		tokens: &tokens{file: c.TokenFile, now: c.Now},
	}
	hasTLS, hasCredentials := c.TLSCert != "" && c.TLSKey != "", c.TokenFile != "" || c.OIDC.Issuer != "" || c.ClientCA != ""
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return nil, errors.New("web-tls-cert and web-tls-key go together: set both")
	case c.ClientCA != "" && !hasTLS:
		return nil, errors.New("web-client-ca needs web-tls-cert and web-tls-key")
	case c.OpenLoopback && (!g.loopback || len(c.BehindProxy) > 0):
		return nil, errors.New("web-open-loopback needs an address on loopback in web-listen, and no proxy: anybody could do everything")
	case !g.loopback && len(c.BehindProxy) == 0 && !hasTLS:
		return nil, fmt.Errorf("web-listen %s can be reached from elsewhere: set web-tls-cert and web-tls-key, or web-behind-proxy if a proxy has the certificate", c.Listen)
	case (!g.loopback || len(c.BehindProxy) > 0) && !hasCredentials:
		return nil, fmt.Errorf("web-listen %s can be reached from elsewhere: set token-file, oidc-issuer or web-client-ca, so that it is known who asks", c.Listen)
	}
	if err := g.tokens.load(); err != nil {
		return nil, err
	}
	key, err := sessionKey(c.SessionKey)
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
	if host != "" {
		g.hosts[strings.ToLower(host)] = true
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

// Mux returns where routes are registered.
func (g *Guard) Mux() *Mux { return g.mux }

// LocalToken returns the token that was made for local use; empty: none was.
func (g *Guard) LocalToken() string { return g.local }

// BasePath returns below which path everything stands; / if there is none.
func (g *Guard) BasePath() string { return g.cfg.BasePath }

// TLS returns how connections are secured; nil: they are not. Certificates are read
// again when their files change.
func (g *Guard) TLS() (*tls.Config, error) {
	if g.cfg.TLSCert == "" {
		return nil, nil
	}
	reload := &certificate{cert: g.cfg.TLSCert, key: g.cfg.TLSKey}
	if _, err := reload.get(nil); err != nil {
		return nil, fmt.Errorf("web-tls-cert and web-tls-key: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: reload.get, NextProtos: []string{"h2", "http/1.1"}}
	if g.cfg.ClientCA == "" {
		return c, nil
	}
	clients := &authorities{file: g.cfg.ClientCA}
	pool, err := clients.get()
	if err != nil {
		return nil, fmt.Errorf("web-client-ca: %w", err)
	}
	c.ClientCAs, c.ClientAuth = pool, tls.VerifyClientCertIfGiven
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		pool, err := clients.get()
		if err != nil {
			return nil, err
		}
		fresh := c.Clone()
		fresh.ClientCAs, fresh.GetConfigForClient = pool, nil
		// A session that was begun under other authorities is not gone on with.
		fresh.SessionTicketsDisabled = true
		return fresh, nil
	}
	return c, nil
}

// authorities are read again when their file changes.
type authorities struct {
	file   string
	mu     sync.Mutex
	loaded *x509.CertPool
	mod    time.Time
}

// get returns the authorities; a file that cannot be read leaves the ones before.
func (a *authorities) get() (*x509.CertPool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	info, err := os.Stat(a.file)
	if err == nil && (a.loaded == nil || !info.ModTime().Equal(a.mod)) {
		var pem []byte
		if pem, err = os.ReadFile(a.file); err == nil {
			if pool := x509.NewCertPool(); pool.AppendCertsFromPEM(pem) {
				a.loaded, a.mod = pool, info.ModTime()
			} else {
				err = fmt.Errorf("%s has no certificate", a.file)
			}
		}
	}
	if a.loaded == nil {
		return nil, err
	}
	return a.loaded, nil
}

// certificate is read again when its file changes.
type certificate struct {
	cert, key string
	mu        sync.Mutex
	loaded    *tls.Certificate
	mod       time.Time
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.cert)
	if err == nil && (c.loaded == nil || !info.ModTime().Equal(c.mod)) {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(c.cert, c.key); err == nil {
			c.loaded, c.mod = &pair, info.ModTime()
		}
	}
	if c.loaded == nil {
		return nil, err
	}
	return c.loaded, nil
}

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
	case !g.isHost(r.Host):
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
				w.Header().Add("Allow", method)
			}
		}
		problem.New(kind, "").Write(w, RequestID(r.Context()))
		return
	}
	g.mux.mux.ServeHTTP(w, r)
}

// isHost reports whether a Host header names this service: by another name a page of
// another site could reach it (DNS rebinding).
func (g *Guard) isHost(host string) bool {
	name := strings.ToLower(host)
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
		if strings.Contains(h, ":") {
			name = "[" + h + "]"
		}
	}
	return g.hosts[name] || g.hosts[strings.ToLower(host)]
}

// address returns where a request comes from: behind a trusted proxy what that
// forwards.
func (g *Guard) address(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	from := peer.Addr().Unmap()
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for n := len(forwarded) - 1; n >= 0 && g.trusts(from); n-- {
		next, err := netip.ParseAddr(strings.TrimSpace(forwarded[n]))
		if err != nil {
			break
		}
		from = next.Unmap()
	}
	return from.String()
}

func (g *Guard) trusts(ip netip.Addr) bool {
	return slices.ContainsFunc(g.cfg.BehindProxy, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// authenticate says who asks; ok is false for nobody.
func (g *Guard) authenticate(r *http.Request) (s Subject, ok bool) {
	if auth := r.Header.Get("Authorization"); auth != "" {
		secret, isBearer := strings.CutPrefix(auth, "Bearer ")
		if !isBearer {
			return s, false
		}
		if s, ok := g.tokens.find(secret); ok {
			return s, true
		}
		if g.oidc != nil {
			return g.oidc.bearer(r.Context(), secret)
		}
		return s, false
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		leaf := r.TLS.VerifiedChains[0][0]
		for _, name := range append([]string{leaf.Subject.CommonName}, leaf.DNSNames...) {
			if role, ok := g.cfg.ClientRoles[name]; ok {
				return Subject{Name: name, Role: role, Method: "certificate"}, true
			}
		}
	}
	if v, ok := g.sessions.of(r); ok {
		if v.Token == "" {
			return v.Subject, true
		}
		if s, ok := g.tokens.find(v.Token); ok {
			return s, true
		}
	}
	if g.cfg.OpenLoopback {
		return Subject{Name: "loopback", Role: g.cfg.LocalRole, Method: "loopback"}, true
	}
	return s, false
}

// protect stands in front of one route.
func (g *Guard) protect(pattern string, access Access, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, _ := r.Context().Value(contextKey{}).(*request)
		if req == nil {
			req = new(request)
		}
		role := access.Role
		if access.Loopback && g.loopback {
			role = Public
		}
		if !g.failures.has(req.from) {
			p := problem.New("too-many", "There were too many wrong credentials from this address.")
			p.After = time.Second
			p.Write(w, req.id)
			return
		}
		subject, known := g.authenticate(r)
		req.subject = subject
		if !known && role != Public {
			if r.Header.Get("Authorization") != "" {
				g.failures.take(req.from)
			}
			if access.Page && r.Header.Get("Authorization") == "" {
				http.Redirect(w, r, path.Join(g.cfg.BasePath, "login"), http.StatusSeeOther)
				return
			}
			problem.New("no-credentials", "").Write(w, req.id)
			return
		}
		if !subject.Role.allows(role, g.cfg.ExportApart) {
			problem.New("not-allowed", fmt.Sprintf("This needs the role %s; %s has %s.", role, subject.Name, subject.Role)).Write(w, req.id)
			return
		}
		key := subject.Name
		if key == "" {
			key = "address " + req.from
		}
		if g.cfg.Rate > 0 && !g.subjects.take(key) {
			p := problem.New("too-many", "")
			p.After = time.Second
			p.Write(w, req.id)
			return
		}
		if r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/api/") && r.ContentLength != 0 && !isJSON(r.Header.Get("Content-Type")) {
			problem.New("not-json", "").Write(w, req.id)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		g.bounded(w, r, req, pattern, access, next)
	})
}

func isJSON(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.TrimSpace(strings.ToLower(kind)) == "application/json"
}

// bounded runs a route within the limits.
func (g *Guard) bounded(w http.ResponseWriter, r *http.Request, req *request, pattern string, access Access, next http.Handler) {
	if access.Cost != Stream {
		for _, slots := range []chan struct{}{g.running, g.scans} {
			if slots == g.scans && access.Cost != Scan && access.Cost != Bulk {
				continue
			}
			wait := time.NewTimer(requestTime / 2)
			select {
			case slots <- struct{}{}:
				wait.Stop()
				defer func() { <-slots }()
			case <-wait.C:
				p := problem.New("busy", "")
				p.After = time.Second
				p.Write(w, req.id)
				return
			case <-r.Context().Done():
				wait.Stop()
				return
			}
		}
		limit := requestTime
		if access.Cost == Bulk {
			limit = bulkTime
		}
		ctx, cancel := context.WithTimeout(r.Context(), limit+requestTime) // waits of its own are shorter
		defer cancel()
		r = r.WithContext(ctx)
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit + requestTime)) // not every writer can
	}
	if !access.Audited {
		next.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		problem.New("too-large", "").Write(w, req.id)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	line := AuditLine{
		TS: seconds(g.cfg.Now()), Phase: "before", Subject: req.subject.Name, Role: string(req.subject.Role), Method: req.subject.Method, From: req.from,
		Action: pattern, Target: r.URL.RequestURI(), RequestID: req.id,
	}
	if json.Valid(body) {
		line.Body = body
	}
	if err := g.cfg.Audit.Write(line); err != nil {
		g.cfg.Logger.Error("an action was refused, because it cannot be noted in the audit", "request_id", req.id, "error", err)
		problem.New("fault", "The audit cannot be written, so this is not done.").Write(w, req.id)
		return
	}
	noted := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	next.ServeHTTP(noted, r)
	line.Phase, line.Status, line.Body, line.TS = "after", noted.status, nil, seconds(g.cfg.Now())
	if err := g.cfg.Audit.Write(line); err != nil {
		g.cfg.Logger.Error("the outcome of an action is not in the audit", "request_id", req.id, "error", err)
	}
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (s *statusWriter) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the writer.
func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }
