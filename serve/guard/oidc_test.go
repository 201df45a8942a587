package guard

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// issuer is a small OpenID provider: what it says of itself, its key, and codes.
type issuer struct {
	*httptest.Server
	key   *rsa.PrivateKey
	codes map[string]url.Values // what each code was asked for with
	roles any
	spoil func(claims map[string]any)
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key, codes: map[string]url.Values{}, roles: []string{"soc-lead"}, spoil: func(map[string]any) {}}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"keys": []any{map[string]string{
			"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k", "n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
			"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
		}}})
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		code := fmt.Sprint("code-", len(i.codes))
		i.codes[code] = q
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusSeeOther)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		asked, ok := i.codes[r.FormValue("code")]
		delete(i.codes, r.FormValue("code"))
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if !ok || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) || asked.Get("code_challenge_method") != "S256" {
			w.WriteHeader(http.StatusBadRequest)
			answer(w, map[string]string{"error": "invalid_grant"})
			return
		}
		answer(w, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": i.token("handprint", asked.Get("nonce"))})
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

// token signs an id token for an audience.
func (i *issuer) token(audience, nonce string) string {
	claims := map[string]any{
		"iss": i.URL, "sub": "u-1", "aud": audience, "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
		"nonce": nonce, "preferred_username": "ada", "groups": i.roles,
	}
	i.spoil(claims)
	part := func(v any) string {
		b, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signed := part(map[string]string{"alg": "RS256", "kid": "k", "typ": "JWT"}) + "." + part(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, _ := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, sum[:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// withIssuer returns a service whose people log in at the issuer.
func withIssuer(t *testing.T, i *issuer) (*httptest.Server, *Audit) {
	t.Helper()
	audit, err := OpenAudit("", nil)
	if err != nil {
		t.Fatal(err)
	}
	var handler http.Handler
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(srv.Close)
	g, err := New(config(func(c *Config) {
		c.Audit = audit
		c.OIDC = OIDCConfig{Issuer: i.URL, ClientID: "handprint", RedirectURL: srv.URL + "/auth/callback", RoleClaim: "groups", Roles: map[string]Role{"soc": Read, "soc-lead": Operate}}
	}))
	if err != nil {
		t.Fatal(err)
	}
	g.Mux().HandleFunc("GET /api/v1/whoami", func(w http.ResponseWriter, r *http.Request) {
		s := SubjectOf(r.Context())
		fmt.Fprintf(w, "%s %s %s", s.Name, s.Role, s.Method)
	})
	g.Mux().HandleFunc("GET /{$}", func(http.ResponseWriter, *http.Request) {})
	handler = g
	return srv, audit
}

func ask(t *testing.T, c *http.Client, url, bearer string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b := make([]byte, 2000)
	n, _ := answer.Body.Read(b)
	return answer.StatusCode, string(b[:n])
}

func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

func TestPeopleLogInAtTheIssuer(t *testing.T) {
	i := newIssuer(t)
	srv, audit := withIssuer(t, i)
	c := browser(t)
	if status, _ := ask(t, c, srv.URL+"/api/v1/whoami", ""); status != http.StatusUnauthorized {
		t.Errorf("before the login: %d", status)
	}
	if status, body := ask(t, c, srv.URL+"/auth/login", ""); status != http.StatusOK {
		t.Fatalf("the login ends with %d: %s", status, body)
	}
	if status, body := ask(t, c, srv.URL+"/api/v1/whoami", ""); status != http.StatusOK || body != "ada operate oidc" {
		t.Errorf("%d %q", status, body)
	}
	if lines := audit.Recent(10); len(lines) != 1 || lines[0].Action != "login" || lines[0].Subject != "ada" || lines[0].Method != "oidc" {
		t.Errorf("the audit has %+v", lines)
	}
}

func TestLoginsThatAreNotInOrderAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(i *issuer){
		"another nonce":      func(i *issuer) { i.spoil = func(c map[string]any) { c["nonce"] = "other" } },
		"another audience":   func(i *issuer) { i.spoil = func(c map[string]any) { c["aud"] = "another service" } },
		"another issuer":     func(i *issuer) { i.spoil = func(c map[string]any) { c["iss"] = "https://issuer.example" } },
		"a token that ended": func(i *issuer) { i.spoil = func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() } },
		"no role":            func(i *issuer) { i.roles = []string{"canteen"} },
		"no claim":           func(i *issuer) { i.spoil = func(c map[string]any) { delete(c, "groups") } },
		"another key": func(i *issuer) {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				panic(err)
			}
			i.key = key
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			spoil(i)
			srv, audit := withIssuer(t, i)
			c := browser(t)
			if status, _ := ask(t, c, srv.URL+"/auth/login", ""); status != http.StatusUnauthorized {
				t.Errorf("the login ends with %d", status)
			}
			if status, _ := ask(t, c, srv.URL+"/api/v1/whoami", ""); status != http.StatusUnauthorized {
				t.Errorf("afterwards: %d", status)
			}
			if lines := audit.Recent(10); len(lines) != 0 {
				t.Errorf("the audit has %+v", lines)
			}
			if status, _ := ask(t, http.DefaultClient, srv.URL+"/api/v1/whoami", i.token("handprint", "")); status != http.StatusUnauthorized && name != "another nonce" {
				t.Errorf("as a bearer token it gives %d", status)
			}
		})
	}
}

// The answer of the issuer belongs to the browser that asked, and is of use once.
func TestACallbackBelongsToItsLogin(t *testing.T) {
	i := newIssuer(t)
	srv, _ := withIssuer(t, i)
	victim, thief := browser(t), browser(t)
	thief.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), srv.URL+"/auth/callback") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/auth/login", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := thief.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	callback := answer.Header.Get("Location")
	if !strings.Contains(callback, "code=") {
		t.Fatalf("the issuer leads to %q", callback)
	}
	if status, _ := ask(t, victim, callback, ""); status != http.StatusUnauthorized {
		t.Errorf("another browser takes the callback: %d", status)
	}
	wrong := strings.Replace(callback, "state=", "state=x", 1)
	if status, _ := ask(t, thief, wrong, ""); status != http.StatusUnauthorized {
		t.Errorf("another state: %d", status)
	}
	if status, _ := ask(t, thief, callback, ""); status != http.StatusUnauthorized {
		t.Errorf("the cookie of a login that has failed is taken again: %d", status)
	}
}

func TestProgramsBringTokensOfTheIssuer(t *testing.T) {
	i := newIssuer(t)
	i.roles = "soc" // one role may be a text
	srv, _ := withIssuer(t, i)
	if status, body := ask(t, http.DefaultClient, srv.URL+"/api/v1/whoami", i.token("handprint", "")); status != http.StatusOK || body != "ada read oidc" {
		t.Errorf("%d %q", status, body)
	}
	for name, token := range map[string]string{"another audience": i.token("other", ""), "none": "x.y.z", "unsigned": "eyJhbGciOiJub25lIn0.e30."} {
		if status, _ := ask(t, http.DefaultClient, srv.URL+"/api/v1/whoami", token); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, status)
		}
	}
	i.Close() // what is known of the issuer is enough while its key is
	if status, _ := ask(t, http.DefaultClient, srv.URL+"/api/v1/whoami", i.token("handprint", "")); status != http.StatusOK {
		t.Errorf("with the issuer away: %d", status)
	}
}

func TestAnIssuerThatIsAwayIsSaid(t *testing.T) {
	i := newIssuer(t)
	srv, _ := withIssuer(t, i)
	i.Close()
	if status, body := ask(t, browser(t), srv.URL+"/auth/login", ""); status != http.StatusServiceUnavailable || !strings.Contains(body, "issuer") {
		t.Errorf("%d %q", status, body)
	}
}
