// Package problem is what the API answers where it has no answer: problem details
// (RFC 9457), their kinds and what each means. It holds no stack, broker or path.
package problem

import (
	"encoding/json"
	"html"
	"net/http"
	"strconv"
	"time"
)

// Kind is the last part of a problem's type.
type Kind string

// Meaning is what a kind says.
type Meaning struct {
	Status int
	Title  string
	Help   string // a sentence for the page of the kind
}

// Meanings returns what each kind says, by kind.
func Meanings() map[Kind]Meaning {
	return map[Kind]Meaning{
		"bad-request":       {400, "The request cannot be read", "What was sent is not what this route takes."},
		"bad-parameter":     {400, "A parameter does not fit", "A parameter contradicts another, or names something that there is not."},
		"cursor-invalid":    {400, "The cursor cannot be read", "Begin with the first page."},
		"cursor-mismatch":   {400, "The cursor is of another list", "A cursor goes with the filters and the order that it came from."},
		"no-credentials":    {401, "Credentials are needed", "Send a token in the header Authorization: Bearer, or log in."},
		"not-allowed":       {403, "This is not allowed", "The role of the credentials does not allow it, or the request came from another site."},
		"not-found":         {404, "There is nothing here", "No route has this path."},
		"unknown-identity":  {404, "The identity is not known", "No record has this id."},
		"unknown-attacker":  {404, "The attacker is not known", "No record has this id or address."},
		"no-row":            {404, "There is no such row", "The identity has no row of this primitive."},
		"method-not-known":  {405, "The method is not known here", "The document says which methods a path has."},
		"in-the-way":        {409, "Something is in the way", "What is there does not allow it."},
		"too-large":         {413, "The body is too large", "A body may have 64 KiB, a URL 8 KiB."},
		"not-json":          {415, "The body is not JSON", "Send application/json."},
		"unprocessable":     {422, "The request does not fit its schema", "The errors say which part does not."},
		"too-many":          {429, "Too many requests", "Try again after the time that Retry-After says."},
		"fault":             {500, "This is a fault", "The log has it, under the request id."},
		"catalog-building":  {503, "The catalogue is being built", "Lists are answered when it is complete; single identities are answered already."},
		"catalog-too-small": {503, "The catalogue does not fit its memory", "Set catalog-memory to what is needed. Without a number: too many primitives are not registered, and lists leave this one out."},
		"too-stale":         {503, "The answer would be too old", "It is older than max_staleness allows."},
		"not-there-yet":     {503, "It is not there yet", "What is waited for has not been applied."},
		"no-broker":         {503, "No broker answers", "What needs a broker cannot be done now; reading goes on."},
		"busy":              {503, "There is too much to do", "Try again in a moment."},
	}
}

// Detail is one fault of a request.
type Detail struct {
	Message  string `json:"message"`
	Location string `json:"location,omitempty" doc:"Where in the request it is."`
	Value    any    `json:"value,omitempty"`
}

// Problem is the body of an answer that is an error.
type Problem struct {
	Type      string   `json:"type" doc:"Which kind it is, a path below /problems/." example:"/problems/unknown-identity"`
	Title     string   `json:"title"`
	Status    int      `json:"status"`
	Detail    string   `json:"detail,omitempty"`
	RequestID string   `json:"request_id,omitempty" doc:"Under which the log has it."`
	Errors    []Detail `json:"errors,omitempty" doc:"What does not fit, of unprocessable."`
	Progress  *float64 `json:"progress,omitempty" doc:"Of catalog-building, in [0, 1]."`
	Needed    *int64   `json:"needed_bytes,omitempty" doc:"Of catalog-too-small."`

	After time.Duration `json:"-"` // when to try again; 0: not said
	ETag  string        `json:"-"` // of what has not changed
}

// New returns a problem of a kind.
func New(kind Kind, detail string) *Problem {
	m, ok := Meanings()[kind]
	if !ok {
		kind, m = "fault", Meanings()["fault"]
	}
	return &Problem{Type: "/problems/" + string(kind), Title: m.Title, Status: m.Status, Detail: detail}
}

// Error implements error.
func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

// GetStatus returns the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType returns the media type of the body.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders returns the headers that go with the problem.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.ETag != "" {
		h.Set("ETag", p.ETag)
	}
	if p.After > 0 {
		h.Set("Retry-After", strconv.Itoa(max(1, int((p.After+time.Second-1)/time.Second))))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="handprint"`)
	}
	return h
}

// Write sends the problem.
func (p *Problem) Write(w http.ResponseWriter, requestID string) {
	p.RequestID = requestID
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client has gone
}

// Pages serves a page for each kind, below /problems/.
func Pages() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := Kind(r.PathValue("kind"))
		m, ok := Meanings()[kind]
		if !ok {
			New("not-found", "").Write(w, "")
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!doctype html><html lang=en><title>" + html.EscapeString(m.Title) + "</title><h1>" + html.EscapeString(m.Title) +
			"</h1><p>Status " + strconv.Itoa(m.Status) + ". " + html.EscapeString(m.Help) + "</p></html>")) // the client has gone
	})
}
