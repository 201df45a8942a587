package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"handprint/engine"
	"handprint/serve/guard"
	"handprint/serve/live"
	"handprint/serve/problem"
	"handprint/serve/query"
)

// Waiter waits for what has been written to be applied.
type Waiter interface {
	// AwaitEvent waits for the identity event at an offset; millis is the timestamp of
	// its record, below 0 if that is not known.
	AwaitEvent(ctx context.Context, offset, millis int64) error
}

// Mux is where routes are registered.
type Mux interface {
	Handle(pattern string, handler http.Handler)
	HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request))
	ServeHTTP(w http.ResponseWriter, r *http.Request)
}

// Config is what the API is made of.
type Config struct {
	Reader     *query.Reader
	Waiter     Waiter
	Operations Operations // nil: what needs a broker answers no-broker
	Stream     *live.Stream
	// Evidence fills in the evidence references of an explanation from the input
	// topic, within bounds; nil: there is no access to it.
	Evidence       func(ctx context.Context, x *engine.Explanation)
	Exporter       Exporter // nil: json and csv alone
	Observer       Observer // nil: live clients are not told of observations
	Audit          *guard.Audit
	IdentityEvents string // the topic
	Version        string
	StaleRead      time.Duration // from which read lag on an answer is called stale
	StaleInput     time.Duration
	Logger         *slog.Logger
	Now            func() time.Time
}

type server struct {
	Config
	remembered idempotency
	refused    refusals
	registry   huma.Registry // of the document
}

// Register registers all routes and returns the document.
func Register(mux Mux, c Config) *huma.OpenAPI {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.StaleRead == 0 {
		c.StaleRead = 2 * time.Second
	}
	if c.StaleInput == 0 {
		c.StaleInput = 30 * time.Second
	}
	s := &server{Config: c, remembered: idempotency{now: c.Now}}
	setErrors()
	config := huma.DefaultConfig("handprint", c.Version)
	config.Info.Description = "What handprint has concluded of attackers' hands: identities, rows, suspicions, and why. Values, ids and addresses come from attackers: escape them. Fields and types of events may be added; ignore what you do not know. The five states are frozen."
	config.Info.License = nil
	config.CreateHooks, config.Transformers = nil, nil
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.RejectUnknownQueryParameters = true
	config.Formats = map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":  {Type: "http", Scheme: "bearer", Description: "A token of handprint (hp_...), or a token of the OIDC issuer."},
		"cookie": {Type: "apiKey", In: "cookie", Name: "handprint", Description: "Set by logging in."},
	}
	config.Security = []map[string][]string{{"token": {}}, {"cookie": {}}}
	api := humago.New(mux, config)
	api.UseMiddleware(s.freshness)
	s.identities(api)
	s.lists(api)
	s.operations(api)
	s.registry = api.OpenAPI().Components.Schemas
	s.streams(mux, api)
	s.exports(mux, api)
	s.eventExports(mux, api)
	document := api.OpenAPI()
	tidy(document)
	mux.HandleFunc("GET /api/v1/openapi.json", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" {
			refuse(w, r, problem.New("unprocessable", "The document has no parameters."))
			return
		}
		b, err := Document(document)
		if err != nil {
			problem.New("fault", "").Write(w, guard.RequestID(r.Context()))
			return
		}
		w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
		_, _ = w.Write(b) // the client has gone
	})
	return document
}

// Document returns the document as JSON, indented.
func Document(d *huma.OpenAPI) ([]byte, error) {
	b, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	var sorted any
	if err := json.Unmarshal(b, &sorted); err != nil {
		return nil, err
	}
	b, err = json.MarshalIndent(sorted, "", "  ")
	return append(b, '\n'), err
}

// tidy says what is so of all schemas: arrays are never null.
func tidy(d *huma.OpenAPI) {
	var walk func(s *huma.Schema)
	seen := map[*huma.Schema]bool{}
	walk = func(s *huma.Schema) {
		if s == nil || seen[s] {
			return
		}
		seen[s] = true
		if s.Type == huma.TypeArray {
			s.Nullable = false
		}
		if s.ContentEncoding == "base64" { // a value, which is any JSON
			s.Type, s.ContentEncoding = "", ""
		}
		walk(s.Items)
		for _, p := range s.Properties {
			walk(p)
		}
	}
	for name, s := range d.Components.Schemas.Map() {
		walk(s)
		orNull(s, d.Components.Schemas.TypeFromRef("#/components/schemas/"+name))
	}
	for _, p := range d.Paths {
		for _, op := range []*huma.Operation{p.Get, p.Post} {
			if op == nil {
				continue
			}
			for _, q := range op.Parameters {
				walk(q.Schema)
			}
			// The server itself says so, before it knows the route.
			op.Responses["431"] = &huma.Response{Description: "The URL and the headers have more than 32 KiB."}
		}
	}
}

// orNull says which objects of an object may be null: the code has a pointer to them and
// never leaves them out.
func orNull(s *huma.Schema, t reflect.Type) {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return
	}
	for _, f := range reflect.VisibleFields(t) {
		name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		p := s.Properties[name]
		if p == nil || p.Ref == "" || f.Type.Kind() != reflect.Pointer || strings.Contains(rest, "omitempty") {
			continue
		}
		s.Properties[name] = &huma.Schema{Description: p.Description, AnyOf: []*huma.Schema{{Ref: p.Ref}, {Type: "null"}}}
	}
}

// maxShown bounds what an error repeats of a request, in bytes.
const maxShown = 256

func cut(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return strings.ToValidUTF8(text[:maxShown], "") + "..."
}

var errorsOnce sync.Once

// setErrors makes huma answer with problems of ours.
func setErrors() {
	errorsOnce.Do(func() {
		huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
			kind := problem.Kind("fault")
			switch status {
			case http.StatusNotModified: // no error, but huma has it so
				return &problem.Problem{Status: status}
			case http.StatusBadRequest:
				kind = "bad-request"
			case http.StatusNotFound:
				kind = "not-found"
			case http.StatusMethodNotAllowed:
				kind = "method-not-known"
			case http.StatusRequestEntityTooLarge:
				kind = "too-large"
			case http.StatusUnsupportedMediaType:
				kind = "not-json"
			case http.StatusUnprocessableEntity:
				kind = "unprocessable"
			case http.StatusRequestTimeout:
				kind = "busy"
			}
			p := problem.New(kind, msg)
			for _, err := range errs {
				d := problem.Detail{}
				if detailed, ok := err.(huma.ErrorDetailer); ok {
					e := detailed.ErrorDetail()
					d = problem.Detail{Message: cut(e.Message), Location: cut(e.Location), Value: e.Value}
					if shown, err := json.Marshal(e.Value); err != nil || len(shown) > maxShown {
						d.Value = nil
					}
				} else if err != nil {
					d.Message = err.Error()
				}
				p.Errors = append(p.Errors, d)
			}
			if kind == "fault" {
				p.Detail, p.Errors = "", nil
			}
			return p
		}
	})
}

// failed returns an error of a Reader as the API answers it.
func (s *server) failed(ctx context.Context, err error) error {
	var q *query.Problem
	if !errors.As(err, &q) {
		q = &query.Problem{Kind: query.Fault, Cause: err}
	}
	if q.Kind == query.Fault && ctx.Err() != nil && (errors.Is(q.Cause, context.Canceled) || errors.Is(q.Cause, context.DeadlineExceeded)) {
		// The client has gone, or it took too long: no fault.
		q = &query.Problem{Kind: "busy", Detail: "It took too long to find what was asked for: ask for less, or for parts.", After: time.Second}
	}
	p := problem.New(problem.Kind(q.Kind), q.Detail)
	p.RequestID, p.After = guard.RequestID(ctx), q.After
	switch q.Kind {
	case query.CatalogBuilding:
		p.Progress = &q.Progress
		p.After = max(q.After, time.Second)
	case query.CatalogTooSmall:
		if q.Needed > 0 {
			p.Needed = &q.Needed
		}
	case query.Fault:
		s.Logger.Error("a question could not be answered", "request_id", p.RequestID, "error", q.Cause)
	}
	return p
}

// answer is the body of an answer.
type answer[T any] struct {
	ETag string `header:"ETag"`
	Body T
}

func (s *server) reply(ctx context.Context, err error) error { return s.failed(ctx, err) }

// respond makes an answer of what a Reader returns.
func respond[T any](s *server, ctx context.Context, body *T, err error) (*answer[T], error) {
	if err != nil {
		return nil, s.reply(ctx, err)
	}
	return &answer[T]{Body: *body}, nil
}

// Fresh is what every question may ask of the answer's age.
type Fresh struct {
	MaxStaleness optional[float64] `query:"max_staleness" minimum:"1" doc:"Seconds: an answer that is older is refused with too-stale. Following takes a fraction of a second, so less than 1 cannot be promised."`
	After        string            `query:"after" maxLength:"300" doc:"topic:partition:offset of an identity event: the answer waits until it is over."`
	Wait         float64           `query:"wait" minimum:"0" maximum:"10" default:"2" doc:"Seconds to wait for after."`
}

// optional is a parameter that may be absent.
type optional[T any] struct {
	Value T
	IsSet bool
}

// Schema implements huma.SchemaProvider.
func (o optional[T]) Schema(r huma.Registry) *huma.Schema {
	return huma.SchemaFromType(r, reflect.TypeOf(o.Value))
}

// Receiver implements huma.ParamWrapper.
func (o *optional[T]) Receiver() reflect.Value { return reflect.ValueOf(o).Elem().Field(0) }

// OnParamSet implements huma.ParamReactor.
func (o *optional[T]) OnParamSet(isSet bool, _ any) { o.IsSet = isSet }

func (o *optional[T]) pointer() *T {
	if !o.IsSet {
		return nil
	}
	return &o.Value
}

// meet waits for what a question wants to have been applied, and refuses to answer
// with what is too old.
func (s *server) meet(ctx context.Context, f *Fresh) error {
	if f.After != "" {
		topic, rest, _ := strings.Cut(f.After, ":")
		partition, offset, ok := strings.Cut(rest, ":")
		n, err := strconv.ParseInt(offset, 10, 64)
		if !ok || err != nil || n < 0 || partition != "0" || topic != s.IdentityEvents && topic != "identity.events" {
			return s.failed(ctx, &query.Problem{Kind: query.BadParameter, Detail: "after: topic:partition:offset, as an identity event was answered with."})
		}
		millis := s.eventMillis(ctx, n) // not a part of the wait, which may be 0
		waited, cancel := context.WithTimeout(ctx, time.Duration(f.Wait*float64(time.Second)))
		defer cancel()
		if err := s.Waiter.AwaitEvent(waited, n, millis); err != nil {
			if reason := s.refused.reason(ctx, &s.Config, n); reason != "" {
				return s.failed(ctx, &query.Problem{Kind: query.InTheWay, Detail: "The event was refused, and is in the dead letters: " + reason})
			}
			return s.failed(ctx, &query.Problem{Kind: query.NotThereYet, Detail: "The event is not over yet.", After: time.Second})
		}
	}
	if f.MaxStaleness.IsSet {
		if age := float64(s.Now().UnixMilli())/1000 - s.Reader.AsOf(); age > f.MaxStaleness.Value {
			return s.failed(ctx, &query.Problem{Kind: query.TooStale, Detail: "The newest answer is older than max_staleness allows.", After: time.Second})
		}
	}
	return nil
}

// eventMillis returns the timestamp of the identity event that the topic has at an offset
// now, so that an event of a topic of before is not taken for it; -1 if the brokers do not
// say, or the topic does not have it any more.
func (s *server) eventMillis(ctx context.Context, offset int64) int64 {
	if s.Operations == nil {
		return -1
	}
	ctx, cancel := context.WithTimeout(ctx, refusalTime)
	defer cancel()
	millis, err := s.Operations.EventMillis(ctx, offset)
	if err != nil {
		return -1
	}
	return millis
}

// freshness says in the headers of every answer how far behind it is.
func (s *server) freshness(ctx huma.Context, next func(huma.Context)) {
	for name, value := range s.FreshnessHeaders() {
		ctx.SetHeader(name, value)
	}
	if detail := unheeded(ctx); detail != "" {
		p := problem.New("unprocessable", detail)
		p.RequestID = guard.RequestID(ctx.Context())
		for name, values := range p.GetHeaders() {
			ctx.SetHeader(name, values[0])
		}
		ctx.SetHeader("Content-Type", p.ContentType(""))
		ctx.SetStatus(p.Status)
		_ = json.NewEncoder(ctx.BodyWriter()).Encode(p) // the client has gone
		return
	}
	next(ctx)
}

// FreshnessHeaders returns the headers that say how far behind the read side is.
func (s *server) FreshnessHeaders() map[string]string {
	f := s.Reader.Freshness(-1)
	h := map[string]string{
		"Handprint-As-Of":    strconv.FormatFloat(f.AsOf, 'f', 3, 64),
		"Handprint-Read-Lag": strconv.FormatInt(f.ReadLag, 10),
	}
	if age := float64(s.Now().UnixMilli())/1000 - f.AsOf; age > s.StaleRead.Seconds() {
		h["Handprint-Stale"] = "read"
	}
	if s.Operations == nil {
		return h
	}
	if health := s.Operations.Health(); health != nil {
		behind := 0
		for _, t := range health.Tasks {
			if t.InputLag > 0 {
				behind++
			}
		}
		h["Handprint-Input-Lag"] = strconv.FormatInt(health.InputLag, 10)
		if behind > 0 {
			h["Handprint-Input-Lag"] += "; tasks=" + strconv.Itoa(behind)
		}
		if health.BehindFor > s.StaleInput.Seconds() && h["Handprint-Stale"] == "" {
			h["Handprint-Stale"] = "input"
		}
	}
	return h
}

// read describes a route that reads.
func read(path, id, summary string, tags ...string) huma.Operation {
	return huma.Operation{
		Method: http.MethodGet, Path: "/api/v1" + path, OperationID: id, Summary: summary, Tags: tags,
		Errors: []int{400, 401, 403, 404, 405, 409, 413, 422, 429, 500, 503},
	}
}

var reflectProblem = reflect.TypeFor[problem.Problem]()

// defaultRetry is when a client that found no room may come back.
const defaultRetry = 5 * time.Second
