package guard

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"handprint/serve/problem"
)

// OIDCConfig is how people log in with accounts of their organisation.
type OIDCConfig struct {
	Issuer       string // empty: they do not
	ClientID     string
	ClientSecret string // empty: a public client, by PKCE alone
	RedirectURL  string // of /auth/callback, as browsers see it
	RoleClaim    string
	Roles        map[string]Role // by a value of the claim; what has none is refused
}

// oidcLogin is the code flow with PKCE, nonce and state. Between its two steps
// everything is in a sealed cookie.
type oidcLogin struct {
	cfg      OIDCConfig
	sessions *sessions

	mu       sync.Mutex
	provider *oidc.Provider
	failed   error // of the last attempt to ask the issuer
	again    time.Time
}

// askAgain is for how long an issuer that has not answered is left alone: each attempt
// takes up to ten seconds, and all others wait for it.
const askAgain = 5 * time.Second

func newOIDC(c OIDCConfig, s *sessions) *oidcLogin { return &oidcLogin{cfg: c, sessions: s} }

// find asks the issuer about itself, once that has succeeded never again.
func (o *oidcLogin) find(ctx context.Context) (*oidc.Provider, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider != nil {
		return o.provider, nil
	}
	if o.failed != nil && o.sessions.now().Before(o.again) {
		return nil, o.failed
	}
	client := &http.Client{Timeout: 10 * time.Second}
	// The provider fetches keys later, when the request is over.
	p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), client), o.cfg.Issuer)
	if err == nil {
		o.provider = p
	}
	o.failed, o.again = err, o.sessions.now().Add(askAgain)
	return p, err
}

func (o *oidcLogin) oauth(p *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{ClientID: o.cfg.ClientID, ClientSecret: o.cfg.ClientSecret, Endpoint: p.Endpoint(), RedirectURL: o.cfg.RedirectURL, Scopes: []string{oidc.ScopeOpenID, "profile"}}
}

// attempt is one login that has begun.
type attempt struct {
	State, Nonce, Verifier string
	Expires                time.Time
}

const attemptCookie = "handprint-login"

func random() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // it never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (o *oidcLogin) begin(w http.ResponseWriter, r *http.Request) {
	p, err := o.find(r.Context())
	if err != nil {
		problem.New("busy", "The issuer of the accounts does not answer.").Write(w, RequestID(r.Context()))
		return
	}
	a := attempt{State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier(), Expires: o.sessions.now().Add(loginAge)}
	sealed, err := o.sessions.seal(a, "login")
	if err != nil {
		problem.New("fault", "").Write(w, RequestID(r.Context()))
		return
	}
	http.SetCookie(w, &http.Cookie{Name: attemptCookie, Value: sealed, Path: o.sessions.path, MaxAge: int(loginAge / time.Second), Secure: o.sessions.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, o.oauth(p).AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), http.StatusSeeOther)
}

// finish ends a login: the code is exchanged, the token checked, the role found.
func (o *oidcLogin) finish(w http.ResponseWriter, r *http.Request) (s Subject, err error) {
	cookie, err := r.Cookie(attemptCookie)
	if err != nil {
		return s, errors.New("no login has begun")
	}
	http.SetCookie(w, &http.Cookie{Name: attemptCookie, Path: o.sessions.path, MaxAge: -1, Secure: o.sessions.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	var a attempt
	if !o.sessions.open(cookie.Value, "login", &a) || o.sessions.now().After(a.Expires) {
		return s, errors.New("the login took too long, or its cookie is damaged")
	}
	if r.FormValue("state") != a.State {
		return s, errors.New("the state is another one")
	}
	p, err := o.find(r.Context())
	if err != nil {
		return s, err
	}
	t, err := o.oauth(p).Exchange(oidc.ClientContext(r.Context(), &http.Client{Timeout: 10 * time.Second}), r.FormValue("code"), oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return s, errors.New("the issuer does not take the code")
	}
	raw, ok := t.Extra("id_token").(string)
	if !ok {
		return s, errors.New("the issuer gives no id token")
	}
	id, err := p.Verifier(&oidc.Config{ClientID: o.cfg.ClientID, Now: o.sessions.now}).Verify(r.Context(), raw)
	if err != nil {
		return s, err
	}
	if id.Nonce != a.Nonce {
		return s, errors.New("the nonce is another one")
	}
	return o.subject(id)
}

// bearer takes a token of the same issuer, made for this service, from a program.
func (o *oidcLogin) bearer(ctx context.Context, raw string) (Subject, bool) {
	p, err := o.find(ctx)
	if err != nil {
		return Subject{}, false
	}
	id, err := p.Verifier(&oidc.Config{ClientID: o.cfg.ClientID, Now: o.sessions.now}).Verify(ctx, raw)
	if err != nil {
		return Subject{}, false
	}
	s, err := o.subject(id)
	return s, err == nil
}

// subject finds the highest role that the claim gives.
func (o *oidcLogin) subject(id *oidc.IDToken) (s Subject, err error) {
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return s, err
	}
	values, _ := claims[o.cfg.RoleClaim].([]any)
	if text, ok := claims[o.cfg.RoleClaim].(string); ok {
		values = []any{text}
	}
	s = Subject{Name: id.Subject, Method: "oidc"}
	for _, name := range []string{"preferred_username", "email"} {
		if text, ok := claims[name].(string); ok && text != "" {
			s.Name = text
			break
		}
	}
	for _, role := range []Role{Operate, Export, Read} {
		for _, v := range values {
			if text, ok := v.(string); ok && o.cfg.Roles[text] == role {
				s.Role = role
				return s, nil
			}
		}
	}
	return s, fmt.Errorf("the claim %s of %s gives no role", o.cfg.RoleClaim, s.Name)
}
