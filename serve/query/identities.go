package query

import (
	"errors"
	"strings"

	"handprint/engine"
	"handprint/schemas"
	"handprint/serve/catalog"
)

func limitOf(n int) int {
	if n <= 0 {
		return defaultLimit
	}
	return min(n, 200)
}

// Identities returns a page of the identities that match.
func (r *Reader) Identities(q IdentityQuery) (*IdentityList, error) {
	m, err := r.matching(q, limitOf(q.Limit))
	if err != nil {
		return nil, err
	}
	list := &IdentityList{Items: []ListedIdentity{}, Total: m.Total, TotalIs: "exact", AsOf: m.asOf, Next: m.next}
	if q.Counts {
		list.Facets = &Facets{statesOf(m.Facet)}
	}
	for i := range m.Identities {
		item, err := r.listed(m.catalog, &m.Identities[i])
		if err != nil {
			return nil, err
		}
		list.Items = append(list.Items, *item)
	}
	return list, nil
}

// Part is the ids of identities that match, for an export.
type Part struct {
	IDs   []string
	Total int    // that match
	Next  string // cursor of the next part; empty: this is the last
}

// Part returns the ids of the identities that match, at most limit, from the cursor of
// the query on.
func (r *Reader) Part(q IdentityQuery, limit int) (*Part, error) {
	m, err := r.matching(q, limit)
	if err != nil {
		return nil, err
	}
	part := &Part{Total: m.Total, Next: m.next}
	for i := range m.Identities {
		part.IDs = append(part.IDs, m.Identities[i].ID)
	}
	return part, nil
}

// matching is what the catalogue lists for a query.
type matching struct {
	catalog.Listing
	catalog *catalog.Catalog
	asOf    float64 // before it was asked
	next    string  // cursor; empty: there are no more
}

// matching asks the catalogue for at most limit identities, from the cursor of the
// query on.
func (r *Reader) matching(q IdentityQuery, limit int) (m matching, err error) {
	if m.catalog, err = r.listing(q.Primitive); err != nil {
		return m, err
	}
	f, err := q.filter()
	if err != nil {
		return m, err
	}
	sort, ok := sortsOf[q.Sort]
	if !ok {
		return m, problem(BadParameter, "sort: one of %s.", strings.Join(Sorts, ", "))
	}
	question := q.question()
	at, err := decodeCursor(question, q.Cursor)
	if err != nil {
		return m, err
	}
	var after *catalog.Key
	if at != nil {
		after = &catalog.Key{Value: at.number, ID: at.text}
	}
	m.asOf = r.AsOf()
	m.Listing = m.catalog.List(f, sort, after, limit)
	if m.More {
		m.next = encodeCursor(question, cursor{m.Last.Value, m.Last.ID})
	}
	return m, nil
}

func (r *Reader) listed(c *catalog.Catalog, i *catalog.Identity) (*ListedIdentity, error) {
	to := &ListedIdentity{
		Identity: i.ID, States: statesOf(i.States), Rows: i.Rows, Attackers: i.Attackers, First: []string{}, ChangeTS: finite(i.ChangeTS), SeenTS: finite(i.SeenTS),
		Suspected: []string{}, Suspicion: r.suspicion(c, i.Suspicion), Matched: []Match{}, Unsettled: i.Unsettled, MergedInto: optional(i.MergedInto),
	}
	if i.Suspicion != nil {
		to.Suspected = orEmpty(i.Suspicion.Primitives)
	}
	if i.Attackers == 1 {
		to.Address = addressOf(i.Address)
	}
	if i.Own != "" {
		to.First = append(to.First, i.Own)
	}
	if i.Attackers > len(to.First) && len(to.First) < maxFirst {
		s, err := r.snapshot(r.home(i.ID))
		if err != nil {
			return nil, err
		}
		defer s.Close()
		members, err := engine.Members(s, i.ID, "", maxFirst)
		if err != nil {
			return nil, fault(err)
		}
		for _, m := range members {
			if m.Attacker != i.Own && len(to.First) < maxFirst {
				to.First = append(to.First, m.Attacker)
			}
		}
		if i.Attackers == 1 && to.Address == nil && len(to.First) == 1 {
			if a, ok := c.Attacker(to.First[0]); ok {
				to.Address = addressOf(a.Address)
			}
		}
	}
	for _, m := range i.Matched {
		to.Matched = append(to.Matched, Match{m.Primitive, m.State.String(), jsonValue(m.Value), m.Confidence, m.Count, m.ChangeTS, m.Returns})
	}
	return to, nil
}

// IdentityOf returns the identity that is meant by an id of an identity, an id of an
// attacker or an address that one attacker alone has.
func (r *Reader) IdentityOf(name string) (string, error) {
	s, err := r.snapshot(r.home(name))
	if err != nil {
		return "", err
	}
	known, err := engine.IsKnown(s, name)
	s.Close()
	if err != nil {
		return "", fault(err)
	}
	if known {
		return name, nil
	}
	id, err := r.OwnerOf(name)
	if p := (*Problem)(nil); errors.As(err, &p) && p.Kind == UnknownAttacker {
		return "", problem(UnknownIdentity, "There is no identity with this id.")
	}
	return id, err
}

// AddressOf returns where the attacker of an identity of one attacker came from;
// nil: that is not known, or it has several.
func (r *Reader) AddressOf(id string) *Address {
	c, err := r.catalog()
	if err != nil {
		return nil
	}
	i, ok := c.Identity(id)
	if !ok || i.Attackers > 1 {
		return nil
	}
	return addressOf(i.Address)
}

// Identity returns everything of an identity. With follow one that is merged gives
// the one that it stands for.
func (r *Reader) Identity(id string, follow bool) (*Identity, error) {
	var followed []string
	for {
		v, s, err := r.view(id)
		if err != nil {
			return nil, err
		}
		if follow && v.MergedInto != "" && len(followed) < 100 {
			followed = append(followed, id)
			id = v.MergedInto
			continue
		}
		if followed != nil {
			followed = append(followed, id)
		}
		c, _ := r.Source.Catalog()
		to := &Identity{
			Identity: id, Followed: followed, MergedInto: optional(v.MergedInto), Unsettled: v.Unsettled, Attackers: []Member{}, Total: v.Attackers,
			Suspicion: r.suspicion(c, c.SuspicionOf(id)), Rows: r.rows(v.Rows), Position: s.position(), AsOf: s.asOf,
		}
		for _, m := range v.Members {
			to.Attackers = append(to.Attackers, r.member(c, m))
		}
		if to.Record, err = r.record(id); err != nil {
			return nil, err
		}
		return to, nil
	}
}

// record returns what the topic of identities says of one; nil: nothing, or the topic is
// not there or may not be read.
func (r *Reader) record(id string) (*IdentityRecord, error) {
	if r.Source.IdentitiesWithheld() {
		return nil, nil
	}
	text, err := r.History.PublishedOf(id)
	if err != nil {
		return nil, fault(err)
	}
	if text == nil {
		return nil, nil
	}
	m, err := schemas.DecodeMembershipJSON(text)
	if err != nil {
		return nil, fault(err)
	}
	to := &IdentityRecord{Attackers: orEmpty(m.Attackers), Total: m.Total, MergedInto: optional(m.MergedInto), Version: m.Version, EventTS: m.EventTS, UpdatedAt: m.UpdatedAt}
	if m.LastEvent != 0 {
		name := schemas.EventTypeName(m.LastEvent)
		to.LastEvent, to.Origin = &name, &m.Offset
	}
	return to, nil
}

func (r *Reader) member(c *catalog.Catalog, m engine.Member) Member {
	to := Member{Attacker: m.Attacker, Version: m.Version}
	if a, ok := c.Attacker(m.Attacker); ok {
		to.Address = addressOf(a.Address)
	}
	return to
}

// view reads an identity from one snapshot, which is closed already.
func (r *Reader) view(id string) (*engine.IdentityView, *snapshot, error) {
	s, err := r.snapshot(r.home(id))
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	v, err := engine.ViewSome(s, id, maxMembers)
	if err != nil {
		return nil, nil, fault(err)
	}
	if len(v.Members) == 0 && len(v.Rows) == 0 && len(v.History) == 0 && v.MergedInto == "" {
		known, err := engine.IsKnown(s, id)
		if err != nil {
			return nil, nil, fault(err)
		}
		if !known && !r.pointedAt(id) {
			return nil, nil, problem(UnknownIdentity, "There is no identity with this id.")
		}
	}
	return &v, s, nil
}

// pointedAt reports whether something is merged into an identity, or linked to it.
func (r *Reader) pointedAt(id string) bool {
	c, _ := r.Source.Catalog()
	return c.IsNamed(id)
}

// Position returns how far the copy of the partition of an identity is, for an
// entity tag, and false if it cannot be read.
func (r *Reader) Position(id string) (Position, bool) {
	s, err := r.snapshot(r.home(id))
	if err != nil {
		return Position{}, false
	}
	defer s.Close()
	return s.position(), true
}

// Attribution returns the rows of an identity.
func (r *Reader) Attribution(id string) (*Attribution, error) {
	v, s, err := r.view(id)
	if err != nil {
		return nil, err
	}
	return &Attribution{Identity: id, Rows: r.rows(v.Rows), AsOf: s.asOf}, nil
}

// IdentityHistory returns the identity events of an identity.
func (r *Reader) IdentityHistory(id string) (*IdentityHistory, error) {
	v, s, err := r.view(id)
	if err != nil {
		return nil, err
	}
	to := &IdentityHistory{Identity: id, MergedInto: optional(v.MergedInto), Items: []IdentityEvent{}, AsOf: s.asOf}
	for _, h := range v.History {
		to.Items = append(to.Items, IdentityEvent{
			Version: h.Version, Type: h.Type.String(), Offset: h.Offset, TS: float64(h.Time) / 1000, Winner: h.Winner, Loser: h.Loser,
			In: h.In, Out: h.Out, RowsIn: h.RowsIn, RowsOut: h.RowsOut,
		})
	}
	return to, nil
}
