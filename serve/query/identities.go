package query

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"handprint/attribution"
	"handprint/engine"
	"handprint/internal/canonical"
	"handprint/serve/catalog"
)

// IdentityQuery says which identities are asked for, by the names of the API's
// parameters. Zero values ask for nothing.
type IdentityQuery struct {
	State         []string // any of these
	Primitive     string
	Value         string // JSON; needs Primitive
	ValuePrefix   string // needs Primitive
	Domain        string
	MinConfidence *float64
	MaxConfidence *float64
	Returns       bool
	Suspected     *bool
	Unsettled     *bool
	MembersMin    int
	ChangedSince  *float64
	ChangedBefore *float64
	SeenSince     *float64
	Merged        string // exclude (the default), include, only
	Q             string
	Sort          string // one of Sorts; empty: the first
	Limit         int    // 1 to 200; 0: 50
	Cursor        string
	Counts        bool // facets too
}

// Sorts are the orders of identities, by the names of the API.
var Sorts = []string{"-last_change", "last_change", "-last_seen", "-unstable", "-members", "identity_uuid", "-suspected"}

var sortsOf = map[string]catalog.Sort{
	"": catalog.NewestChange, "-last_change": catalog.NewestChange, "last_change": catalog.OldestChange, "-last_seen": catalog.NewestSeen,
	"-unstable": catalog.MostUnstable, "-members": catalog.MostMembers, "identity_uuid": catalog.ByID, "-suspected": catalog.SuspectedFirst,
}

const (
	defaultLimit = 50
	maxFirst     = 3
	maxMembers   = 200
)

// question is what may not change from page to page.
func (q *IdentityQuery) question() string {
	c := *q
	c.Cursor, c.Limit, c.Counts = "", 0, false
	if c.Sort == "" {
		c.Sort = Sorts[0]
	}
	parts := []string{}
	for _, p := range []*float64{c.MinConfidence, c.MaxConfidence, c.ChangedSince, c.ChangedBefore, c.SeenSince} {
		if p != nil {
			parts = append(parts, fmt.Sprint(*p))
		} else {
			parts = append(parts, "-")
		}
	}
	for _, p := range []*bool{c.Suspected, c.Unsettled} {
		if p != nil {
			parts = append(parts, fmt.Sprint(*p))
		} else {
			parts = append(parts, "-")
		}
	}
	slices.Sort(c.State)
	return fmt.Sprintf("identities %q %q %q %q %q %v %d %q %q %q %q", c.State, c.Primitive, c.Value, c.ValuePrefix, c.Domain, c.Returns, c.MembersMin, c.Merged, c.Q, c.Sort, parts)
}

func (q *IdentityQuery) filter() (*catalog.Filter, error) {
	f := &catalog.Filter{
		Primitive: q.Primitive, ValuePrefix: q.ValuePrefix, Domain: q.Domain, MinConfidence: q.MinConfidence, MaxConfidence: q.MaxConfidence,
		Returns: q.Returns, Suspected: q.Suspected, Unsettled: q.Unsettled, MinMembers: q.MembersMin,
		ChangedSince: q.ChangedSince, ChangedBefore: q.ChangedBefore, SeenSince: q.SeenSince, Q: q.Q,
	}
	for _, name := range q.State {
		s, err := attribution.ParseState(name)
		if err != nil {
			return nil, problem(BadParameter, "state: there is no state %q.", name)
		}
		f.States = append(f.States, s)
	}
	switch q.Merged {
	case "", "exclude":
	case "include":
		f.Merged = catalog.IncludeMerged
	case "only":
		f.Merged = catalog.OnlyMerged
	default:
		return nil, problem(BadParameter, "merged: exclude, include or only.")
	}
	if q.Primitive == "" && (q.Value != "" || q.ValuePrefix != "") {
		return nil, problem(BadParameter, "value and value_prefix need a primitive.")
	}
	if q.Value != "" {
		v, err := StoredForm(q.Value)
		if err != nil {
			return nil, err
		}
		f.Value = v
	}
	if q.Q != "" && len(q.Q) < 2 {
		return nil, problem(BadParameter, "q: at least 2 characters.")
	}
	return f, nil
}

// StoredForm returns a value that is given as JSON as the store has it.
func StoredForm(text string) (attribution.Value, error) {
	v, rest, err := canonical.Append(nil, []byte(text))
	if err != nil || len(rest) > 0 {
		return nil, problem(BadParameter, "value: not JSON. A text stands in quotation marks.")
	}
	return engine.StoredValue(v), nil
}

func limitOf(n int) int {
	if n <= 0 {
		return defaultLimit
	}
	return min(n, 200)
}

// Identities returns a page of the identities that match.
func (r *Reader) Identities(q IdentityQuery) (*IdentityList, error) {
	c, err := r.catalog()
	if err != nil {
		return nil, err
	}
	f, err := q.filter()
	if err != nil {
		return nil, err
	}
	sort, ok := sortsOf[q.Sort]
	if !ok {
		return nil, problem(BadParameter, "sort: one of %s.", strings.Join(Sorts, ", "))
	}
	question := q.question()
	at, err := decodeCursor(question, q.Cursor)
	if err != nil {
		return nil, err
	}
	var after *catalog.Key
	if at != nil {
		after = &catalog.Key{Value: at.number, ID: at.text}
	}
	asOf := r.AsOf()
	l := c.List(f, sort, after, limitOf(q.Limit))
	list := &IdentityList{Items: []ListedIdentity{}, Total: l.Total, TotalIs: "exact", AsOf: asOf}
	if q.Counts {
		list.Facets = &Facets{statesOf(l.Facet)}
	}
	for i := range l.Identities {
		item, err := r.listed(c, &l.Identities[i])
		if err != nil {
			return nil, err
		}
		list.Items = append(list.Items, *item)
	}
	if l.More {
		list.Next = encodeCursor(question, cursor{l.Last.Value, l.Last.ID})
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
	c, err := r.catalog()
	if err != nil {
		return nil, err
	}
	f, err := q.filter()
	if err != nil {
		return nil, err
	}
	sort, ok := sortsOf[q.Sort]
	if !ok {
		return nil, problem(BadParameter, "sort: one of %s.", strings.Join(Sorts, ", "))
	}
	question := q.question()
	at, err := decodeCursor(question, q.Cursor)
	if err != nil {
		return nil, err
	}
	var after *catalog.Key
	if at != nil {
		after = &catalog.Key{Value: at.number, ID: at.text}
	}
	l := c.List(f, sort, after, limit)
	part := &Part{Total: l.Total}
	for i := range l.Identities {
		part.IDs = append(part.IDs, l.Identities[i].ID)
	}
	if l.More {
		part.Next = encodeCursor(question, cursor{l.Last.Value, l.Last.ID})
	}
	return part, nil
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

// OwnerOf returns the identity of an attacker, by its id or by an address that one
// attacker alone has.
func (r *Reader) OwnerOf(name string) (string, error) {
	s, err := r.snapshot(attribution.AttackerPartition(name, r.Partitions))
	if err != nil {
		return "", err
	}
	id, known, err := engine.Owner(s, name)
	s.Close()
	if err != nil {
		return "", fault(err)
	}
	if known {
		return id, nil
	}
	c, _ := r.Source.Catalog()
	owners := map[string]bool{}
	for _, a := range c.AttackersAt(name, maxMembers) {
		if a.Identity != "" {
			owners[a.Identity] = true
			id = a.Identity
		}
	}
	switch len(owners) {
	case 1:
		return id, nil
	case 0:
		return "", problem(UnknownAttacker, "There is no attacker with this id or address.")
	}
	return "", problem(BadParameter, "This address belongs to attackers of %d identities: give an id.", len(owners))
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
		return to, nil
	}
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

// Members returns a page of the attackers of an identity: a stub's own, then the
// attackers that events brought, in the order of the store.
func (r *Reader) Members(id, after string, limit int) (*MemberList, error) {
	question := "members " + id
	at, err := decodeCursor(question, after)
	if err != nil {
		return nil, err
	}
	v, _, err := r.view(id)
	if err != nil {
		return nil, err
	}
	s, err := r.snapshot(r.home(id))
	if err != nil {
		return nil, err
	}
	defer s.Close()
	// One more than the page has says whether there is another page.
	limit = limitOf(limit)
	var page []engine.Member
	from := ""
	if at == nil {
		for _, m := range v.Members[:min(len(v.Members), 1)] {
			if m.Version == 0 { // a stub's own has no record of a member
				page = append(page, m)
			}
		}
	} else {
		from = at.text
	}
	brought, err := engine.Members(s, id, from, limit+1-len(page))
	if err != nil {
		return nil, fault(err)
	}
	page = append(page, brought...)
	c, _ := r.Source.Catalog()
	list := &MemberList{Items: []Member{}, Total: v.Attackers, AsOf: s.asOf}
	for _, m := range page[:min(len(page), limit)] {
		list.Items = append(list.Items, r.member(c, m))
	}
	if len(page) > limit {
		last := page[limit-1]
		text := last.Attacker
		if last.Version == 0 {
			text = "" // nothing that events brought was shown
		}
		list.Next = encodeCursor(question, cursor{text: text})
	}
	return list, nil
}

// Attribution returns the rows of an identity.
func (r *Reader) Attribution(id string) (*Attribution, error) {
	v, s, err := r.view(id)
	if err != nil {
		return nil, err
	}
	return &Attribution{Identity: id, Rows: r.rows(v.Rows), AsOf: s.asOf}, nil
}

// AttackerAttribution returns the rows of the identity that an attacker belongs to.
func (r *Reader) AttackerAttribution(name string) (*Attribution, error) {
	id, err := r.OwnerOf(name)
	if err != nil {
		return nil, err
	}
	a, err := r.Attribution(id)
	if err != nil {
		return nil, err
	}
	a.Attacker = name
	return a, nil
}

// Attacker returns an attacker by its id, or by an address that one attacker alone
// has.
func (r *Reader) Attacker(name string) (*Attacker, error) {
	c, _ := r.Source.Catalog()
	if a, ok := c.Attacker(name); ok {
		return &Attacker{a.ID, a.Identity, addressOf(a.Address)}, nil
	}
	if at := c.AttackersAt(name, 2); len(at) == 1 {
		return &Attacker{at[0].ID, at[0].Identity, addressOf(at[0].Address)}, nil
	}
	id, err := r.OwnerOf(name)
	if err != nil {
		return nil, err
	}
	return &Attacker{Attacker: name, Identity: id}, nil
}

// Attackers returns attackers whose id or address begins with q, or whose address
// lies in the network q; an empty q gives all.
func (r *Reader) Attackers(q, after string, limit int) (*AttackerList, error) {
	c, err := r.catalog()
	if err != nil {
		return nil, err
	}
	question := "attackers " + q
	at, err := decodeCursor(question, after)
	if err != nil {
		return nil, err
	}
	from := ""
	if at != nil {
		from = at.text
	}
	list := &AttackerList{Items: []Attacker{}, AsOf: r.AsOf()}
	page, total := c.Attackers(q, from, limitOf(limit)+1)
	list.Total = total
	for i, a := range page {
		if i == limitOf(limit) {
			list.Next = encodeCursor(question, cursor{text: page[i-1].ID})
			break
		}
		list.Items = append(list.Items, Attacker{a.ID, a.Identity, addressOf(a.Address)})
	}
	return list, nil
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
			Version: h.Version, Type: eventName(h.Type), Offset: h.Offset, TS: float64(h.Time) / 1000, Winner: h.Winner, Loser: h.Loser,
			In: h.In, Out: h.Out, RowsIn: h.RowsIn, RowsOut: h.RowsOut,
		})
	}
	return to, nil
}

func eventName(t attribution.EventType) string {
	switch t {
	case attribution.Formed:
		return "formed"
	case attribution.Linked:
		return "linked"
	case attribution.Merged:
		return "merged"
	case attribution.Unmerged:
		return "unmerged"
	}
	return "claimed"
}
