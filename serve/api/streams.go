package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"handprint/serve/guard"
	"handprint/serve/live"
	"handprint/serve/problem"
)

// Observer reads the observations of some attackers, as they come, for one live client
// until ctx ends.
type Observer interface {
	Observe(ctx context.Context, identity string, attackers []string, to *live.Observed) error
}

// ErrTooMany is returned by an Observer that has no room for another client.
var ErrTooMany = errors.New("there are as many readers of observations as there may be")

var eventTypes = []string{"state_changed", "multi_actor_suspected", "identity_formed", "identity_linked", "identity_merged", "identity_unmerged", live.Observation}

const (
	defaultRate = 20
	maxRate     = 200
)

// streams registers what is no single JSON answer, and describes it by hand.
func (s *server) streams(mux Mux, api huma.API) {
	events := read("/events", "streamEvents", "What happens, as server-sent events", "live")
	events.Description = "A text/event-stream. First `snapshot`, then `state_changed`, `multi_actor_suspected`, `identity_formed`, `identity_linked`, `identity_merged`, `identity_unmerged`, " +
		"each with the topic's record and `recorded`; `summary` instead of what is over `rate` a second; `gap` where the client fell behind; `reset` where the id to go on from is older than the history; " +
		"`freshness`; `bye`. `observation`, each observation of an identity or of an attacker as it comes, is sent only if `types` names it. Go on with Last-Event-ID: at least once, drop by `event_id`.\n\n```\nevent: state_changed\nid: 1795959338411.3.1823\ndata: {\"event_id\":\"e34c...\",\"identity_uuid\":\"...\",\"primitive\":\"...\",\"old_state\":\"stable\",\"new_state\":\"drifting\"}\n```"
	explode := true
	events.Parameters = []*huma.Param{
		{Name: "types", In: "query", Description: "Separated by commas; all but observation if absent.", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: number(200)}},
		textParam("identity", "Events of this identity."), textParam("attacker", "Events of the identity of this attacker, an id or an address; its observations alone."), textParam("primitive", "Transitions of this primitive."), textParam("domain", "Transitions of primitives of this domain."),
		{Name: "new_state", In: "query", Explode: &explode, Schema: &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString, Enum: []any{"unknown", "stable", "drifting", "conflicted", "multi_actor"}}}},
		{Name: "rate", In: "query", Description: "Events a second; more are summed up.", Schema: &huma.Schema{Type: huma.TypeInteger, Minimum: float(1), Maximum: float(maxRate), Default: defaultRate}},
		textParam("last_event_id", "Go on behind this event."),
		{Name: "Last-Event-ID", In: "header", Schema: &huma.Schema{Type: huma.TypeString}},
	}
	events.Responses = map[string]*huma.Response{"200": {Description: "Events", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}}}}
	s.describe(api, &events)
	mux.HandleFunc("GET /api/v1/events", func(w http.ResponseWriter, r *http.Request) { s.events(&events, w, r) })
}

func number(n int) *int        { return &n }
func float(n float64) *float64 { return &n }

// describe adds a route to the document that is registered elsewhere, with the errors
// of every route.
func (s *server) describe(api huma.API, op *huma.Operation) {
	schema := api.OpenAPI().Components.Schemas.Schema(reflectProblem, true, "Problem")
	for _, status := range op.Errors {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status), Content: map[string]*huma.MediaType{"application/problem+json": {Schema: schema}}}
	}
	for _, p := range op.Parameters {
		if p.Schema.PrecomputeMessages(); p.Schema.Items != nil {
			p.Schema.Items.PrecomputeMessages()
		}
	}
	api.OpenAPI().AddOperation(op)
}

// refuse answers a raw route with a problem.
func refuse(w http.ResponseWriter, r *http.Request, p *problem.Problem) {
	p.Write(w, guard.RequestID(r.Context()))
}

func (s *server) events(op *huma.Operation, w http.ResponseWriter, r *http.Request) {
	q, p := s.given(op, r)
	if p != nil {
		refuse(w, r, p)
		return
	}
	unfit := func(detail string) { refuse(w, r, problem.New("unprocessable", detail)) }
	f := live.Filter{Identity: q.Get("identity"), Primitive: q.Get("primitive"), Domain: q.Get("domain"), NewState: q.Values["new_state"], Rate: defaultRate}
	if types := q.Get("types"); types != "" {
		f.Types = strings.Split(types, ",")
	}
	for _, t := range f.Types {
		if !slices.Contains(eventTypes, t) {
			unfit("types: some of " + strings.Join(eventTypes, ", "))
			return
		}
	}
	if rate := q.number("rate"); rate != nil {
		f.Rate = int(*rate)
	}
	var last *live.ID
	if text := r.Header.Get("Last-Event-ID"); text != "" || q.Get("last_event_id") != "" {
		if text == "" {
			text = q.Get("last_event_id")
		}
		id, err := live.ParseID(text)
		if err != nil {
			unfit("Last-Event-ID: " + err.Error())
			return
		}
		last = &id
	}
	attackers, p := s.observedBy(q, &f)
	if p != nil {
		refuse(w, r, p)
		return
	}
	if r.Method == http.MethodHead { // a stream without a body would last for nothing
		w.Header().Set("Content-Type", "text/event-stream")
		return
	}
	leave, ok := s.Stream.Admit(guard.SubjectOf(r.Context()).Name)
	if !ok {
		p := problem.New("too-many", "There are as many live clients as there may be.")
		p.After = defaultRetry
		refuse(w, r, p)
		return
	}
	defer leave()
	for name, value := range s.FreshnessHeaders() {
		w.Header().Set(name, value)
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if attackers != nil {
		f.Observed = live.NewObserved()
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := s.Observer.Observe(ctx, f.Identity, attackers, f.Observed); err != nil && ctx.Err() == nil {
				s.Logger.Warn("a live client cannot be told of observations", "request_id", guard.RequestID(ctx), "error", err)
				cancel() // it comes back, and is told of none silently
			}
		}()
		defer func() { cancel(); <-done }()
	}
	if err := s.Stream.Serve(ctx, w, f, last); err != nil && r.Context().Err() == nil {
		s.Logger.Info("a live client was cut off", "request_id", guard.RequestID(r.Context()), "error", err)
	}
}

// observedBy returns whose observations a client asks for: of one attacker, or of all of
// an identity. nil: it does not ask for any.
func (s *server) observedBy(q given, f *live.Filter) (attackers []string, p *problem.Problem) {
	attacker := q.Get("attacker")
	if attacker != "" && f.Identity != "" {
		return nil, problem.New("unprocessable", "identity or attacker, not both.")
	}
	if attacker != "" {
		id, err := s.Reader.OwnerOf(attacker)
		if err != nil {
			return nil, problem.New("unknown-attacker", "There is no attacker with this id or address.")
		}
		f.Identity = id
	}
	if !slices.Contains(f.Types, live.Observation) {
		return nil, nil
	}
	if f.Identity == "" {
		return nil, problem.New("unprocessable", "observation needs an identity or an attacker.")
	}
	if s.Observer == nil {
		return nil, problem.New("no-broker", "This read side has no access to the brokers.")
	}
	if attacker != "" {
		a, err := s.Reader.Attacker(attacker)
		if err != nil {
			return nil, problem.New("unknown-attacker", "There is no attacker with this id or address.")
		}
		return []string{a.Attacker}, nil
	}
	i, err := s.Reader.Identity(f.Identity, false)
	if err != nil {
		return nil, problem.New("unknown-identity", "There is no identity with this id.")
	}
	attackers = []string{}
	for _, m := range i.Attackers {
		attackers = append(attackers, m.Attacker)
	}
	return attackers, nil
}
