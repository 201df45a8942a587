package catalog

import (
	"cmp"
	"slices"
	"strings"

	"handprint/attribution"
)

// Sort is an order of identities. The id breaks ties, in ascending order.
type Sort uint8

// The orders.
const (
	NewestChange   Sort = iota // -last_change
	OldestChange               // last_change
	NewestSeen                 // -last_seen
	MostUnstable               // -unstable: rows that are not stable
	MostMembers                // -members
	ByID                       // identity_uuid
	SuspectedFirst             // -suspected: then the newest change
)

// Key is the place of an identity in an order: what it is sorted by, smaller
// first, and its id.
type Key struct {
	Value float64
	ID    string
}

// Identity is an identity as lists show it.
type Identity struct {
	ID         string
	States     [5]int // rows by state, in the order of attribution.State
	Rows       int
	Attackers  int
	ChangeTS   float64 // latest change of a row, Unix seconds; 0: no row
	SeenTS     float64 // latest observation, Unix seconds; 0: no row
	MergedInto string  // empty: it stands for itself
	Unsettled  bool
	Suspicion  *Suspicion // that holds now; nil: none. Not to be changed
	Own        string     // the stub's own attacker; empty: none
	Address    *Address   // of Own; nil: not known
	Matched    []Match    // rows that the filter's conditions on rows hold for, if it has any
	Partition  int32      // of the changelog record that changed it last
	Offset     int64
}

// Match is a row for which a filter's conditions hold.
type Match struct {
	Primitive string
	Row
}

// Address is what is known of where an attacker came from.
type Address struct {
	Address string
	Opaque  bool
	Sensors []string
	FirstTS float64 // Unix seconds
	LastTS  float64 // Unix seconds
}

// maxMatches bounds the rows that stand beside an identity in a list.
const maxMatches = 20

// Listing is one page of a list.
type Listing struct {
	Identities []Identity
	Total      int    // of all pages
	Facet      [5]int // identities that match, by the state of a row; conditions on the state lifted
	More       bool
	Last       Key // of the last identity in the page
}

// List returns the identities that match, from behind after unless it is nil, at
// most limit.
func (c *Catalog) List(f *Filter, sort Sort, after *Key, limit int) (l Listing) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	q := c.compile(f)
	type hit struct {
		key float64
		n   uint32
	}
	compare := func(a, b hit) int {
		if d := cmp.Compare(a.key, b.key); d != 0 {
			return d
		}
		return c.ids.compare(a.n, b.n)
	}
	hits := make([]hit, 0, 2*limit+2)
	full := false
	q.scan(func(n uint32, i *identity, mask uint8) {
		for s := range states {
			if mask>>s&1 == 1 {
				l.Facet[s]++
			}
		}
		if q.mask != 0 && mask&q.mask == 0 {
			return
		}
		l.Total++
		h := hit{c.key(n, i, sort), n}
		if after != nil {
			if d := cmp.Compare(h.key, after.Value); d < 0 || d == 0 && strings.Compare(c.ids.text(n), after.ID) <= 0 {
				return
			}
		}
		if full && compare(h, hits[limit]) >= 0 {
			return
		}
		if hits = append(hits, h); len(hits) == cap(hits) {
			slices.SortFunc(hits, compare)
			hits, full = hits[:limit+1], true
		}
	})
	slices.SortFunc(hits, compare)
	l.More = len(hits) > limit
	hits = hits[:min(limit, len(hits))]
	for _, h := range hits {
		l.Identities = append(l.Identities, c.show(h.n, q))
		l.Last = Key{h.key, c.ids.text(h.n)}
	}
	return l
}

// key returns what an identity is sorted by, smaller first.
func (c *Catalog) key(n uint32, i *identity, sort Sort) float64 {
	switch sort {
	case NewestChange:
		return -i.change
	case OldestChange:
		return i.change
	case NewestSeen:
		return -i.seen
	case MostUnstable:
		unstable := 0
		for s, rows := range i.states {
			if attribution.State(s) != attribution.Stable {
				unstable += int(rows)
			}
		}
		return -float64(unstable)
	case MostMembers:
		return -float64(i.attackerCount())
	case SuspectedFirst:
		if c.openSuspicion(n) != nil {
			return -i.change - 1e12 // further back than any time
		}
		return -i.change
	}
	return 0
}

// show makes an identity of the tables. q may be nil.
func (c *Catalog) show(n uint32, q *query) Identity {
	i := c.identities.at(n)
	to := Identity{
		ID: c.ids.text(n), Attackers: i.attackerCount(), Unsettled: i.unsettled,
		Suspicion: c.openSuspicion(n), Partition: i.partition, Offset: i.offset,
	}
	for s, rows := range i.states {
		to.States[s] = int(rows)
		to.Rows += int(rows)
	}
	if to.Rows > 0 {
		to.ChangeTS, to.SeenTS = i.change, i.seen
	}
	if i.merged != 0 {
		to.MergedInto = c.ids.text(i.merged - 1)
	}
	if i.own != 0 {
		to.Own = c.attackerIDs.text(i.own - 1)
		to.Address = c.attackers.at(i.own - 1).address()
	}
	if q != nil && (!q.rowless || q.mask != 0) {
		c.eachRow(i, func(p *primitive, r *row) bool {
			if (q.mask == 0 || q.mask>>r.state&1 == 1) && q.takesRow(p, r) {
				to.Matched = append(to.Matched, Match{p.name, r.row(p)})
			}
			return true
		})
		slices.SortFunc(to.Matched, func(a, b Match) int { return strings.Compare(a.Primitive, b.Primitive) })
		to.Matched = to.Matched[:min(len(to.Matched), maxMatches)]
	}
	return to
}

func (r *row) row(p *primitive) Row {
	return Row{
		State: r.state, Returns: r.flags&rowReturns != 0, Value: attribution.Value(p.dict.values.at(r.value).text),
		Confidence: r.confidence, Count: int64(r.count), ChangeTS: r.change, SeenTS: r.seen,
	}
}

func (a *attacker) address() *Address {
	if a.profile == nil {
		return nil
	}
	return &Address{Address: a.profile.text, Opaque: !a.profile.ip.IsValid(), Sensors: a.profile.sensors, FirstTS: a.profile.first, LastTS: a.profile.last}
}

// Identity returns an identity as lists show it, and false if it is not known.
func (c *Catalog) Identity(id string) (Identity, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n, ok := c.ids.find([]byte(id))
	if !ok || !c.identities.at(n).isShown() {
		return Identity{}, false
	}
	return c.show(n, nil), true
}
