package guard

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func config(change func(*Config)) Config {
	audit, _ := OpenAudit("", nil) // in memory: no such error
	c := Config{Listen: "127.0.0.1:0", LocalRole: Read, Audit: audit, Now: time.Now, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&c)
	}
	return c
}

func TestAnInterfaceThatOthersReachNeedsTLSAndCredentials(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tokens.json")
	if err := WriteTokens(file, nil); err != nil {
		t.Fatal(err)
	}
	proxy := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct {
		name, want string // want is a part of the error; empty: it starts
		change     func(*Config)
	}{
		{"loopback", "", nil},
		{"everywhere, nothing set", "web-tls-cert", func(c *Config) { c.Listen = "0.0.0.0:1"; c.TokenFile = file }},
		{"every interface", "web-tls-cert", func(c *Config) { c.Listen = ":1"; c.TokenFile = file }},
		{"TLS, nobody known", "token-file", func(c *Config) { c.Listen = "0.0.0.0:1"; c.TLSCert, c.TLSKey = "c", "k" }},
		{"TLS and tokens", "", func(c *Config) { c.Listen = "0.0.0.0:1"; c.TLSCert, c.TLSKey = "c", "k"; c.TokenFile = file }},
		{"a proxy, nobody known", "token-file", func(c *Config) { c.Listen = "0.0.0.0:1"; c.BehindProxy = proxy }},
		{"a proxy before loopback, nobody known", "token-file", func(c *Config) { c.BehindProxy = proxy }},
		{"a proxy and tokens", "", func(c *Config) { c.Listen = "0.0.0.0:1"; c.BehindProxy = proxy; c.TokenFile = file }},
		{"open elsewhere", "web-open-loopback", func(c *Config) { c.Listen = "0.0.0.0:1"; c.OpenLoopback = true; c.TLSCert, c.TLSKey = "c", "k" }},
		{"roles of certificates that nobody asks for", "web-client-ca", func(c *Config) { c.ClientRoles = map[string]Role{"a": Read} }},
		{"certificates without roles", "web-client-roles", func(c *Config) { c.TLSCert, c.TLSKey, c.ClientCA = "c", "k", "a" }},
		{"an issuer that does not know this service", "oidc-client-id", func(c *Config) { c.OIDC = OIDCConfig{Issuer: "https://a", Roles: map[string]Role{"a": Read}} }},
		{"accounts without roles", "oidc-roles", func(c *Config) { c.OIDC = OIDCConfig{Issuer: "https://a", ClientID: "b"} }},
		{"a client of no issuer", "oidc-issuer", func(c *Config) { c.OIDC = OIDCConfig{ClientID: "b"} }},
		{"half of a certificate", "web-tls-key", func(c *Config) { c.TLSCert = "c" }},
	} {
		_, err := New(config(c.change))
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := New(config(func(c *Config) { c.TokenFile = file })); err == nil {
		t.Error("a token file that anybody may write is taken")
	}
}

func TestARouteThatIsNotInTheTableEndsTheStart(t *testing.T) {
	g, err := New(config(nil))
	if err != nil {
		t.Fatal(err)
	}
	g.Mux().HandleFunc("GET /forgotten", func(http.ResponseWriter, *http.Request) {})
	if err := g.Mux().Err(); err == nil || !strings.Contains(err.Error(), "/forgotten") {
		t.Errorf("%v", err)
	}
}

func TestTokensEnd(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	file := filepath.Join(t.TempDir(), "tokens.json")
	secret, kept := NewToken("a", Operate, now, now.Add(time.Hour))
	if err := WriteTokens(file, []Token{kept}); err != nil {
		t.Fatal(err)
	}
	k := &tokens{file: file, now: func() time.Time { return now }}
	if err := k.load(); err != nil {
		t.Fatal(err)
	}
	if s, ok := k.find(secret); !ok || s.Role != Operate || s.Name != "a" {
		t.Errorf("%+v, %v", s, ok)
	}
	if _, ok := k.find(secret[:len(secret)-1]); ok {
		t.Error("a part of a token is taken")
	}
	now = now.Add(2 * time.Hour)
	if _, ok := k.find(secret); ok {
		t.Error("a token that is over is taken")
	}
	now = now.Add(-2 * time.Hour)
	if err := WriteTokens(file, nil); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * lookEvery)
	if _, ok := k.find(secret); ok {
		t.Error("a revoked token is taken")
	}
}

func TestAnActionThatCannotBeNotedIsNotDone(t *testing.T) {
	var fail error
	audit, err := OpenAudit("", func([]byte) error { return fail })
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(config(func(c *Config) { c.Audit = audit; c.OpenLoopback = true; c.LocalRole = Operate }))
	if err != nil {
		t.Fatal(err)
	}
	done := 0
	g.Mux().HandleFunc("POST /api/v1/identity-events", func(http.ResponseWriter, *http.Request) { done++ })
	post := func() int {
		r := httptest.NewRequest(http.MethodPost, "http://localhost/api/v1/identity-events", strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w.Code
	}
	if status := post(); status != 200 || done != 1 || len(audit.Recent(10)) != 2 {
		t.Errorf("%d, done %d times, %d lines", status, done, len(audit.Recent(10)))
	}
	fail = errors.New("no room")
	if status := post(); status != 500 || done != 1 {
		t.Errorf("%d, done %d times", status, done)
	}
}

func TestAProxySaysWhoAsks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens.json")
	g, err := New(config(func(c *Config) {
		c.BehindProxy, c.TokenFile = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, file
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ peer, forwarded, want string }{
		{"10.0.0.1:1", "192.0.2.1", "192.0.2.1"},
		{"10.0.0.1:1", "203.0.113.9, 192.0.2.1", "192.0.2.1"},
		{"10.0.0.1:1", "192.0.2.1, 10.0.0.2", "192.0.2.1"},
		{"198.51.100.1:1", "192.0.2.1", "198.51.100.1"}, // it is not trusted
		{"10.0.0.1:1", "", "10.0.0.1"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := g.address(r); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// Where all addresses are listened on, the one that a request came to is a name of the
// service; those of others are not.
func TestTheAddressThatIsAskedIsAName(t *testing.T) {
	dir := t.TempDir()
	g, err := New(config(func(c *Config) {
		c.Listen, c.TokenFile, c.Hosts = "0.0.0.0:1", filepath.Join(dir, "tokens.json"), []string{"handprint.example"}
		c.BehindProxy = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	}))
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{
		"192.0.2.7": 200, "192.0.2.7:8480": 200, "[::ffff:192.0.2.7]:1": 200, "handprint.example": 200, "HANDPRINT.example:8480": 200,
		"192.0.2.8": 403, "evil.example": 403, "192.0.2.7.evil.example": 403, "": 403, "[::1]": 403, "127.0.0.1": 403, "localhost": 403, "3221225991": 403,
	} {
		r := httptest.NewRequest(http.MethodGet, "/problems/not-found", nil)
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 8480})))
		r.Host = host
		w := httptest.NewRecorder()
		if g.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%q: %d, want %d", host, w.Code, want)
		}
	}
}

// Drain waits for the requests that are being answered, and refuses others.
func TestDrain(t *testing.T) {
	g, err := New(config(nil))
	if err != nil {
		t.Fatal(err)
	}
	began, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	g.mux.table["GET /slow"] = Access{}
	g.mux.HandleFunc("GET /slow", func(http.ResponseWriter, *http.Request) { close(began); <-goOn; close(ended) })
	ask := func(path string) int {
		r := httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w.Code
	}
	go ask("/slow")
	<-began
	drained := make(chan struct{})
	go func() { g.Drain(); close(drained) }()
	for ask("/problems/busy") != http.StatusServiceUnavailable { // until Drain has come so far
		runtime.Gosched()
	}
	select {
	case <-drained:
		t.Error("drained, and a request is being answered")
	default:
	}
	close(goOn)
	<-drained
	select {
	case <-ended:
	default:
		t.Error("drained before the request was answered")
	}
}

// A folder in which no key can be made is found before anything is asked of a broker,
// and a look at one in which it can be made leaves nothing.
func TestCheckFindsAFolderThatTakesNoKey(t *testing.T) {
	t.Parallel()
	closed := t.TempDir()
	if os.Geteuid() == 0 { // root may write whatever the mode says, but not there
		closed = "/proc"
		if _, err := os.Stat(closed); err != nil {
			t.Skip(err)
		}
	} else if err := os.Chmod(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	c := Config{Listen: "127.0.0.1:0", Now: time.Now, Logger: slog.New(slog.DiscardHandler), SessionKey: filepath.Join(closed, "key")}
	if err := Check(c); err == nil || !strings.HasPrefix(err.Error(), "web-session-key: no file can be made in "+closed+": ") {
		t.Errorf("a folder that cannot be written: %v", err)
	}
	open := t.TempDir()
	c.SessionKey = filepath.Join(open, "key")
	if err := Check(c); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(open); err != nil || len(left) != 0 {
		t.Errorf("the look has left %v, %v", left, err)
	}
}
