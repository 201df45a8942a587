package api

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

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

// exports registers the export of identities, and describes it by hand.
func (s *server) exports(mux Mux, api huma.API) {
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
	export.Parameters = append(export.Parameters, partCursor())
	export.Responses = exported(map[string]*huma.Param{
		exportTotal: {Description: "How many identities match.", Schema: &huma.Schema{Type: huma.TypeInteger}},
		exportNext:  nextPart(),
	})
	s.describe(api, &export)
	mux.HandleFunc("GET /api/v1/export/{format}", func(w http.ResponseWriter, r *http.Request) { s.export(&export, w, r) })
}

// partCursor is the parameter that asks for a part of an export.
func partCursor() *huma.Param {
	return &huma.Param{Name: "cursor", In: "query", Description: "begin: in parts; then the cursor of the next part.", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: number(2048)}}
}

// nextPart is the header that says where the next part begins.
func nextPart() *huma.Param {
	return &huma.Param{Description: "The cursor of the next part; absent: this is all, or the last part.", Schema: &huma.Schema{Type: huma.TypeString}}
}

// exported is the answer of an export as JSON lines or CSV, with these headers.
func exported(headers map[string]*huma.Param) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {Description: "The export", Headers: headers, Content: map[string]*huma.MediaType{
		"application/x-ndjson": {Schema: &huma.Schema{Type: huma.TypeString}}, "text/csv": {Schema: &huma.Schema{Type: huma.TypeString}},
	}}}
}

// identities are the filters of identities.
func (g given) identities() query.IdentityQuery {
	q := query.IdentityQuery{
		State: g.Values["state"], Primitive: g.Get("primitive"), Value: g.Get("value"), ValuePrefix: g.Get("value_prefix"), Domain: g.Get("domain"),
		MinConfidence: g.number("min_confidence"), MaxConfidence: g.number("max_confidence"), Suspected: g.truth("suspected"), Unsettled: g.truth("unsettled"),
		ChangedSince: g.number("changed_since"), ChangedBefore: g.number("changed_before"), SeenSince: g.number("seen_since"), Merged: g.Get("merged"), Q: g.Get("q"), Sort: g.Get("sort"),
	}
	if returns := g.truth("returns"); returns != nil {
		q.Returns = *returns
	}
	if n := g.number("members_min"); n != nil {
		q.MembersMin = int(*n)
	}
	return q
}

func (s *server) export(op *huma.Operation, w http.ResponseWriter, r *http.Request) {
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
	g, p := s.given(op, r)
	if p != nil {
		refuse(w, r, p)
		return
	}
	q := g.identities()
	inParts := g.Has("cursor")
	if q.Cursor = g.Get("cursor"); q.Cursor == exportBegin {
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
	if r.Method == http.MethodHead {
		return
	}
	switch format {
	case "json":
		err = exportJSON(w, next)
	case "csv":
		err = exportCSV(w, next)
	default:
		err = s.Exporter.Export(r.Context(), w, format, next)
	}
	s.whole(r, err)
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
	first, _ := utf8.DecodeRuneInString(s)
	if s != "" && strings.ContainsRune("=+-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20", first) { // wide ones too
		return "'" + s
	}
	return s
}
