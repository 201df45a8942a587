package guard

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"handprint/serve/problem"
)

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
		if r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/api/") && r.ContentLength != 0 {
			if !isJSON(r.Header) {
				problem.New("not-json", "").Write(w, req.id)
				return
			}
			r.Header.Set("Content-Type", "application/json") // in one spelling
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		g.bounded(w, r, req, pattern, access, next)
	})
}

// isJSON reports whether a body is said to be JSON in UTF-8, as it is.
func isJSON(h http.Header) bool {
	kind, parameters, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset, hasCharset := parameters["charset"]
	encoding := h.Get("Content-Encoding")
	return err == nil && kind == "application/json" && (!hasCharset || strings.EqualFold(charset, "utf-8")) && (encoding == "" || strings.EqualFold(encoding, "identity"))
}

// bounded runs a route within the limits.
func (g *Guard) bounded(w http.ResponseWriter, r *http.Request, req *request, pattern string, access Access, next http.Handler) {
	if access.Cost != Stream {
		places := []chan struct{}{g.running}
		switch access.Cost { // who waits for one of the few holds none of the many
		case Scan:
			places = []chan struct{}{g.scans, g.running}
		case Bulk:
			places = []chan struct{}{g.exports, g.running}
		}
		for _, slots := range places {
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
	if isAPI := strings.HasPrefix(r.URL.Path, "/api/"); isAPI && !utf8.Valid(body) {
		problem.New("bad-request", "The body is not UTF-8.").Write(w, req.id)
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
	line.Phase = "broken" // unless it comes to its end
	defer func() {
		line.Status, line.Body, line.TS = noted.status, nil, seconds(g.cfg.Now())
		if err := g.cfg.Audit.Write(line); err != nil {
			g.cfg.Logger.Error("the outcome of an action is not in the audit", "request_id", req.id, "error", err)
		}
	}()
	next.ServeHTTP(noted, r)
	line.Phase = "after"
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
