package ui

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"handprint/serve/query"
)

// What each page asks of the source.

const (
	maxSuspectedShown = 5
	maxRecentShown    = 20
	maxRecentLooked   = 1000 // transitions that are looked at for who changed
	maxChangedShown   = 8
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
	recent, err := h.o.Source.Recent(ctx, maxRecentLooked)
	if err != nil {
		return nil, err
	}
	for _, e := range recent[:min(len(recent), maxRecentShown)] {
		d.recent = append(d.recent, recentEvent{Happening: e.Happening, identity: e.Identity, address: h.o.Source.Address(ctx, e.Identity)})
	}
	d.changed, d.ofLatest = whoChanged(recent, float64(p.now.Add(-window).UnixMilli())/1000)
	d.changedMore = max(0, len(d.changed)-maxChangedShown)
	d.changed = d.changed[:len(d.changed)-d.changedMore]
	for i := range d.changed {
		d.changed[i].address = h.o.Source.Address(ctx, d.changed[i].identity)
	}
	return overview(p, d), nil
}

func (h *Handler) identities(r *http.Request, p *page) (templ.Component, error) {
	ctx := r.Context()
	p.title, p.current = "Identities", "Identities"
	if chosen := h.chooseColumns(r, p); chosen != nil {
		return nil, chosen
	}
	q := listQuery(p.query)
	q.Set("counts", "states")
	l, err := h.o.Source.Identities(ctx, q)
	if err != nil {
		return nil, err
	}
	d := &identitiesData{IdentityList: l, chips: chipsOf(p.query, p.now), columns: shownColumns(r, p.query)}
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
	if x.Primitive != "" {
		primitive = x.Primitive // it may have been asked for as suspicions name it, cut
	}
	p.title = "Why " + words(primitive)
	d := &whyData{identity: id.Identity, primitive: primitive, explanation: x, letters: lettersOf(x.Window.entries()), asOf: id.AsOf}
	if len(id.Attackers) == 1 && id.Total == 1 {
		d.address = id.Attackers[0].Address
	}
	if v, err := h.o.Source.Value(ctx, primitive, x.Row.Value); err == nil {
		d.value = v
	}
	d.kept = keptValues(d.letters, x.Window.entries())
	for i := range d.kept {
		if v, err := h.o.Source.Value(ctx, primitive, d.kept[i].value); err == nil {
			d.kept[i].held, d.kept[i].of = v.Holders, v.Of
		}
	}
	d.returns = returnSteps(d)
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
	d := &historyData{IdentityHistory: e, members: id.Attackers, record: id.Record, address: h.o.Source.Address(ctx, id.Identity)}
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
	d.show = p.query.Get("show")
	if !slices.ContainsFunc(comparedKinds, func(o order) bool { return o.value == d.show }) {
		d.show = "all"
	}
	groups := map[string]string{}
	if all, err := h.o.Source.Primitives(ctx); err == nil {
		for _, m := range all.Items {
			groups[m.Primitive] = m.Group
		}
	}
	d.groupCompared(groups)
	return compare(p, d), nil
}

func (h *Handler) suspicions(r *http.Request, p *page) (templ.Component, error) {
	p.title, p.current = "Suspicions", "Suspicions"
	ctx := r.Context()
	q := url.Values{"limit": {itoa(maxLives)}}
	for _, name := range []string{"current", "status", "min_confidence", "cursor"} {
		if v := p.query[name]; len(v) > 0 && v[0] != "" {
			q[name] = v
		}
	}
	l, err := h.o.Source.Suspicions(ctx, q)
	if err != nil {
		return nil, err
	}
	d := &suspicionsData{SuspicionList: l}
	for _, s := range l.Items {
		d.drawn = append(d.drawn, h.drawnSuspicion(ctx, s))
	}
	if l.Next != "" {
		d.next = with(p.query, "cursor", l.Next)
	}
	return suspicions(p, d), nil
}

// drawnSuspicion is a suspicion with its evidence and its life. What cannot be read
// is left out: the suspicion stands without it.
func (h *Handler) drawnSuspicion(ctx context.Context, s query.Suspicion) drawnSuspicion {
	d := drawnSuspicion{Suspicion: s}
	primitives := make([]string, 0, len(s.Reasons))
	for _, r := range s.Reasons[:min(len(s.Reasons), maxColumns)] {
		primitives = append(primitives, r.Primitive)
	}
	if explained, _, err := h.windows(ctx, s.Identity, primitives); err == nil && len(explained) > 0 {
		var all [][]entry
		for _, x := range explained {
			all = append(all, x.Window.entries())
		}
		d.evidence, _, _ = evidenceOf(columnsOf(all), s.Reasons, explained)
	}
	if line, err := h.o.Source.Timeline(ctx, s.Identity, url.Values{"kinds": {"suspicion"}}); err == nil {
		d.life = livesOf(line.Items)[s.ID]
	}
	return d
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
	h.beside(ctx, d)
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
	if id := exactly(found, q); id != "" && p.query.Get("part") == "" {
		return nil, &redirect{path: "/identities/" + pathPart(id)}
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

// redirect is an answer that lies elsewhere.
type redirect struct {
	path   string
	cookie *http.Cookie // that goes with it; nil: none
}

func (r *redirect) Error() string { return "the answer is at " + r.path }

// exactly is the identity that a search names in full: by its id, by the id of an
// attacker, or by an address that one identity alone has. Empty: there is none.
func exactly(found *query.SearchResult, q string) string {
	if slices.Contains(found.Identities, q) && len(q) <= maxLinked {
		return q
	}
	id := ""
	for _, a := range found.Attackers {
		if a.Identity == "" || a.Attacker != q && (a.Address == nil || a.Address.Address != q) {
			continue
		}
		if id != "" && id != a.Identity {
			return ""
		}
		id = a.Identity
	}
	if len(id) > maxLinked || found.Total > len(found.Attackers) && id == "" {
		return ""
	}
	return id
}

func (h *Handler) operations(r *http.Request, p *page) (templ.Component, error) {
	p.title, p.current = "Operations", "Operations"
	o, err := h.o.Source.Operations(r.Context())
	if err != nil {
		return nil, err
	}
	for i := range o.DeadLetters {
		l := &o.DeadLetters[i]
		l.Sent = h.sent.at(place{l.Partition, l.Offset}, h.o.Now())
	}
	return operations(p, o, h.sent.named(p.query.Get("sent"), h.o.Now())), nil
}

// maxForm is how large a posted form may be, in bytes.
const maxForm = 64 << 10

// replay sends a dead letter's original again and leads to the operations page, which says
// where it lies: a page that is read again sends nothing.
func (h *Handler) replay(r *http.Request, p *page) (templ.Component, error) {
	p.title, p.current = "Sent again", "Operations"
	partition, err := strconv.ParseInt(r.PathValue("partition"), 10, 32)
	offset, err2 := strconv.ParseInt(r.PathValue("offset"), 10, 64)
	if err != nil || err2 != nil || partition < 0 || offset < 0 {
		return nil, &query.Problem{Kind: query.BadParameter, Detail: "A dead letter has a partition and an offset."}
	}
	letter := place{int32(partition), offset}
	err = h.sent.once(r.Context(), letter, h.o.Now, func() (string, error) { return h.o.Actor.Replay(r.Context(), letter.partition, letter.offset) })
	if err != nil {
		return nil, err
	}
	return nil, &redirect{path: "/operations?sent=" + letter.String()}
}

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
		winnerAt: h.o.Source.Address(ctx, winner.Identity), loserAt: h.o.Source.Address(ctx, loser.Identity),
		members: loser.Attackers, rows: movedRows(kind, winner, loser)}
	if kind == "unmerge" {
		d.attackers = slices.DeleteFunc(r.PostForm["attacker"], func(a string) bool { return a == "" || len(a) > 256 })
		d.moves, d.members = len(d.attackers), membersNamed(winner.Attackers, d.attackers)
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
