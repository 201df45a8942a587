package api

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"handprint/serve/guard"
	"handprint/serve/problem"
	"handprint/serve/query"
)

// maxExportedEvents bounds the events of an export, or of a part of one.
const maxExportedEvents = 100_000

// maxTime is the latest time that may be asked for, in Unix seconds: the end of the year
// 9999.
const maxTime = 253_402_300_799

// historyBegins is the header that says from when on the history has all events, as far as
// the range goes.
const historyBegins = "Handprint-History-Begins"

// exportTo is the header that says where the range of exported events ends.
const exportTo = "Handprint-Export-To"

// eventExports registers the export of what happened, and describes it by hand.
func (s *server) eventExports(mux Mux, api huma.API) {
	op := read("/export/events/{format}", "exportEvents", "What happened: transitions, suspicions, identity changes", "export")
	op.Description = "json is one event a line, csv one event a row, in the order in which they were recorded. An export has at most 100000 events: if more match, or too many have to be looked at, it is refused (400), and is to be had in parts, " +
		"the first with cursor=begin, each other with the cursor that the header Handprint-Next-Cursor of the part before says, which the last part does not have. A part may have none. " +
		"A range ends 15 s before Handprint-As-Of at the latest, so that no event comes later that lies within: Handprint-Export-To says where, and is `from` of the range behind it. So what was recorded in the last 15 s is in no export yet, and the first export after an application began may have nothing: its Handprint-Export-To says that it ends before the first event."
	some := func(name, doc string, values ...any) *huma.Param {
		explode := true
		return &huma.Param{Name: name, In: "query", Description: doc, Explode: &explode, Schema: &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString, Enum: values}}}
	}
	seconds := func(name, doc string) *huma.Param {
		return &huma.Param{Name: name, In: "query", Description: doc, Schema: &huma.Schema{Type: huma.TypeNumber, Format: "double", Minimum: float(0), Maximum: float(maxTime)}}
	}
	op.Parameters = []*huma.Param{
		{Name: "format", In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString, Enum: []any{"json", "csv"}}},
		some("kind", "state: transitions; value: another value in the same state; suspicion: raised, grown, cleared; identity: formed, linked, merged, unmerged. All but value if absent.", "state", "value", "suspicion", "identity"),
		seconds("from", "Unix seconds, to the end of the year 9999, of when they were recorded."), seconds("to", "Unix seconds, not included; 0, or later than what is complete: as far as that is."),
		textParam("identity", "Of this identity."), textParam("primitive", "Of this primitive: transitions and values."), textParam("domain", "Of primitives of this domain."),
		some("new_state", "Transitions and values to any of these.", "unknown", "stable", "drifting", "conflicted", "multi_actor"),
		partCursor(),
	}
	op.Responses = exported(map[string]*huma.Param{
		historyBegins: {Description: "Unix seconds: all that was recorded from then on, up to Handprint-Export-To, is in the history; 0: it is empty.", Schema: &huma.Schema{Type: huma.TypeNumber}},
		exportTo:      {Description: "Unix seconds: where the range ends, not included; at most 15 s before Handprint-As-Of, which on this route is the oldest partition of the event topics.", Schema: &huma.Schema{Type: huma.TypeNumber}},
		exportNext:    nextPart(),
	})
	s.describe(api, &op)
	mux.HandleFunc("GET /api/v1/export/events/{format}", func(w http.ResponseWriter, r *http.Request) { s.exportEvents(&op, w, r) })
}

// events are the filters of an export of events.
func (g given) events() query.EventQuery {
	q := query.EventQuery{
		Kinds: g.Values["kind"], Identity: g.Get("identity"), Primitive: g.Get("primitive"), Domain: g.Get("domain"), NewStates: g.Values["new_state"], Cursor: g.Get("cursor"),
	}
	if n := g.number("from"); n != nil {
		q.From = *n
	}
	if n := g.number("to"); n != nil {
		q.To = *n
	}
	if len(q.Kinds) == 0 {
		q.Kinds = []string{"state", "suspicion", "identity"}
	}
	if q.Cursor == exportBegin {
		q.Cursor = ""
	}
	return q
}

func (s *server) exportEvents(op *huma.Operation, w http.ResponseWriter, r *http.Request) {
	write, media := writeEventsJSON, "application/x-ndjson"
	switch r.PathValue("format") {
	case "json":
	case "csv":
		write, media = writeEventsCSV, "text/csv; charset=utf-8"
	default:
		p := problem.New("unprocessable", "validation failed")
		p.RequestID = guard.RequestID(r.Context())
		p.Errors = []problem.Detail{{Message: "json or csv; formats of a SIEM have events by `handprint export` and `handprint sink run`", Location: "path.format"}}
		refuse(w, r, p)
		return
	}
	g, p := s.given(op, r)
	if p != nil {
		refuse(w, r, p)
		return
	}
	found, err := s.Reader.Events(r.Context(), g.events(), maxExportedEvents)
	if err == nil && found.Next != "" && !g.Has("cursor") {
		err = errors.Join(&query.Problem{Kind: query.BadParameter, Detail: tooManyEvents(found.Bounded)}, found.Close())
	}
	if err != nil {
		if p := (*problem.Problem)(nil); errors.As(s.failed(r.Context(), err), &p) {
			refuse(w, r, p)
		}
		return
	}
	defer func() {
		if err := found.Close(); err != nil {
			s.Logger.Error("a snapshot of the history could not be closed", "request_id", guard.RequestID(r.Context()), "error", err)
		}
	}()
	for name, value := range s.FreshnessHeaders() {
		w.Header().Set(name, value)
	}
	w.Header().Set("Handprint-As-Of", strconv.FormatFloat(found.AsOf, 'f', 3, 64))
	if age := float64(s.Now().UnixMilli())/1000 - found.AsOf; age > s.StaleRead.Seconds() {
		w.Header().Set("Handprint-Stale", "read")
	}
	w.Header().Set(exportTo, strconv.FormatFloat(found.To, 'f', 3, 64))
	w.Header().Set(historyBegins, strconv.FormatFloat(found.Begins, 'f', 3, 64))
	if found.Next != "" {
		w.Header().Set(exportNext, found.Next)
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Disposition", `attachment; filename="handprint-events.`+r.PathValue("format")+`"`)
	if r.Method == http.MethodHead {
		return
	}
	s.whole(r, write(r.Context(), w, found))
}

// tooManyEvents says why events are to be had in parts alone.
func tooManyEvents(bounded bool) string {
	if bounded {
		return "So much was recorded in this time that not all of it was looked at: ask for a shorter time, or for parts, the first with cursor=begin."
	}
	return fmt.Sprintf("An export has at most %d events, and there are more: ask for fewer, or for parts, the first with cursor=begin.", maxExportedEvents)
}

// whole ends an export: one with an error breaks the connection, so that the client sees
// that it is not complete.
func (s *server) whole(r *http.Request, err error) {
	if err == nil {
		return
	}
	s.Logger.Warn("an export ended early", "request_id", guard.RequestID(r.Context()), "error", err)
	panic(http.ErrAbortHandler)
}

func writeEventsJSON(ctx context.Context, to io.Writer, events *query.Events) error {
	buffered := bufio.NewWriterSize(to, 32<<10)
	out := json.NewEncoder(buffered)
	if err := events.Each(ctx, func(e *query.Event) error { return out.Encode(e) }); err != nil {
		return err
	}
	return buffered.Flush()
}

func writeEventsCSV(ctx context.Context, to io.Writer, events *query.Events) error {
	out := csv.NewWriter(to)
	err := out.Write([]string{"recorded", "ts", "kind", "identity_uuid", "primitive", "old_state", "new_state", "current_value", "previous_value", "confidence", "status", "event_id", "sampled", "partition", "offset", "record"})
	if err != nil {
		return err
	}
	real := func(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
	err = events.Each(ctx, func(e *query.Event) error {
		old := ""
		if e.OldState != nil {
			old = *e.OldState
		}
		cells := []string{
			real(e.Recorded), real(e.TS), e.Kind, e.Identity, e.Primitive, old, e.NewState, string(e.Value), string(e.Previous), real(e.Confidence), e.Status, e.EventID,
			strconv.FormatBool(e.Sampled), strconv.Itoa(int(e.At.Partition)), strconv.FormatInt(e.At.Offset, 10), string(e.Record),
		}
		for n := range cells {
			cells[n] = Cell(cells[n])
		}
		return out.Write(cells)
	})
	out.Flush()
	return errors.Join(err, out.Error())
}
