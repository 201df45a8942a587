package ui

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/a-h/templ"

	"handprint/attribution"
	"handprint/serve/query"
)

const (
	maxExplained    = 120 // rows of an identity whose windows are drawn
	maxSimilarShown = 5
)

func (h *Handler) identity(r *http.Request, p *page) (templ.Component, error) {
	ctx := r.Context()
	p.current, p.timeline = "Identities", true
	id, err := h.o.Source.Identity(ctx, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	d := &identityData{Identity: id, only: p.query.Get("only") == "unstable", names: map[string]*query.Address{}}
	p.path = "/identities/" + pathPart(cutID(id.Identity)) // an address may have been asked for
	if len(id.Attackers) == 1 && id.Total == 1 {
		d.address = id.Attackers[0].Address
	}
	p.title = name(d.address, id.Identity)
	var explained map[string]*explanation
	for try := 0; ; try++ { // a page is of one moment: what it is made of is read again if it moved on meanwhile
		var at query.Position
		explained, at, err = h.explained(ctx, id.Identity, id.Rows)
		if err != nil || at == id.Position || try == 2 {
			break
		}
		if id, err = h.o.Source.Identity(ctx, id.Identity); err != nil {
			return nil, err
		}
		d.Identity = id
	}
	var all [][]entry
	for _, x := range explained {
		all = append(all, x.Window.entries())
	}
	d.columns = columnsOf(all)
	for primitive, x := range maps.Clone(explained) {
		explained[attribution.ShortPrimitive(primitive)] = x // as a suspicion names it
	}
	if line, err := h.o.Source.Timeline(ctx, id.Identity, nil); err == nil {
		d.happened, d.begins, d.more = line.Items, line.Begins, line.Next != ""
	}
	d.lives = livesOf(d.happened)
	d.axis = axisOf(p.query, &d.columns, d.happened)
	d.marks = marksOf(p, &d.axis, d.happened)
	var top []entry
	names := letters{}
	evidenceOfRow := map[string]bool{}
	if id.Suspicion != nil {
		d.evidence, names, top = evidenceOf(d.columns, id.Suspicion.Reasons, explained)
		for _, m := range id.Suspicion.Primitives {
			evidenceOfRow[m] = true
		}
	}
	h.drawRows(ctx, p, d, explained, names, top, evidenceOfRow)
	if s, err := h.o.Source.Similar(ctx, id.Identity); err == nil {
		d.someOnly = !s.Complete
		d.similar = s.Items[:min(len(s.Items), maxSimilarShown)]
		for _, pair := range d.similar {
			o := other(pair, id.Identity)
			d.names[o] = h.o.Source.Address(ctx, o)
		}
	}
	if e, err := h.o.Source.History(ctx, id.Identity); err == nil {
		d.history = e.Items
	}
	return identity(p, d), nil
}

// explained are the windows of rows of an identity, all from one snapshot, and
// where that lies. A row without one stands without its lane.
func (h *Handler) explained(ctx context.Context, id string, rows []query.Row) (map[string]*explanation, query.Position, error) {
	primitives := make([]string, 0, min(len(rows), maxExplained))
	for _, r := range rows[:min(len(rows), maxExplained)] {
		primitives = append(primitives, r.Primitive)
	}
	return h.windows(ctx, id, primitives)
}

func (h *Handler) windows(ctx context.Context, id string, primitives []string) (map[string]*explanation, query.Position, error) {
	texts, at, err := h.o.Source.Windows(ctx, id, primitives)
	if err != nil {
		return nil, at, err
	}
	out := make(map[string]*explanation, len(texts))
	for primitive, text := range texts {
		if x, err := parseExplanation(text); err == nil {
			out[primitive] = x
		}
	}
	return out, at, nil
}

// drawRows fills in the rows, by domain, each with its lane.
func (h *Handler) drawRows(ctx context.Context, p *page, d *identityData, explained map[string]*explanation, names letters, top []entry, evidence map[string]bool) {
	rows := slices.Clone(d.Rows)
	slices.SortFunc(rows, func(x, y query.Row) int {
		return cmp.Or(cmp.Compare(domainOf(x.Primitive), domainOf(y.Primitive)), cmp.Compare(x.Primitive, y.Primitive))
	})
	narrow := d.axis.narrow()
	for i, row := range rows {
		addState(&d.counts, row.State)
		d.lastTS = max(d.lastTS, row.SeenTS)
		if d.only && (row.State == "stable" || row.State == "unknown") {
			continue
		}
		drawn := drawnRow{Row: row, evidence: evidence[attribution.ShortPrimitive(row.Primitive)]}
		var entries []entry
		var l letters
		if x := explained[row.Primitive]; x != nil {
			entries = x.Window.entries()
			l = lettersOf(entries)
			if top != nil {
				l = names.follow(top, entries)
			}
		}
		drawn.lane = laneOf(&d.axis, l, d.happened, &row, entries, p)
		if d.axis.linear {
			n := laneOf(narrow, l, d.happened, &row, entries, p)
			drawn.narrow = &n
		}
		if drawn.lane.letter {
			drawn.letter = l[key(row.Value)]
		}
		if i < maxExplained {
			if v, err := h.o.Source.Value(ctx, row.Primitive, row.Value); err == nil {
				drawn.held, drawn.of = v.Holders, v.Of
			}
		}
		if n := len(d.domains); n == 0 || d.domains[n-1].domain != domainOf(row.Primitive) {
			d.domains = append(d.domains, domainRows{domain: domainOf(row.Primitive)})
		}
		g := &d.domains[len(d.domains)-1]
		g.rows = append(g.rows, drawn)
	}
	d.firstTS = d.lastTS
	if len(d.columns.times) > 0 {
		d.firstTS = d.columns.times[0]
	}
	for _, m := range d.Attackers {
		if m.Address != nil && m.Address.FirstTS > 0 {
			d.firstTS = min(d.firstTS, m.Address.FirstTS)
		}
	}
}

func addState(n *query.States, state string) {
	switch state {
	case "stable":
		n.Stable++
	case "drifting":
		n.Drifting++
	case "conflicted":
		n.Conflicted++
	case "multi_actor":
		n.MultiActor++
	default:
		n.Unknown++
	}
}
