package query

import (
	"encoding/json"
	"slices"
	"strings"

	"handprint/attribution"
	"handprint/engine"
	"handprint/serve/catalog"
)

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
	c, err := r.listing(q.Primitive)
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
	c, err := r.listing(primitive)
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
