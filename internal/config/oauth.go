package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
)

const oauthBearer = "oauthbearer"

// OAuth is where the tokens of OAUTHBEARER come from: a file that somebody else
// keeps fresh, or an endpoint that gives them out for client credentials.
type OAuth struct {
	TokenFile    string // read at each authentication
	TokenURL     string
	ClientID     string
	ClientSecret string
	Scope        string

	secretFile string
}

func declareOAuth(s *Set, o *OAuth) {
	s.Path(&o.TokenFile, "sasl-oauth-token-file", "", Any[string](), "File that holds the token of oauthbearer. It is read again at each authentication.", Important(Low))
	s.Text(&o.TokenURL, "sasl-oauth-token-url", "",
		Matching("empty, or a URL that begins with http:// or https://", func(t string) bool { return t == "" || webURL(t) }),
		"Endpoint that gives out tokens for client credentials (OAuth 2.0), instead of a file.", Important(Low))
	s.Text(&o.ClientID, "sasl-oauth-client-id", "", Any[string](), "Client that the endpoint knows.", Important(Low))
	s.Text(&o.ClientSecret, "sasl-oauth-client-secret", "", Any[string](), "Its secret. As a flag other users of the machine can see it; prefer the file.", Secret(), Important(Low))
	s.Path(&o.secretFile, "sasl-oauth-client-secret-file", "", Any[string](), "File that holds the secret.", Important(Low))
	s.Text(&o.Scope, "sasl-oauth-scope", "", Any[string](), "Scope to ask the endpoint for.", Important(Low))
}

// finish reads the secret's file and checks what belongs together. Tokens are
// wanted if used is set.
func (o *OAuth) finish(s *Set, used bool) error {
	if o.secretFile != "" {
		if o.ClientSecret != "" {
			return s.Errorf("sasl-oauth-client-secret-file", "must not be set together with sasl-oauth-client-secret")
		}
		secret, err := ReadSecret(o.secretFile)
		if err != nil {
			return s.Errorf("sasl-oauth-client-secret-file", "%s %w", o.secretFile, err)
		}
		o.ClientSecret = secret
	}
	switch {
	case !used:
		return nil
	case (o.TokenFile == "") == (o.TokenURL == ""):
		return s.Errorf("sasl-mechanism", "needs one of sasl-oauth-token-file and sasl-oauth-token-url")
	case o.TokenURL != "" && (o.ClientID == "" || o.ClientSecret == ""):
		return s.Errorf("sasl-oauth-token-url", "needs sasl-oauth-client-id and sasl-oauth-client-secret-file")
	}
	return nil
}

// mechanism returns how to authenticate. The endpoint's certificate is checked
// as the brokers' are.
func (o *OAuth) mechanism(c *Connection) (sasl.Mechanism, error) {
	if o.TokenFile != "" {
		return bearer{oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := ReadSecret(o.TokenFile)
			if err != nil {
				return oauth.Auth{}, fmt.Errorf("sasl-oauth-token-file: %s %w", o.TokenFile, err)
			}
			return oauth.Auth{Token: token}, nil
		})}, nil
	}
	t, err := c.tlsConfig("")
	if err != nil {
		return nil, err
	}
	t.ServerName = "" // that of the brokers is not the endpoint's
	endpoint := &tokenEndpoint{oauth: *o, client: &http.Client{
		Transport: &http.Transport{TLSClientConfig: t, Proxy: http.ProxyFromEnvironment},
		Timeout:   c.Timeout,
	}, now: time.Now}
	return bearer{oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
		token, err := endpoint.token(ctx)
		return oauth.Auth{Token: token}, err
	})}, nil
}

// bearer is a mechanism of tokens whose errors say why a broker does not take
// one. The client's own says only that there was an answer.
type bearer struct{ sasl.Mechanism }

// Authenticate begins as the mechanism does.
func (b bearer) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	s, first, err := b.Mechanism.Authenticate(ctx, host)
	return bearerSession{s}, first, err
}

type bearerSession struct{ sasl.Session }

// Challenge takes the broker's answer, which is empty if it takes the token.
func (s bearerSession) Challenge(answer []byte) (bool, []byte, error) {
	if len(answer) > 0 {
		return false, nil, fmt.Errorf("the broker does not take the token: %.300q", answer)
	}
	return s.Session.Challenge(answer)
}

// tokenEndpoint gets tokens, and keeps one until a little before it expires: a
// process authenticates each of its connections.
type tokenEndpoint struct {
	oauth  OAuth
	client *http.Client
	now    func() time.Time

	mu    sync.Mutex
	last  string
	until time.Time
}

// Tokens are not used any more this long before they expire, and what the
// endpoint answers is read up to a bound.
const (
	tokenMargin = 10 * time.Second
	tokenLimit  = 1 << 20
)

// token returns a token that is valid now. Errors name the endpoint and say
// neither secret nor token.
func (e *tokenEndpoint) token(ctx context.Context) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.last != "" && e.now().Before(e.until) {
		return e.last, nil
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if e.oauth.Scope != "" {
		form.Set("scope", e.oauth.Scope)
	}
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("getting a token from %s: %w", e.oauth.TokenURL, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.oauth.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return fail(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(e.oauth.ClientID), url.QueryEscape(e.oauth.ClientSecret))
	resp, err := e.client.Do(req)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err // the URL is said already
		}
		return fail(err)
	}
	defer resp.Body.Close()
	var answer struct {
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"` // seconds; 0 if not said
		Error       string  `json:"error"`
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, tokenLimit)).Decode(&answer)
	switch {
	case resp.StatusCode != http.StatusOK && answer.Error != "":
		return fail(fmt.Errorf("%s: %.100q", resp.Status, answer.Error))
	case resp.StatusCode != http.StatusOK:
		return fail(errors.New(resp.Status))
	case err != nil:
		return fail(errors.New("the answer is not JSON"))
	case answer.AccessToken == "":
		return fail(errors.New("the answer has no access_token"))
	}
	e.last = answer.AccessToken
	e.until = e.now().Add(time.Duration(min(answer.ExpiresIn, 24*3600)*float64(time.Second)) - tokenMargin)
	return e.last, nil
}
