package api

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"handprint/serve/guard"
	"handprint/serve/live"
	"handprint/serve/problem"
	"handprint/serve/query"
)

// Exporter writes identities in formats of others, such as those of a SIEM.
type Exporter interface {
	// Formats returns the names of the formats and the media type of each.
	Formats() map[string]string
	// Export writes what next returns, until that is nil.
	Export(ctx context.Context, to io.Writer, format string, next func() (*query.Identity, error)) error
}

// maxExported bounds the identities of an export, or of a part of one.
const maxExported = 10_000

// The headers of an export: how many identities match, and where the next part begins.
const (
	exportTotal = "Handprint-Export-Total"
	exportNext  = "Handprint-Next-Cursor"
	exportBegin = "begin" // the cursor of the first part
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
	mux.HandleFunc("GET /api/v1/events", s.events)
	events := read("/events", "streamEvents", "What happens, as server-sent events", "live")
	events.Description = "A text/event-stream. First `snapshot`, then `state_changed`, `multi_actor_suspected`, `identity_formed`, `identity_linked`, `identity_merged`, `identity_unmerged`, " +
		"each with the topic's record and `recorded`; `summary` instead of what is over `rate` a second; `gap` where the client fell behind; `reset` where the id to go on from is older than the history; " +
		"`freshness`; `bye`. `observation`, each observation of an identity or of an attacker as it comes, is sent only if `types` names it. Go on with Last-Event-ID: at least once, drop by `event_id`.\n\n```\nevent: state_changed\nid: 1795959338411.3.1823\ndata: {\"event_id\":\"e34c...\",\"identity_uuid\":\"...\",\"primitive\":\"...\",\"old_state\":\"stable\",\"new_state\":\"drifting\"}\n```"
	text := func(name, doc string) *huma.Param {
		return &huma.Param{Name: name, In: "query", Description: doc, Schema: &huma.Schema{Type: huma.TypeString, MaxLength: number(512)}}
	}
	explode := true
	events.Parameters = []*huma.Param{
		{Name: "types", In: "query", Description: "Separated by commas; all but observation if absent.", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: number(200)}},
		text("identity", "Events of this identity."), text("attacker", "Events of the identity of this attacker, an id or an address; its observations alone."), text("primitive", "Transitions of this primitive."), text("domain", "Transitions of primitives of this domain."),
		{Name: "new_state", In: "query", Explode: &explode, Schema: &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString, Enum: []any{"unknown", "stable", "drifting", "conflicted", "multi_actor"}}}},
		{Name: "rate", In: "query", Description: "Events a second; more are summed up.", Schema: &huma.Schema{Type: huma.TypeInteger, Minimum: float(1), Maximum: float(maxRate), Default: defaultRate}},
		text("last_event_id", "Go on behind this event."),
		{Name: "Last-Event-ID", In: "header", Schema: &huma.Schema{Type: huma.TypeString}},
	}
	events.Responses = map[string]*huma.Response{"200": {Description: "Events", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}}}}
	s.describe(api, &events)

	mux.HandleFunc("GET /api/v1/export/{format}", s.export)
	export := read("/export/{format}", "exportIdentities", "Identities that match, in another format", "export")
	export.Description = "json is one identity a line, csv one row a line. What else there is, is said by an unknown format's error. An export has at most 10,000 identities: if more match it is refused (400), and is to be had in parts, " +
		"the first with cursor=begin, each other with the cursor that the header Handprint-Next-Cursor of the part before says, which the last part does not have."
	filtered, _ := api.OpenAPI().Paths["/api/v1/identities"]
	export.Parameters = []*huma.Param{{Name: "format", In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString, MaxLength: number(40)}}}
	for _, p := range filtered.Get.Parameters {
		if !slices.Contains([]string{"cursor", "limit", "counts", "max_staleness", "after", "wait"}, p.Name) {
			export.Parameters = append(export.Parameters, p)
		}
	}
	export.Parameters = append(export.Parameters, &huma.Param{Name: "cursor", In: "query", Description: "begin: in parts; then the cursor of the next part.", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: number(2048)}})
	export.Responses = map[string]*huma.Response{"200": {Description: "The export", Headers: map[string]*huma.Param{
		exportTotal: {Description: "How many identities match.", Schema: &huma.Schema{Type: huma.TypeInteger}},
		exportNext:  {Description: "The cursor of the next part; absent: this is all, or the last part.", Schema: &huma.Schema{Type: huma.TypeString}},
	}, Content: map[string]*huma.MediaType{
		"application/x-ndjson": {Schema: &huma.Schema{Type: huma.TypeString}}, "text/csv": {Schema: &huma.Schema{Type: huma.TypeString}},
	}}}
	s.describe(api, &export)
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
	api.OpenAPI().AddOperation(op)
}

// refuse answers a raw route with a problem.
func refuse(w http.ResponseWriter, r *http.Request, p *problem.Problem) {
	p.Write(w, guard.RequestID(r.Context()))
}

// unknownParameter returns the name of a parameter that a route does not have.
func unknownParameter(q url.Values, known ...string) string {
	for name := range q {
		if !slices.Contains(known, name) {
			return name
		}
	}
	return ""
}

func (s *server) events(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	unfit := func(detail string) { refuse(w, r, problem.New("unprocessable", detail)) }
	if name := unknownParameter(q, "types", "identity", "attacker", "primitive", "domain", "new_state", "rate", "last_event_id"); name != "" {
		unfit("There is no such parameter: " + strconv.Quote(name))
		return
	}
	f := live.Filter{Identity: q.Get("identity"), Primitive: q.Get("primitive"), Domain: q.Get("domain"), NewState: q["new_state"], Rate: defaultRate}
	if types := q.Get("types"); types != "" {
		f.Types = strings.Split(types, ",")
	}
	for _, t := range f.Types {
		if !slices.Contains(eventTypes, t) {
			unfit("types: some of " + strings.Join(eventTypes, ", "))
			return
		}
	}
	for _, state := range f.NewState {
		if !slices.Contains([]string{"unknown", "stable", "drifting", "conflicted", "multi_actor"}, state) {
			unfit("new_state: there is no state " + strconv.Quote(state))
			return
		}
	}
	if text := q.Get("rate"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxRate {
			unfit("rate: 1 to 200")
			return
		}
		f.Rate = n
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
func (s *server) observedBy(q url.Values, f *live.Filter) (attackers []string, p *problem.Problem) {
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

// exportQuery reads the filters of an export by the document's own rules.
func exportQuery(q url.Values) (query.IdentityQuery, string) {
	known := []string{"state", "primitive", "value", "value_prefix", "domain", "min_confidence", "max_confidence", "returns", "suspected", "unsettled", "members_min", "changed_since", "changed_before", "seen_since", "merged", "q", "sort", "cursor"}
	if name := unknownParameter(q, known...); name != "" {
		return query.IdentityQuery{}, "There is no such parameter: " + strconv.Quote(name)
	}
	wrong := ""
	real := func(name string) *float64 {
		if !q.Has(name) {
			return nil
		}
		n, err := strconv.ParseFloat(q.Get(name), 64)
		if err != nil {
			wrong = name + ": a number"
		}
		return &n
	}
	truth := func(name string) *bool {
		if !q.Has(name) {
			return nil
		}
		b, err := strconv.ParseBool(q.Get(name))
		if err != nil {
			wrong = name + ": true or false"
		}
		return &b
	}
	to := query.IdentityQuery{
		State: q["state"], Primitive: q.Get("primitive"), Value: q.Get("value"), ValuePrefix: q.Get("value_prefix"), Domain: q.Get("domain"),
		MinConfidence: real("min_confidence"), MaxConfidence: real("max_confidence"), Suspected: truth("suspected"), Unsettled: truth("unsettled"),
		ChangedSince: real("changed_since"), ChangedBefore: real("changed_before"), SeenSince: real("seen_since"), Merged: q.Get("merged"), Q: q.Get("q"), Sort: q.Get("sort"),
	}
	if b := truth("returns"); b != nil {
		to.Returns = *b
	}
	if n := real("members_min"); n != nil {
		to.MembersMin = int(*n)
	}
	return to, wrong
}

func (s *server) export(w http.ResponseWriter, r *http.Request) {
	format := r.PathValue("format")
	formats := map[string]string{"json": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
	if s.Exporter != nil {
		for name, media := range s.Exporter.Formats() {
			formats[name] = media
		}
	}
	media, ok := formats[format]
	if !ok {
		names := make([]string, 0, len(formats))
		for name := range formats {
			names = append(names, name)
		}
		slices.Sort(names)
		refuse(w, r, problem.New("bad-parameter", "format: one of "+strings.Join(names, ", ")+"."))
		return
	}
	q, wrong := exportQuery(r.URL.Query())
	if wrong != "" {
		refuse(w, r, problem.New("unprocessable", wrong))
		return
	}
	inParts := r.URL.Query().Has("cursor")
	if q.Cursor = r.URL.Query().Get("cursor"); q.Cursor == exportBegin {
		q.Cursor = ""
	}
	part, err := s.Reader.Part(q, maxExported)
	if err == nil && part.Next != "" && !inParts {
		err = &query.Problem{Kind: query.BadParameter, Detail: fmt.Sprintf("%d identities match, and an export has at most %d: ask for fewer, or for parts, the first with cursor=begin.", part.Total, maxExported)}
	}
	if err != nil {
		if p := (*problem.Problem)(nil); errors.As(s.failed(r.Context(), err), &p) {
			refuse(w, r, p)
		}
		return
	}
	next := s.each(r.Context(), part.IDs)
	for name, value := range s.FreshnessHeaders() {
		w.Header().Set(name, value)
	}
	w.Header().Set(exportTotal, strconv.Itoa(part.Total))
	if part.Next != "" {
		w.Header().Set(exportNext, part.Next)
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Disposition", `attachment; filename="handprint-identities.`+format+`"`)
	switch format {
	case "json":
		err = exportJSON(w, next)
	case "csv":
		err = exportCSV(w, next)
	default:
		err = s.Exporter.Export(r.Context(), w, format, next)
	}
	if err != nil && r.Context().Err() == nil {
		s.Logger.Error("an export ended early", "request_id", guard.RequestID(r.Context()), "error", err)
		panic(http.ErrAbortHandler) // so that the client sees that it is not complete
	}
}

// each returns a function that yields identities, one by one; nil behind the last.
func (s *server) each(ctx context.Context, ids []string) func() (*query.Identity, error) {
	return func() (*query.Identity, error) {
		for len(ids) > 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			id := ids[0]
			ids = ids[1:]
			i, err := s.Reader.Identity(id, false)
			if p := (*query.Problem)(nil); errors.As(err, &p) && p.Kind == query.UnknownIdentity {
				continue // it has gone meanwhile
			}
			return i, err
		}
		return nil, nil
	}
}

func exportJSON(w io.Writer, next func() (*query.Identity, error)) error {
	out := json.NewEncoder(w)
	for {
		i, err := next()
		if i == nil || err != nil {
			return err
		}
		if err := out.Encode(i); err != nil {
			return err
		}
	}
}

func exportCSV(w io.Writer, next func() (*query.Identity, error)) error {
	out := csv.NewWriter(w)
	err := out.Write([]string{"identity_uuid", "merged_into", "attackers", "address", "suspected", "primitive", "kind", "state", "current_value", "confidence", "observation_count", "last_change_ts", "last_observation_ts", "returns"})
	if err != nil {
		return err
	}
	text := func(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
	for {
		i, err := next()
		if err != nil {
			return err
		}
		if i == nil {
			out.Flush()
			return out.Error()
		}
		merged, address := "", ""
		if i.MergedInto != nil {
			merged = *i.MergedInto
		}
		if len(i.Attackers) == 1 && i.Attackers[0].Address != nil {
			address = i.Attackers[0].Address.Address
		}
		for _, row := range i.Rows {
			cells := []string{i.Identity, merged, strconv.Itoa(i.Total), address, strconv.FormatBool(i.Suspicion != nil), row.Primitive, row.Kind, row.State, string(row.Value), text(row.Confidence), strconv.FormatInt(row.Count, 10), text(row.ChangeTS), text(row.SeenTS), strconv.FormatBool(row.Returns)}
			for n := range cells {
				cells[n] = Cell(cells[n])
			}
			if err := out.Write(cells); err != nil {
				return err
			}
		}
	}
}

// Cell returns a text as a cell of CSV that no spreadsheet takes for a formula.
func Cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
