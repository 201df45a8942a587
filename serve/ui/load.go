package ui

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"handprint/serve/query"
)

// What each page asks of the source.

const (
	maxSuspectedShown = 5
	maxRecentShown    = 30
	maxExplained      = 120 // rows of an identity whose windows are drawn
	maxSimilarShown   = 5
)

func (h *Handler) overview(r *http.Request, p *page) (templ.Component, error) {
	ctx := r.Context()
	p.title, p.current = "Overview", "Overview"
	word, window := windowOf(p.query.Get("window"))
	o, err := h.o.Source.Overview(ctx, window)
	if err != nil {
		return nil, err
	}
	d := &overviewData{Overview: o, story: h.o.Story, window: word}
	found, err := h.o.Source.Suspicions(ctx, url.Values{"current": {"true"}, "limit": {itoa(maxSuspectedShown)}})
	if err != nil {
		return nil, err
	}
	d.suspected = found.Items
	recent, err := h.o.Source.Recent(ctx, maxRecentShown)
	if err != nil {
		return nil, err
	}
	for _, e := range recent {
		d.recent = append(d.recent, recentEvent{Happening: e.Happening, identity: e.Identity, address: h.o.Source.Address(ctx, e.Identity)})
	}
	return overview(p, d), nil
}

func (h *Handler) identities(r *http.Request, p *page) (templ.Component, error) {
	ctx := r.Context()
	p.title, p.current = "Identities", "Identities"
	q := listQuery(p.query)
	q.Set("counts", "states")
	l, err := h.o.Source.Identities(ctx, q)
	if err != nil {
		return nil, err
	}
	d := &identitiesData{IdentityList: l, chips: chipsOf(p.query)}
	if l.Next != "" {
		d.next = with(p.query, "cursor", l.Next)
	}
	if all, err := h.o.Source.Primitives(ctx); err == nil {
		d.primitives = slices.DeleteFunc(slices.Clone(all.Items), func(m query.Primitive) bool { return m.Rows == 0 })
	}
	if m := q.Get("primitive"); m != "" {
		if v, err := h.o.Source.Values(ctx, m, "", 50); err == nil {
			d.values = v.Items
		}
	}
	return identities(p, d), nil
}

func (h *Handler) identity(r *http.Request, p *page) (templ.Component, error) {
	ctx := r.Context()
	p.current = "Identities"
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
	explained := h.explained(ctx, id)
	var all [][]entry
	for _, x := range explained {
		all = append(all, x.Window.entries())
	}
	d.columns = columnsOf(all)
	var transitions []query.Happening
	line, err := h.o.Source.Timeline(ctx, id.Identity, url.Values{"limit": {"1000"}})
	if err == nil {
		transitions, d.begins = line.Items, line.Begins
	}
	var top []entry
	names := letters{}
	evidenceOfRow := map[string]bool{}
	if id.Suspicion != nil {
		d.evidence, names, top = evidenceOf(d.columns, id.Suspicion.Reasons, explained)
		for _, m := range id.Suspicion.Primitives {
			evidenceOfRow[m] = true
		}
		d.flags = append(d.flags, d.columns.lanes().width()-2)
	}
	h.drawRows(d, explained, transitions, names, top, evidenceOfRow)
	if s, err := h.o.Source.Similar(ctx, id.Identity); err == nil {
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

// explained are the windows of the rows of an identity.
func (h *Handler) explained(ctx context.Context, id *query.Identity) map[string]*explanation {
	out := make(map[string]*explanation, len(id.Rows))
	for i, row := range id.Rows {
		if i == maxExplained {
			break
		}
		text, err := h.o.Source.Explain(ctx, id.Identity, row.Primitive, false)
		if err != nil {
			continue // the row stands without its lane
		}
		if x, err := parseExplanation(text); err == nil {
			out[row.Primitive] = x
		}
	}
	return out
}

// drawRows fills in the rows, by domain, each with its lane.
func (h *Handler) drawRows(d *identityData, explained map[string]*explanation, transitions []query.Happening, names letters, top []entry, evidence map[string]bool) {
	rows := slices.Clone(d.Rows)
	slices.SortFunc(rows, func(x, y query.Row) int {
		return cmp.Or(cmp.Compare(domainOf(x.Primitive), domainOf(y.Primitive)), cmp.Compare(x.Primitive, y.Primitive))
	})
	for _, row := range rows {
		addState(&d.counts, row.State)
		d.lastTS = max(d.lastTS, row.SeenTS)
		if d.only && (row.State == "stable" || row.State == "unknown") {
			continue
		}
		drawn := drawnRow{Row: row, evidence: evidence[row.Primitive]}
		if x := explained[row.Primitive]; x != nil {
			entries := x.Window.entries()
			l := lettersOf(entries)
			if top != nil {
				l = names.follow(top, entries)
			}
			drawn.lane = laneOf(d.columns.lanes(), l, transitions, &row, entries)
			if drawn.lane.letter {
				drawn.letter = l[key(row.Value)]
			}
		} else {
			drawn.lane = laneOf(d.columns.lanes(), nil, transitions, &row, nil)
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

func (h *Handler) why(r *http.Request, p *page) (templ.Component, error) {
	ctx := r.Context()
	p.current = "Identities"
	id, err := h.o.Source.Identity(ctx, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	primitive := r.PathValue("primitive")
	text, err := h.o.Source.Explain(ctx, id.Identity, primitive, true)
	if err != nil {
		return nil, err
	}
	x, err := parseExplanation(text)
	if err != nil {
		return nil, err
	}
	p.title = words(primitive)
	d := &whyData{identity: id.Identity, primitive: primitive, explanation: x, letters: lettersOf(x.Window.entries()), asOf: id.AsOf}
	if len(id.Attackers) == 1 && id.Total == 1 {
		d.address = id.Attackers[0].Address
	}
	if v, err := h.o.Source.Value(ctx, primitive, x.Row.Value); err == nil {
		d.value = v
	}
	return why(p, d), nil
}

func (h *Handler) history(r *http.Request, p *page) (templ.Component, error) {
	ctx := r.Context()
	p.title, p.current = "Merge history", "Identities"
	id, err := h.o.Source.Identity(ctx, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	e, err := h.o.Source.History(ctx, id.Identity)
	if err != nil {
		return nil, err
	}
	d := &historyData{IdentityHistory: e, members: id.Attackers, address: h.o.Source.Address(ctx, id.Identity)}
	return history(p, d), nil
}

func (h *Handler) compare(r *http.Request, p *page) (templ.Component, error) {
	ctx := r.Context()
	p.title, p.current = "Compare", "Suggestions"
	a, b := strings.TrimSpace(p.query.Get("a")), strings.TrimSpace(p.query.Get("b"))
	d := &compareData{}
	if a == "" || b == "" {
		return compare(p, d), nil
	}
	ids := [2]string{a, b}
	for i, asked := range ids {
		id, err := h.o.Source.Identity(ctx, asked)
		if err != nil {
			return nil, err
		}
		ids[i] = id.Identity
	}
	var err error
	if d.Comparison, err = h.o.Source.Compare(ctx, ids[0], ids[1]); err != nil {
		return nil, err
	}
	d.a, d.b = h.o.Source.Address(ctx, ids[0]), h.o.Source.Address(ctx, ids[1])
	relation := map[string]int{"agree": 0, "disagree": 1, "not_stable": 2, "one_sided": 3}
	slices.SortStableFunc(d.Rows, func(x, y query.ComparedRow) int {
		return cmp.Or(cmp.Compare(relation[x.Relation], relation[y.Relation]), -cmp.Compare(x.Bits, y.Bits), cmp.Compare(x.Primitive, y.Primitive))
	})
	return compare(p, d), nil
}

func (h *Handler) suspicions(r *http.Request, p *page) (templ.Component, error) {
	p.title, p.current = "Suspicions", "Suspicions"
	q := url.Values{"limit": {"50"}}
	for _, name := range []string{"current", "status", "min_confidence", "cursor"} {
		if v := p.query[name]; len(v) > 0 && v[0] != "" {
			q[name] = v
		}
	}
	l, err := h.o.Source.Suspicions(r.Context(), q)
	if err != nil {
		return nil, err
	}
	d := &suspicionsData{SuspicionList: l}
	if l.Next != "" {
		d.next = with(p.query, "cursor", l.Next)
	}
	return suspicions(p, d), nil
}

func (h *Handler) suggestions(r *http.Request, p *page) (templ.Component, error) {
	ctx := r.Context()
	p.title, p.current = "Suggestions", "Suggestions"
	l, err := h.o.Source.Suggestions(ctx)
	if err != nil {
		return nil, err
	}
	d := &suggestionsData{PairList: l, names: map[string]*query.Address{}}
	for _, pair := range l.Items {
		for _, id := range []string{pair.A, pair.B} {
			if _, ok := d.names[id]; !ok {
				d.names[id] = h.o.Source.Address(ctx, id)
			}
		}
	}
	return suggestions(p, d), nil
}

func (h *Handler) value(r *http.Request, p *page) (templ.Component, error) {
	ctx := r.Context()
	p.title, p.current = "Value", "Identities"
	primitive, text := p.query.Get("primitive"), p.query.Get("value")
	if primitive == "" || !json.Valid([]byte(text)) {
		return nil, &query.Problem{Kind: query.BadParameter, Detail: "A value is asked for by primitive and value, and value is JSON: a text stands in quotes."}
	}
	v, err := h.o.Source.Value(ctx, primitive, json.RawMessage(text))
	if err != nil {
		return nil, err
	}
	q := url.Values{"primitive": {primitive}, "value": {text}, "limit": {"50"}}
	l, err := h.o.Source.Identities(ctx, q)
	if err != nil {
		return nil, err
	}
	d := &valueData{ValueInfo: v, holders: l}
	if len(d.Value) == 0 {
		d.Value = json.RawMessage(text)
	}
	if l.Next != "" {
		q.Del("limit")
		d.next = "/identities?" + q.Encode()
	}
	return value(p, d), nil
}

func (h *Handler) search(r *http.Request, p *page) (templ.Component, error) {
	ctx := r.Context()
	p.title = "Search"
	q := strings.TrimSpace(p.query.Get("q"))
	if len(q) > 256 {
		return nil, &query.Problem{Kind: query.BadParameter, Detail: "A search has at most 256 bytes."}
	}
	found := &query.SearchResult{Q: q}
	if q != "" {
		var err error
		if found, err = h.o.Source.Search(ctx, q); err != nil {
			return nil, err
		}
	}
	names := map[string]*query.Address{}
	for _, id := range found.Identities {
		names[id] = h.o.Source.Address(ctx, id)
	}
	if p.query.Get("part") == "results" {
		return searchResults(p, found, names), nil
	}
	return search(p, found, names), nil
}

func (h *Handler) operations(r *http.Request, p *page) (templ.Component, error) {
	p.title, p.current = "Operations", "Operations"
	o, err := h.o.Source.Operations(r.Context())
	if err != nil {
		return nil, err
	}
	return operations(p, o), nil
}

// maxForm is how large a posted form may be, in bytes.
const maxForm = 64 << 10

// act previews and sends a merge or an unmerge.
func (h *Handler) act(r *http.Request, p *page, kind string) (templ.Component, error) {
	ctx := r.Context()
	p.title, p.current = verb(kind), "Identities"
	r.Body = http.MaxBytesReader(nil, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return nil, &query.Problem{Kind: query.BadParameter, Detail: "The form cannot be read, or is larger than 64 KiB."}
	}
	winner, err := h.o.Source.Identity(ctx, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	loser, err := h.o.Source.Identity(ctx, strings.TrimSpace(r.PostForm.Get("loser")))
	if err != nil {
		return nil, err
	}
	d := &actionData{kind: kind, winner: winner.Identity, loser: loser.Identity, moves: loser.Total,
		winnerAt: h.o.Source.Address(ctx, winner.Identity), loserAt: h.o.Source.Address(ctx, loser.Identity)}
	if kind == "unmerge" {
		d.attackers = slices.DeleteFunc(r.PostForm["attacker"], func(a string) bool { return a == "" || len(a) > 256 })
		d.moves = len(d.attackers)
	} else if winner.Identity == loser.Identity {
		return nil, &query.Problem{Kind: query.BadParameter, Detail: "Both are one identity already."}
	}
	if r.PostForm.Get("confirm") != "1" {
		return action(p, d), nil
	}
	if kind == "merge" {
		d.done, err = h.o.Actor.Merge(ctx, d.winner, d.loser)
	} else {
		d.done, err = h.o.Actor.Unmerge(ctx, d.winner, d.loser, d.attackers)
	}
	if err != nil {
		return nil, err
	}
	if d.done == "" {
		return nil, errors.New("an identity event was sent and has no place")
	}
	return action(p, d), nil
}
