package query

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"handprint/attribution"
	"handprint/serve/catalog"
	"handprint/serve/history"
)

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
