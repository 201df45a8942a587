package catalog

import (
	"math"
	"net/netip"
	"strings"

	"handprint/attribution"
)

// Merged says what a list has of identities that are merged into others.
type Merged uint8

// What a list has of merged identities.
const (
	ExcludeMerged Merged = iota
	IncludeMerged
	OnlyMerged
)

// Filter says which identities are asked for. Conditions on rows (States,
// Primitive, Value, ValuePrefix, Domain, the confidences, Returns) have to hold
// for one and the same row.
type Filter struct {
	States        []attribution.State // any of these; none: all
	Primitive     string
	Value         attribution.Value // as the store has it; nil: any. Needs Primitive
	ValuePrefix   string            // of a JSON string's text; empty: any. Needs Primitive
	Domain        string            // first token of the primitive
	MinConfidence *float64
	MaxConfidence *float64
	Returns       bool // only rows with a value that came back

	Suspected     *bool
	Unsettled     *bool
	MinMembers    int
	ChangedSince  *float64 // Unix seconds; of the latest change of the identity's rows
	ChangedBefore *float64
	SeenSince     *float64
	Merged        Merged
	// Q is the beginning of an identity's or an attacker's id or of an address,
	// or a network in CIDR notation; empty: all.
	Q string
}

// query is a filter made ready. The read lock is held from then on.
type query struct {
	*Filter
	c         *Catalog
	mask      uint8 // of States
	primitive *primitive
	value     uint32
	none      bool // nothing can match
	rowless   bool // nothing is asked of rows but their state
	found     map[uint32]struct{}
	prefix    prefixOf // of Q
}

func (c *Catalog) compile(f *Filter) *query {
	q := &query{Filter: f, c: c, rowless: f.Primitive == "" && f.Domain == "" && f.MinConfidence == nil && f.MaxConfidence == nil && !f.Returns}
	for _, s := range f.States {
		q.mask |= 1 << s
	}
	if f.Primitive != "" {
		in, ok := c.primitiveIndex[f.Primitive]
		if !ok {
			q.none = true
			return q
		}
		q.primitive = c.primitives[in-1]
		if q.number(); f.Value != nil && q.value == noValue {
			q.none = true
		}
	}
	if f.Q != "" {
		q.found, q.prefix = make(map[uint32]struct{}), c.ids.prefix(f.Q)
		c.eachAttacker(f.Q, func(_ uint32, a *attacker) bool {
			if n, ok := c.identityOf(a); ok {
				q.found[n] = struct{}{}
			}
			return true
		})
	}
	return q
}

// takesRow reports whether all conditions but the state hold for a row.
func (q *query) takesRow(p *primitive, r *row) bool {
	switch {
	case q.primitive != nil && p != q.primitive,
		q.Value != nil && r.value != q.value,
		q.ValuePrefix != "" && !p.dict.values.at(r.value).hasTextPrefix(q.ValuePrefix),
		q.Domain != "" && p.domain != q.Domain,
		q.MinConfidence != nil && r.confidence < *q.MinConfidence,
		q.MaxConfidence != nil && r.confidence > *q.MaxConfidence,
		q.Returns && r.flags&rowReturns == 0:
		return false
	}
	return true
}

// takesIdentity reports whether what is asked of the identity itself holds.
func (q *query) takesIdentity(n uint32, i *identity) bool {
	switch {
	case !i.isShown(),
		q.Merged == ExcludeMerged && i.merged != 0,
		q.Merged == OnlyMerged && i.merged == 0,
		q.Suspected != nil && *q.Suspected != (q.c.openSuspicion(n) != nil),
		q.Unsettled != nil && *q.Unsettled != i.unsettled,
		i.attackerCount() < q.MinMembers,
		q.ChangedSince != nil && i.change < *q.ChangedSince,
		q.ChangedBefore != nil && i.change >= *q.ChangedBefore,
		q.SeenSince != nil && i.seen < *q.SeenSince:
		return false
	case q.Q != "":
		if _, ok := q.found[n]; !ok {
			return q.prefix.holds(n)
		}
	}
	return true
}

// states returns the states of an identity's rows for which all other conditions
// on rows hold, a bit each.
func (q *query) states(i *identity) (mask uint8) {
	if q.rowless {
		for s, n := range i.states {
			if n > 0 {
				mask |= 1 << s
			}
		}
		return mask
	}
	q.c.eachRow(i, func(p *primitive, r *row) bool {
		if q.takesRow(p, r) {
			mask |= 1 << r.state
		}
		return true
	})
	return mask
}

// scanPlaces is how many places a scan looks at under one read lock.
const scanPlaces = 250_000

// scan yields the identities for which all but the state holds, with the states of
// their rows. It gives the read lock back every now and then.
func (q *query) scan(yield func(n uint32, i *identity, mask uint8)) {
	if q.none {
		return
	}
	if q.primitive != nil {
		for at := 0; at < q.primitive.rows.n; at++ {
			if at%scanPlaces == scanPlaces-1 {
				q.breathe()
			}
			r := q.primitive.rows.at(uint32(at))
			if r.flags&rowUsed == 0 || !q.takesRow(q.primitive, r) {
				continue
			}
			if i := q.c.identities.at(r.identity); q.takesIdentity(r.identity, i) {
				yield(r.identity, i, 1<<r.state)
			}
		}
		return
	}
	for n := 0; n < q.c.identities.n; n++ {
		if n%scanPlaces == scanPlaces-1 {
			q.breathe()
		}
		i := q.c.identities.at(uint32(n))
		if !q.takesIdentity(uint32(n), i) {
			continue
		}
		if mask := q.states(i); mask != 0 || q.rowless {
			yield(uint32(n), i, mask)
		}
	}
}

// breathe lets writers have their turn in the middle of a scan.
func (c *Catalog) breathe() {
	c.mu.RUnlock()
	c.mu.RLock()
}

// breathe lets writers have their turn. They may give the number of the value that is asked
// for to another value, once no row has it, and the value a new number.
func (q *query) breathe() {
	q.c.breathe()
	q.number()
}

// noValue is the number of no value.
const noValue = math.MaxUint32

// number finds the number of the value that is asked for.
func (q *query) number() {
	if q.Value == nil || q.primitive == nil {
		return
	}
	var ok bool
	if q.value, ok = q.primitive.dict.index[string(q.Value)]; !ok {
		q.value = noValue
	}
}

// eachAttacker yields the attackers whose id or address begins with q, whose address is
// q in another spelling, or lies in the network q.
func (c *Catalog) eachAttacker(q string, yield func(n uint32, a *attacker) bool) {
	network, isNetwork := ParseNetwork(q)
	ip, isAddress := parseAddress(q)
	prefix := c.attackerIDs.prefix(q)
	for n := 0; n < c.attackers.n; n++ {
		a := c.attackers.at(uint32(n))
		switch {
		case isNetwork:
			if a.profile == nil || !network.Contains(a.profile.ip) {
				continue
			}
		case a.profile != nil && (strings.HasPrefix(a.profile.text, q) || isAddress && a.profile.ip == ip), prefix.holds(uint32(n)):
		default:
			continue
		}
		if !yield(uint32(n), a) {
			return
		}
	}
}

// ParseNetwork reads a network in CIDR notation. One of IPv4 addresses that are written
// as IPv6 is one of IPv4.
func ParseNetwork(q string) (netip.Prefix, bool) {
	if !strings.Contains(q, "/") {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(q)
	if err == nil && p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), err == nil
}

// parseAddress reads an address as the catalogue has it.
func parseAddress(q string) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(q)
	return ip.Unmap().WithZone(""), err == nil
}
