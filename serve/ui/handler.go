package ui

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"

	"handprint/serve/query"
)

// Person is who asks, as the guard has found out.
type Person struct {
	Name    string
	Role    string
	Operate bool // may form, link, merge and unmerge
}

// Actor sends identity events for people who may.
type Actor interface {
	// Merge and Unmerge send the event and return where it lies: topic,
	// partition and offset.
	Merge(ctx context.Context, winner, loser string) (string, error)
	Unmerge(ctx context.Context, winner, loser string, attackers []string) (string, error)
	// Replay sends the original of a dead letter to its topic again, and returns where
	// it lies.
	Replay(ctx context.Context, partition int32, offset int64) (string, error)
}

// Options are what the pages need.
type Options struct {
	Source   Source
	Actor    Actor                      // nil: nothing can be changed
	Person   func(*http.Request) Person // nil: nobody in particular, who may read
	BasePath string                     // before every path, such as /handprint; empty: none
	Story    *Story                     // nil: this is no demo
	Now      func() time.Time           // nil: time.Now
	Log      *slog.Logger               // nil: slog.Default
}

// Handler serves the pages. It may be used by several goroutines.
type Handler struct {
	o      Options
	assets *assets
	sent   replays
}

// New returns the pages.
func New(o Options) (*Handler, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Person == nil {
		o.Person = func(*http.Request) Person { return Person{} }
	}
	o.BasePath = strings.TrimSuffix(o.BasePath, "/")
	a, err := readAssets()
	if err != nil {
		return nil, err
	}
	return &Handler{o: o, assets: a}, nil
}

// Access is who may use a route.
type Access int

// The kinds of access.
const (
	Anybody Access = iota // without a token
	Read
	Operate
)

// Route is a route of the pages: a pattern of [http.ServeMux], without the base
// path.
type Route struct {
	Pattern string
	Access  Access
	Handler http.Handler
}

// Routes are all routes of the pages.
func (h *Handler) Routes() []Route {
	get := func(pattern string, f func(*http.Request, *page) (templ.Component, error)) Route {
		return Route{"GET " + pattern, Read, h.render(f)}
	}
	routes := []Route{
		get("/{$}", h.overview), get("/identities", h.identities), get("/identities/{id}", h.identity),
		get("/identities/{id}/why/{primitive}", h.why), get("/identities/{id}/history", h.history),
		get("/compare", h.compare), get("/suspicions", h.suspicions), get("/suggestions", h.suggestions),
		get("/values", h.value), get("/search", h.search), get("/operations", h.operations),
		{"GET /static/{name}", Anybody, h.assets},
	}
	if h.o.Actor != nil {
		routes = append(routes,
			Route{"POST /identities/{id}/merge", Operate, h.render(func(r *http.Request, p *page) (templ.Component, error) { return h.act(r, p, "merge") })},
			Route{"POST /identities/{id}/unmerge", Operate, h.render(func(r *http.Request, p *page) (templ.Component, error) { return h.act(r, p, "unmerge") })},
			Route{"POST /dead-letters/{partition}/{offset}/replay", Operate, h.render(h.replay)})
	}
	return routes
}

// maxPage is how long a page may take to be made.
const maxPage = 10 * time.Second

// Login returns the page with the form for a token. The script takes the token
// from the fragment of the link that is printed at the start.
func (h *Handler) Login(failed, oidc bool) []byte {
	var b bytes.Buffer
	p := &page{title: "Log in", base: h.o.BasePath, now: h.o.Now(), assets: h.assets.names, query: url.Values{}, path: "/login"}
	if err := login(p, failed, oidc).Render(context.Background(), &b); err != nil {
		h.o.Log.Error("the login page could not be made", "error", err)
	}
	return b.Bytes()
}

// render answers with a page, or with the page of its problem.
func (h *Handler) render(make func(*http.Request, *page) (templ.Component, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), maxPage)
		defer cancel()
		r = r.WithContext(ctx)
		p := h.page(r)
		status := http.StatusOK
		content, err := make(r, p)
		var elsewhere *redirect
		if errors.As(err, &elsewhere) {
			if elsewhere.cookie != nil {
				http.SetCookie(w, elsewhere.cookie)
			}
			http.Redirect(w, r, p.base+elsewhere.path, http.StatusSeeOther)
			return
		}
		if err != nil {
			var m message
			m, status = h.problem(r, p, err)
			p.title = m.title
			content = problemPage(p, m)
		}
		var b bytes.Buffer // so that a fault halfway is a page of its own and not half of another
		if err := content.Render(ctx, &b); err != nil {
			h.o.Log.Error("a page could not be made", "path", r.URL.Path, "error", err)
			http.Error(w, "The page could not be made.", http.StatusInternalServerError)
			return
		}
		head := w.Header()
		head.Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write(b.Bytes())
	})
}

func (h *Handler) page(r *http.Request) *page {
	who := h.o.Person(r)
	label := who.Name
	if who.Role != "" {
		label = strings.TrimPrefix(label+", "+who.Role, ", ")
	}
	p := &page{
		base: h.o.BasePath, now: h.o.Now(), fresh: h.o.Source.Freshness(r.Context()), who: printable(label, 60),
		operate: who.Operate && h.o.Actor != nil, assets: h.assets.names, query: r.URL.Query(),
		path: strings.TrimPrefix(r.URL.EscapedPath(), h.o.BasePath),
	}
	return p
}

// problem says in words what a page is told by a problem. Its link never leads to a
// route that takes POST alone.
func (h *Handler) problem(r *http.Request, p *page, err error) (message, int) {
	m, status := h.inWords(r, p, err)
	if r.Method == http.MethodPost && strings.HasPrefix(string(m.to), string(p.here(""))) {
		m.action, m.to = "Operations", p.to("/operations")
		if id := r.PathValue("id"); id != "" {
			m.action, m.to = "Show the identity", p.identity(id)
		}
	}
	return m, status
}

func (h *Handler) inWords(r *http.Request, p *page, err error) (message, int) {
	var q *query.Problem
	if !errors.As(err, &q) {
		if r.Context().Err() != nil {
			return message{title: "That took too long.", text: "The answer was given up after 10 s. Ask for less, or try again.", action: "Try again", to: p.here("?" + r.URL.RawQuery)}, http.StatusServiceUnavailable
		}
		h.o.Log.Error("a page failed", "path", r.URL.Path, "error", err)
		return message{title: "This is a fault of handprint.", text: "It is in the log of the process.", action: "Try again", to: p.here("?" + r.URL.RawQuery)}, http.StatusInternalServerError
	}
	again := func(title string, status int) (message, int) {
		return message{title: title, text: q.Detail, action: "Try again", to: p.here("?" + r.URL.RawQuery)}, status
	}
	switch q.Kind {
	case query.UnknownIdentity, query.UnknownAttacker:
		return message{title: "Nobody has this id or address.", text: q.Detail, action: "Search for what begins like it", to: p.to("/search?" + url.Values{"q": {shorter(r.PathValue("id"), 8)}}.Encode())}, http.StatusNotFound
	case query.NoRow:
		return message{title: "There is no such row.", text: q.Detail, action: "Show the identity", to: p.identity(r.PathValue("id"))}, http.StatusNotFound
	case query.CatalogBuilding:
		return again("The catalogue is being built.", http.StatusServiceUnavailable)
	case query.CatalogTooSmall:
		if q.Needed == 0 {
			return message{title: "No list has this primitive.", text: q.Detail}, http.StatusServiceUnavailable
		}
		return message{title: "The catalogue needs more memory.", text: q.Detail}, http.StatusServiceUnavailable
	case query.TooStale, query.NotThereYet:
		return again("Not there yet.", http.StatusServiceUnavailable)
	case query.BadParameter, query.CursorInvalid, query.CursorMismatch:
		return message{title: "That cannot be asked.", text: q.Detail, action: "Begin with the first page", to: p.here("")}, http.StatusBadRequest
	case query.InTheWay:
		return again("That cannot be done.", http.StatusConflict)
	case query.NoBroker:
		h.o.Log.Warn("a broker was needed for a page", "path", r.URL.Path, "error", err)
		return again("No broker answers.", http.StatusServiceUnavailable)
	default:
		h.o.Log.Error("a page failed", "path", r.URL.Path, "error", err)
		return again("This is a fault of handprint.", http.StatusInternalServerError)
	}
}
