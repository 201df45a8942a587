package guard

import (
	"html"
	"net/http"
	"path"
	"strings"
	"time"

	"handprint/serve/problem"
)

// loginPage is a plain form where a token can be pasted; the page's script takes it
// from the fragment of the link that is printed at the start.
func (g *Guard) loginPage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if g.loginForm != nil {
		_, _ = w.Write(g.loginForm(r.URL.Query().Has("failed"), g.oidc != nil)) // the client has gone
		return
	}
	var b strings.Builder
	b.WriteString("<!doctype html><html lang=en><meta charset=utf-8><title>handprint: log in</title><h1>Log in</h1>")
	if r.URL.Query().Has("failed") {
		b.WriteString("<p role=alert>That token is not known, or is over.</p>")
	}
	action := html.EscapeString(path.Join(g.cfg.BasePath, "login"))
	b.WriteString(`<form method=post action="` + action + `"><label>Token <input name=token type=password autocomplete=off required autofocus></label> <button>Log in</button></form>`)
	if g.oidc != nil {
		b.WriteString(`<p><a href="` + html.EscapeString(path.Join(g.cfg.BasePath, "auth/login")) + `">Log in with your organisation's account</a></p>`)
	}
	b.WriteString("</html>")
	_, _ = w.Write([]byte(b.String())) // the client has gone
}

// login exchanges a token for a cookie.
func (g *Guard) login(w http.ResponseWriter, r *http.Request) {
	req := r.Context().Value(contextKey{}).(*request)
	secret := strings.TrimSpace(r.FormValue("token"))
	subject, ok := g.tokens.find(secret)
	if !ok {
		g.failures.take(req.from)
		http.Redirect(w, r, path.Join(g.cfg.BasePath, "login")+"?failed", http.StatusSeeOther)
		return
	}
	req.subject = subject
	if !g.noteLogin(w, req) {
		return
	}
	if err := g.sessions.begin(w, session{Subject: subject, Token: secret}); err != nil {
		problem.New("fault", "").Write(w, req.id)
		return
	}
	http.Redirect(w, r, g.cfg.BasePath, http.StatusSeeOther)
}

func (g *Guard) noteLogin(w http.ResponseWriter, req *request) bool {
	err := g.cfg.Audit.Write(AuditLine{
		TS: seconds(g.cfg.Now()), Phase: "before", Subject: req.subject.Name, Role: string(req.subject.Role), Method: req.subject.Method, From: req.from, Action: "login", RequestID: req.id,
	})
	if err != nil {
		g.cfg.Logger.Error("a login was refused, because it cannot be noted in the audit", "request_id", req.id, "error", err)
		problem.New("fault", "The audit cannot be written, so nobody can log in.").Write(w, req.id)
	}
	return err == nil
}

func (g *Guard) logout(w http.ResponseWriter, r *http.Request) {
	g.sessions.end(w)
	http.Redirect(w, r, path.Join(g.cfg.BasePath, "login"), http.StatusSeeOther)
}

func (g *Guard) oidcCallback(w http.ResponseWriter, r *http.Request) {
	req := r.Context().Value(contextKey{}).(*request)
	subject, err := g.oidc.finish(w, r)
	if err != nil {
		g.failures.take(req.from)
		g.cfg.Logger.Warn("a login failed", "request_id", req.id, "error", err)
		problem.New("no-credentials", "The login failed: begin again.").Write(w, req.id)
		return
	}
	req.subject = subject
	if !g.noteLogin(w, req) {
		return
	}
	if err := g.sessions.begin(w, session{Subject: subject}); err != nil {
		problem.New("fault", "").Write(w, req.id)
		return
	}
	http.Redirect(w, r, g.cfg.BasePath, http.StatusSeeOther)
}

// loginAge is how long a login may take.
const loginAge = 10 * time.Minute
