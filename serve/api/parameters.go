package api

import (
	"errors"
	"net/http"
	neturl "net/url"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"handprint/serve/guard"
	"handprint/serve/problem"
)

// notParsed is said of a query that is no list of parameters: a part of it would be
// ignored.
const notParsed = "The query cannot be read: parts of it are not percent-encoded UTF-8, or separated by ; instead of &."

var errNotUTF8 = errors.New("not UTF-8")

func parseQuery(text string) (neturl.Values, error) {
	q, err := neturl.ParseQuery(text)
	for name, values := range q {
		if !utf8.ValidString(name) || slices.ContainsFunc(values, func(v string) bool { return !utf8.ValidString(v) }) {
			return nil, errNotUTF8
		}
	}
	return q, err
}

// unheeded says which parameter of a request huma would not heed as it stands: one that
// is given twice although it has one value, a number or truth without a value, a number
// that is none or has no end. Empty: all are in order.
func unheeded(ctx huma.Context) string {
	url := ctx.URL()
	q, err := parseQuery(url.RawQuery)
	if err != nil {
		return notParsed
	}
	for _, p := range ctx.Operation().Parameters {
		values := q[p.Name]
		if p.In != "query" || p.Schema == nil || len(values) == 0 {
			continue
		}
		if detail := askedTwice(p.Name, p.Schema, values); detail != "" {
			return detail
		}
		if p.Schema.Type == huma.TypeNumber {
			if _, err := parseNumber(values[0]); err != nil {
				return p.Name + " is no number."
			}
		}
	}
	return ""
}

// askedTwice says what is wrong with the values of a parameter that has one; empty:
// nothing.
func askedTwice(name string, schema *huma.Schema, values []string) string {
	if schema.Type == huma.TypeArray {
		return ""
	}
	if len(values) > 1 {
		return name + " is given " + strconv.Itoa(len(values)) + " times, and has one value."
	}
	if values[0] == "" && schema.Type != huma.TypeString {
		return name + " has no value."
	}
	return ""
}

var errNoNumber = errors.New("is no number")

// decimal is what a number looks like: what Go reads besides (1_0, 0x1p4, Inf) is none to
// other clients.
var decimal = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// parseNumber reads a decimal number. One that is too large for a double is none.
func parseNumber(text string) (float64, error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !decimal.MatchString(text) {
		return 0, errNoNumber
	}
	return n, nil
}

// given are the parameters of a request to a route that huma does not answer.
type given struct{ neturl.Values }

// given holds the parameters in a request's URL to what the document says of them, as
// huma does for the other routes.
func (s *server) given(op *huma.Operation, r *http.Request) (given, *problem.Problem) {
	unfit := func(name, detail string) *problem.Problem {
		p := problem.New("unprocessable", "validation failed")
		p.RequestID = guard.RequestID(r.Context())
		p.Errors = []problem.Detail{{Message: cut(detail), Location: "query." + cut(name)}}
		return p
	}
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return given{}, problem.New("unprocessable", notParsed)
	}
	for name, values := range q {
		at := slices.IndexFunc(op.Parameters, func(p *huma.Param) bool { return p.In == "query" && p.Name == name })
		if at < 0 {
			return given{}, unfit(name, "unknown query parameter")
		}
		schema, checked := op.Parameters[at].Schema, any(nil)
		if detail := askedTwice(name, schema, values); detail != "" {
			return given{}, unfit(name, detail)
		}
		if schema.Type == huma.TypeArray {
			list := make([]any, len(values))
			for i, v := range values {
				list[i] = v
			}
			checked = list
		} else if checked, err = parsed(schema.Type, values[0]); err != nil {
			return given{}, unfit(name, "is no "+schema.Type)
		}
		var result huma.ValidateResult
		path := huma.NewPathBuffer(nil, 0)
		huma.Validate(s.registry, schema, path, huma.ModeWriteToServer, checked, &result)
		if len(result.Errors) > 0 {
			detail := result.Errors[0].Error()
			if d, ok := result.Errors[0].(huma.ErrorDetailer); ok {
				detail = d.ErrorDetail().Message
			}
			return given{}, unfit(name, detail)
		}
	}
	return given{q}, nil
}

// parsed reads a text as a JSON type other than an array.
func parsed(kind, text string) (any, error) {
	switch kind {
	case huma.TypeInteger:
		n, err := strconv.ParseInt(text, 10, 64)
		return int(n), err
	case huma.TypeNumber:
		return parseNumber(text)
	case huma.TypeBoolean:
		return strconv.ParseBool(text)
	}
	return text, nil
}

// number returns a parameter that is a number, which was checked; nil: it is absent.
func (g given) number(name string) *float64 {
	n, err := parseNumber(g.Get(name))
	if err != nil {
		return nil
	}
	return &n
}

// truth returns a parameter that is true or false, which was checked; nil: it is absent.
func (g given) truth(name string) *bool {
	b, err := strconv.ParseBool(g.Get(name))
	if err != nil {
		return nil
	}
	return &b
}

// textParam is a parameter of up to 1,024 characters of text.
func textParam(name, doc string) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: doc, Schema: &huma.Schema{Type: huma.TypeString, MaxLength: number(1024)}}
}
