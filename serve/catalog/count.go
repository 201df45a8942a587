package catalog

import (
	"cmp"
	"slices"
	"strings"

	"handprint/attribution"
)

// PrimitiveCount is how many rows a primitive has, by state.
type PrimitiveCount struct {
	Primitive string
	States    [5]int // in the order of attribution.State
	Values    int    // different ones
}

// Counts are totals over everything.
type Counts struct {
	Identities int // that lists show, merged ones included
	Merged     int
	Suspected  int
	Rows       int
	States     [5]int // rows
	Attackers  int
	Addresses  int
	Primitives []PrimitiveCount // by name
}

// Counts returns the totals.
func (c *Catalog) Counts() Counts {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := Counts{Identities: c.listed, Attackers: c.attackers.n}
	for p := range c.tables() {
		pc := PrimitiveCount{Primitive: p.name, States: p.states, Values: len(p.dict.index)}
		for s, rows := range p.states {
			n.States[s] += rows
			n.Rows += rows
		}
		n.Primitives = append(n.Primitives, pc)
	}
	slices.SortFunc(n.Primitives, func(a, b PrimitiveCount) int { return strings.Compare(a.Primitive, b.Primitive) })
	for _, s := range c.latest {
		if s.IsOpen() {
			n.Suspected++
		}
	}
	for i := range c.identities.n {
		if c.identities.at(uint32(i)).merged != 0 {
			n.Merged++
		}
	}
	for i := range c.attackers.n {
		if c.attackers.at(uint32(i)).profile != nil {
			n.Addresses++
		}
	}
	return n
}

// ValueCount is a value of a primitive with the rows that have it, by state.
type ValueCount struct {
	Value   attribution.Value // as the store has it
	States  [5]int
	Holders int // rows, and so identities, that have it
}

// ValueKey is the place of a value in a list.
type ValueKey struct {
	Holders int
	Value   string
}

// Values returns the values of a primitive whose text begins with prefix, by the
// number of holders, most first, or by text, from behind after unless it is nil;
// and how many there are.
func (c *Catalog) Values(name, prefix string, byText bool, after *ValueKey, limit int) (page []ValueCount, total int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	in, ok := c.primitiveIndex[name]
	if !ok {
		return nil, 0
	}
	d := &c.primitives[in-1].dict
	compare := func(a, b *ValueCount) int {
		if d := cmp.Compare(b.Holders, a.Holders); d != 0 && !byText {
			return d
		}
		return strings.Compare(string(a.Value), string(b.Value))
	}
	behind := &ValueCount{}
	if after != nil {
		behind = &ValueCount{Holders: after.Holders, Value: attribution.Value(after.Value)}
	}
	full := false
	for n := range d.values.n {
		v := d.values.at(uint32(n))
		holders := int(v.holders())
		if holders == 0 || prefix != "" && !v.hasTextPrefix(prefix) && !strings.HasPrefix(v.text, prefix) {
			continue
		}
		total++
		if full && !byText && holders < page[limit-1].Holders {
			continue
		}
		at := ValueCount{Value: attribution.Value(v.text), Holders: holders}
		if after != nil && compare(&at, behind) <= 0 {
			continue
		}
		for s, rows := range v.states {
			at.States[s] = int(rows)
		}
		if page = append(page, at); len(page) >= 4*limit+64 {
			slices.SortFunc(page, func(a, b ValueCount) int { return compare(&a, &b) })
			page, full = page[:limit], true
		}
	}
	slices.SortFunc(page, func(a, b ValueCount) int { return compare(&a, &b) })
	return page[:min(limit, len(page))], total
}

// Value returns the count of one value, with no holders if no row has it, and how
// many rows the primitive has altogether, by state.
func (c *Catalog) Value(name string, value attribution.Value) (v ValueCount, of [5]int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	v.Value = value
	in, ok := c.primitiveIndex[name]
	if !ok {
		return v, of
	}
	p := c.primitives[in-1]
	if n, ok := p.dict.index[string(value)]; ok {
		at := p.dict.values.at(n)
		for s, rows := range at.states {
			v.States[s] = int(rows)
		}
		v.Holders = int(at.holders())
	}
	return v, p.states
}

// Attacker is an attacker as searches show it.
type Attacker struct {
	ID       string
	Identity string // that it belongs to; empty: none, only an address is known
	Address  *Address
}

// Attackers returns attackers whose id or address begins with q, or whose address
// lies in the network q, by id, from behind after, at most limit; and how many
// there are.
func (c *Catalog) Attackers(q, after string, limit int) (page []Attacker, total int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var hits []uint32
	compare := c.attackerIDs.compare
	c.eachAttacker(q, func(n uint32, a *attacker) bool {
		total++
		if after != "" && c.attackerIDs.text(n) <= after {
			return true
		}
		if hits = append(hits, n); len(hits) >= 4*limit+64 {
			slices.SortFunc(hits, compare)
			hits = hits[:limit]
		}
		return true
	})
	slices.SortFunc(hits, compare)
	for _, n := range hits[:min(limit, len(hits))] {
		page = append(page, c.showAttacker(n))
	}
	return page, total
}

func (c *Catalog) showAttacker(n uint32) Attacker {
	a := c.attackers.at(n)
	to := Attacker{ID: c.attackerIDs.text(n), Address: a.address()}
	if i, ok := c.identityOf(a); ok {
		to.Identity = c.ids.text(i)
	}
	return to
}

// Attacker returns an attacker by its id, and false if it is not known.
func (c *Catalog) Attacker(id string) (Attacker, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n, ok := c.attackerIDs.find([]byte(id))
	if !ok {
		return Attacker{}, false
	}
	return c.showAttacker(n), true
}

// AttackersAt returns the attackers with exactly this address, however it is spelled, at
// most limit.
func (c *Catalog) AttackersAt(address string, limit int) (found []Attacker) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	ip, isAddress := parseAddress(address)
	for n := range c.attackers.n {
		if a := c.attackers.at(uint32(n)); a.profile != nil && (a.profile.text == address || isAddress && a.profile.ip == ip) && len(found) < limit {
			found = append(found, c.showAttacker(uint32(n)))
		}
	}
	return found
}

// IDsWithPrefix returns the identities whose id begins with prefix, by id, at most
// limit.
func (c *Catalog) IDsWithPrefix(prefix string, limit int) (found []string) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var hits []uint32
	begins := c.ids.prefix(prefix)
	for n := range c.identities.n {
		if begins.holds(uint32(n)) && c.identities.at(uint32(n)).isShown() {
			if hits = append(hits, uint32(n)); len(hits) >= 4*limit+64 {
				slices.SortFunc(hits, c.ids.compare)
				hits = hits[:limit]
			}
		}
	}
	slices.SortFunc(hits, c.ids.compare)
	for _, n := range hits[:min(limit, len(hits))] {
		found = append(found, c.ids.text(n))
	}
	return found
}
