package query

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"handprint/attribution"
	"handprint/engine"
	"handprint/serve/catalog"
	"handprint/serve/history"
)

// TimelineQuery says which entries of an identity are asked for.
type TimelineQuery struct {
	Identity  string
	Primitive string
	From, To  float64 // Unix seconds; To 0: no end
	Kinds     []string
	Limit     int // 1 to 500; 0: 100
	Cursor    string
}

// Timeline returns what happened to an identity, the latest first.
func (r *Reader) Timeline(q TimelineQuery) (*Timeline, error) {
	question := fmt.Sprintf("timeline %q %q %q %v %v", q.Identity, q.Primitive, q.Kinds, q.From, q.To)
	at, err := decodeCursor(question, q.Cursor)
	if err != nil {
		return nil, err
	}
	v, s, err := r.view(q.Identity)
	if err != nil {
		return nil, err
	}
	hq := history.Query{Identity: q.Identity, Primitive: q.Primitive, From: q.From, To: q.To, Limit: min(q.Limit, 500)}
	if hq.Limit <= 0 {
		hq.Limit = 100
	}
	for _, k := range q.Kinds {
		hq.Kinds = append(hq.Kinds, history.Kind(k))
	}
	if at != nil {
		hq.After = history.Place(at.text)
	}
	page, next, err := r.History.Timeline(hq)
	if err != nil {
		return nil, fault(err)
	}
	begins := r.History.Begins()
	to := &Timeline{Identity: q.Identity, Begins: finite(begins), Items: []Happening{}, AsOf: s.asOf, Complete: true}
	for i := range v.Rows { // all that was written before the history begins is not in it
		if row := &v.Rows[i]; (q.Primitive == "" || row.Primitive == q.Primitive) && row.Row.UpdatedAt < begins {
			to.Complete = false
		}
	}
	for i := range page {
		to.Items = append(to.Items, HappeningOf(&page[i]))
	}
	if next != nil {
		to.Next = encodeCursor(question, cursor{text: string(next)})
	}
	return to, nil
}

// HappeningOf returns an entry of the history as timelines have it.
func HappeningOf(e *history.Entry) Happening {
	return Happening{
		TS: e.TS, Recorded: e.Recorded, Kind: string(e.Kind), Primitive: e.Primitive, OldState: optional(e.OldState), NewState: e.NewState,
		Value: e.Value, Previous: e.Previous, Confidence: e.Confidence, EventID: e.EventID, Status: e.Status, Record: e.Record, Sampled: e.Sampled,
		At: Position{e.Partition, e.Offset},
	}
}

// SuspicionQuery says which suspicions are asked for.
type SuspicionQuery struct {
	Status        []string // any of these; none: all but replaced ones
	Current       bool
	MinConfidence float64
	Identity      string
	Since         float64
	Before        float64
	Limit         int
	Cursor        string
}

// Suspicions returns suspicions, the newest first.
func (r *Reader) Suspicions(q SuspicionQuery) (*SuspicionList, error) {
	c, err := r.catalog()
	if err != nil {
		return nil, err
	}
	question, _ := json.Marshal(SuspicionQuery{q.Status, q.Current, q.MinConfidence, q.Identity, q.Since, q.Before, 0, ""}) // no such error: plain fields
	at, err := decodeCursor(string(question), q.Cursor)
	if err != nil {
		return nil, err
	}
	var after *catalog.SuspicionKey
	if at != nil {
		after = &catalog.SuspicionKey{TS: at.number, ID: at.text}
	}
	limit := limitOf(q.Limit)
	page, total := c.Suspicions(&catalog.SuspicionFilter{
		Statuses: q.Status, Current: q.Current, MinConfidence: q.MinConfidence, Identity: q.Identity, Since: q.Since, Before: q.Before,
	}, after, limit+1)
	list := &SuspicionList{Items: []Suspicion{}, Total: total, AsOf: r.AsOf()}
	for i, s := range page {
		if i == limit {
			list.Next = encodeCursor(string(question), cursor{page[i-1].TS, page[i-1].ID})
			break
		}
		list.Items = append(list.Items, *r.suspicion(c, s))
	}
	return list, nil
}

// Primitives returns the registry's primitives and all others that have rows.
func (r *Reader) Primitives() (*PrimitiveList, error) {
	c, err := r.catalog()
	if err != nil {
		return nil, err
	}
	byName := map[string]*Primitive{}
	for _, name := range r.Registry.Names() {
		p := r.Registry.Lookup([]byte(name))
		byName[name] = &Primitive{Primitive: name, Domain: p.Domain, Kind: p.Kind.String(), Registered: true, Group: r.Registry.Group(name), Returning: p.Returning, Values: orEmpty(p.Values), Unit: p.Unit, Meaning: p.Meaning}
	}
	for _, n := range c.Counts().Primitives {
		p := byName[n.Primitive]
		if p == nil {
			p = &Primitive{Primitive: n.Primitive, Domain: domainOf(n.Primitive), Kind: r.kindOf(n.Primitive), Group: n.Primitive, Values: []string{}}
			byName[n.Primitive] = p
		}
		p.States, p.Distinct = statesOf(n.States), n.Values
		p.Rows = p.States.Total()
	}
	list := &PrimitiveList{Items: []Primitive{}, AsOf: r.AsOf()}
	for _, p := range byName {
		list.Items = append(list.Items, *p)
	}
	slices.SortFunc(list.Items, func(a, b Primitive) int { return strings.Compare(a.Primitive, b.Primitive) })
	return list, nil
}

// ValuesQuery says which values of a primitive are asked for.
type ValuesQuery struct {
	Primitive string
	Prefix    string // of the text of a JSON string, or of the JSON
	ByText    bool   // in the order of the text, not of the number of holders
	Limit     int
	Cursor    string
}

// Values returns values of a primitive with how many have them.
func (r *Reader) Values(q ValuesQuery) (*ValueList, error) {
	c, err := r.catalog()
	if err != nil {
		return nil, err
	}
	question, _ := json.Marshal([]any{"values", q.Primitive, q.Prefix, q.ByText}) // no such error: plain fields
	at, err := decodeCursor(string(question), q.Cursor)
	if err != nil {
		return nil, err
	}
	var after *catalog.ValueKey
	if at != nil {
		after = &catalog.ValueKey{Holders: int(at.number), Value: at.text}
	}
	limit := limitOf(q.Limit)
	page, total := c.Values(q.Primitive, q.Prefix, q.ByText, after, limit+1)
	list := &ValueList{Primitive: q.Primitive, Items: []ValueCount{}, Total: total, AsOf: r.AsOf()}
	for i := range page {
		if i == limit {
			list.Next = encodeCursor(string(question), cursor{float64(page[i-1].Holders), string(page[i-1].Value)})
			break
		}
		list.Items = append(list.Items, valueCount(&page[i]))
	}
	return list, nil
}

func valueCount(v *catalog.ValueCount) ValueCount {
	return ValueCount{Value: jsonValue(v.Value), Digest: digestOf(v.Value), Holders: v.Holders, States: statesOf(v.States)}
}

// Value returns how common a value is.
func (r *Reader) Value(primitive, value string) (*ValueInfo, error) {
	c, err := r.catalog()
	if err != nil {
		return nil, err
	}
	compared, err := canonicalValue(value)
	if err != nil {
		return nil, err
	}
	stored := engine.StoredValue(compared)
	v, of := c.Value(primitive, stored)
	holders, stable := c.Commonness(primitive, stored)
	to := &ValueInfo{Primitive: primitive, ValueCount: valueCount(&v), Of: statesOf(of).Total(), Bits: attribution.Bits(holders, stable), AsOf: r.AsOf()}
	to.ValueCount.Value = jsonValue(compared)
	return to, nil
}

// maxFound bounds what a search returns of each kind.
const maxFound = 10

// Search looks for a text in ids, addresses, primitives and values.
func (r *Reader) Search(q string) (*SearchResult, error) {
	c, err := r.catalog()
	if err != nil {
		return nil, err
	}
	if err := checkText(q); err != nil {
		return nil, err
	}
	to := &SearchResult{Q: q, Identities: orEmpty(c.IDsWithPrefix(q, maxFound)), Attackers: []Attacker{}, Primitives: []string{}, Values: []FoundValue{}, AsOf: r.AsOf()}
	attackers, total := c.Attackers(q, "", maxFound)
	to.Total = total
	for _, a := range attackers {
		to.Attackers = append(to.Attackers, Attacker{a.ID, a.Identity, addressOf(a.Address)})
	}
	for _, n := range c.Counts().Primitives {
		if strings.Contains(n.Primitive, q) && len(to.Primitives) < maxFound {
			to.Primitives = append(to.Primitives, n.Primitive)
		}
		if k := r.Registry.Kind([]byte(n.Primitive)); k != attribution.Hash && k != attribution.FreeString {
			continue
		}
		values, _ := c.Values(n.Primitive, q, false, nil, maxFound)
		for i := range values {
			to.Values = append(to.Values, FoundValue{n.Primitive, valueCount(&values[i])})
		}
	}
	slices.SortStableFunc(to.Values, func(a, b FoundValue) int { return cmp.Compare(b.Holders, a.Holders) })
	to.Values = to.Values[:min(len(to.Values), maxFound)]
	return to, nil
}

// Overview returns totals, and what changed within a window that ends now.
func (r *Reader) Overview(window time.Duration) (*Overview, error) {
	c, err := r.catalog()
	if err != nil {
		return nil, err
	}
	n := c.Counts()
	to := &Overview{
		Identities: n.Identities, Merged: n.Merged, Suspected: n.Suspected, Attackers: n.Attackers, Addresses: n.Addresses, Rows: n.Rows, States: statesOf(n.States),
		Domains: []DomainCount{}, Primitives: []PrimitiveRows{}, Window: window.Seconds(), Changes: []Change{}, AsOf: r.AsOf(),
	}
	domains := map[string]*[5]int{}
	for _, p := range n.Primitives {
		if statesOf(p.States).Total() == 0 {
			continue
		}
		to.Primitives = append(to.Primitives, PrimitiveRows{p.Primitive, statesOf(p.States)})
		d := domainOf(p.Primitive)
		if domains[d] == nil {
			domains[d] = new([5]int)
		}
		for s, rows := range p.States {
			domains[d][s] += rows
		}
	}
	for d, states := range domains {
		to.Domains = append(to.Domains, DomainCount{d, statesOf(*states)})
	}
	slices.SortFunc(to.Domains, func(a, b DomainCount) int { return strings.Compare(a.Domain, b.Domain) })
	changes := r.History.Changes(float64(r.Now().Add(-window).UnixMilli()) / 1000)
	to.Transitions = changes.Total()
	for from, row := range changes {
		old := ""
		if from != history.NoRow {
			old = attribution.State(from).String()
		}
		for state, count := range row {
			if count > 0 {
				to.Changes = append(to.Changes, Change{optional(old), attribution.State(state).String(), int(count)})
			}
		}
	}
	slices.SortFunc(to.Changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.New, b.New), strings.Compare(deref(a.Old), deref(b.Old)))
	})
	return to, nil
}

func pairOf(s *attribution.Suggestion) Pair {
	p := Pair{A: s.A, B: s.B, Score: s.Score, Agree: []Agreement{}, Disagree: []Agreement{}}
	for _, a := range s.Agree {
		p.Agree = append(p.Agree, Agreement{a.Primitive, jsonValue(a.Value), a.Holders, a.Of, a.Bits})
	}
	for _, d := range s.Disagree {
		p.Disagree = append(p.Disagree, Agreement{Primitive: d.Primitive, Bits: d.Bits})
	}
	return p
}

func pairsOf(list []attribution.Suggestion) []Pair {
	pairs := make([]Pair, 0, len(list))
	for i := range list {
		pairs = append(pairs, pairOf(&list[i]))
	}
	return pairs
}

// Similar returns identities that behave alike.
func (r *Reader) Similar(id string, limit int) (*PairList, error) {
	c, err := r.catalog()
	if err != nil {
		return nil, err
	}
	found, ok := c.Similar(id, min(limitOf(limit), 50))
	if !ok {
		return nil, problem(UnknownIdentity, "There is no identity with this id.")
	}
	now := r.AsOf()
	return &PairList{Items: pairsOf(found), ComputedAt: now, Complete: true, AsOf: now}, nil
}

// suggestions are computed in the background, when somebody asks and the last ones
// have grown old: they take seconds where there is much.
type suggestions struct {
	mu       sync.Mutex
	at       time.Time
	pairs    []attribution.Suggestion
	complete bool
	done     chan struct{} // closed when the computation that is due has ended; nil: none is due
	wanted   chan struct{} // has room for one
}

const (
	// suggestAgain is for how long suggestions are shown before they are computed anew.
	suggestAgain = time.Minute
	// suggestWait is how long an answer waits for suggestions that are being computed.
	suggestWait = 2 * time.Second
	// maxSuggestions bounds the suggestions that are kept.
	maxSuggestions = 1000
)

// want has suggestions computed if they are old, and returns what is closed when they
// are there; nil: they are.
func (s *suggestions) want(now time.Time) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil && !s.at.IsZero() && now.Sub(s.at) < suggestAgain && !now.Before(s.at) {
		return nil
	}
	if s.done == nil {
		s.done = make(chan struct{})
		s.wanted <- struct{}{} // there is room: nothing was wanted
	}
	return s.done
}

// Work computes in the background what takes long, until ctx ends.
func (r *Reader) Work(ctx context.Context) {
	s := &r.suggestions
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wanted:
		}
		c, _ := r.Source.Catalog()
		pairs, complete := c.Suggest(0, maxSuggestions)
		s.mu.Lock()
		s.pairs, s.complete, s.at = pairs, complete, r.Now()
		close(s.done)
		s.done = nil
		s.mu.Unlock()
	}
}

// Suggestions returns the pairs that score highest, at least minScore, as they were
// computed last: a minute ago at most, or while they are being computed anew.
func (r *Reader) Suggestions(minScore float64, limit int) (*PairList, error) {
	if _, err := r.catalog(); err != nil {
		return nil, err
	}
	s := &r.suggestions
	if done := s.want(r.Now()); done != nil {
		t := time.NewTimer(suggestWait)
		defer t.Stop()
		select {
		case <-done:
		case <-t.C:
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at.IsZero() {
		p := problem(CatalogBuilding, "Suggestions are being computed for the first time since the start.")
		p.After = suggestWait
		return nil, p
	}
	end := len(s.pairs)
	if minScore > 0 {
		end = slices.IndexFunc(s.pairs, func(p attribution.Suggestion) bool { return p.Score < minScore })
		if end < 0 {
			end = len(s.pairs)
		}
	}
	return &PairList{Items: pairsOf(s.pairs[:min(end, limitOf(limit))]), ComputedAt: float64(s.at.UnixMilli()) / 1000, Complete: s.complete, AsOf: r.AsOf()}, nil
}

// Compare returns two identities side by side.
func (r *Reader) Compare(a, b string) (*Comparison, error) {
	c, err := r.catalog()
	if err != nil {
		return nil, err
	}
	left, err := r.Attribution(a)
	if err != nil {
		return nil, err
	}
	right, err := r.Attribution(b)
	if err != nil {
		return nil, err
	}
	s, _ := c.Compare(a, b)
	bits := map[string]float64{}
	relation := map[string]string{}
	for _, x := range s.Agree {
		bits[x.Primitive], relation[x.Primitive] = x.Bits, "agree"
	}
	for _, x := range s.Disagree {
		bits[x.Primitive], relation[x.Primitive] = x.Bits, "disagree"
	}
	byPrimitive := map[string]*ComparedRow{}
	for i := range left.Rows {
		row := &left.Rows[i]
		byPrimitive[row.Primitive] = &ComparedRow{Primitive: row.Primitive, A: row}
	}
	for i := range right.Rows {
		row := &right.Rows[i]
		if byPrimitive[row.Primitive] == nil {
			byPrimitive[row.Primitive] = &ComparedRow{Primitive: row.Primitive}
		}
		byPrimitive[row.Primitive].B = row
	}
	to := &Comparison{A: a, B: b, Score: s.Score, Rows: []ComparedRow{}, AsOf: min(left.AsOf, right.AsOf)}
	for name, row := range byPrimitive {
		row.Bits, row.Relation = bits[name], relation[name]
		switch {
		case row.A == nil || row.B == nil:
			row.Relation = "one_sided"
		case row.Relation == "":
			row.Relation = "not_stable"
		}
		to.Rows = append(to.Rows, *row)
	}
	slices.SortFunc(to.Rows, func(x, y ComparedRow) int {
		return cmp.Or(cmp.Compare(math.Abs(y.Bits), math.Abs(x.Bits)), strings.Compare(x.Primitive, y.Primitive))
	})
	return to, nil
}
