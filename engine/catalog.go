package engine

import (
	"bytes"

	"handprint/attribution"
)

// catalog caches the registry by primitive, and the primitive that was asked
// for last: an observation asks several times for the same one.
type catalog struct {
	byName map[string]listing
	name   []byte // that was asked for last; nil: none
	last   listing
}

// listing is what the registry says of a primitive.
type listing struct {
	kind      attribution.Kind
	returning bool
	place     int // among the registered names, if it is below placed, else -1
}

func newCatalog(r *attribution.Registry) catalog {
	c := catalog{byName: make(map[string]listing)}
	for i, name := range r.Names() {
		p := r.Lookup([]byte(name))
		at := listing{kind: p.Kind, returning: p.Returning, place: i}
		if i >= placed {
			at.place = -1
		}
		c.byName[name] = at
	}
	return c
}

func (c *catalog) of(primitive []byte) listing {
	if c.name != nil && bytes.Equal(c.name, primitive) {
		return c.last
	}
	at, ok := c.byName[string(primitive)]
	if !ok {
		at = listing{kind: attribution.Unregistered, place: -1}
	}
	c.name, c.last = append(c.name[:0], primitive...), at
	return at
}
