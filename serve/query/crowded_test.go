package query

import (
	"errors"
	"fmt"
	"testing"

	"handprint/attribution"
	"handprint/serve/catalog"
)

// Whoever makes up names of primitives takes no list away but those of the names that come
// too late, and these say so.
func TestMadeUpPrimitivesTakeNoListAway(t *testing.T) {
	registry := attribution.DefaultRegistry()
	name := registry.Names()[0]
	c := catalog.New(registry.Names()...)
	c.Apply(func(w *catalog.Writer) {
		for n := range 1 << 16 {
			w.PutRow([]byte("i"), fmt.Appendf(nil, "odd.p%d", n), &catalog.Row{Value: []byte("1")})
		}
		w.PutRow([]byte("i"), []byte(name), &catalog.Row{Value: []byte("1")})
	})
	r := New(Config{Source: &fixed{catalog: c}, Registry: registry})
	for _, primitive := range []string{"", name, "odd.p0"} {
		if list, err := r.Identities(IdentityQuery{Primitive: primitive}); err != nil || list.Total != 1 {
			t.Errorf("identities of %q: %+v, %v", primitive, list, err)
		}
	}
	if list, err := r.Values(ValuesQuery{Primitive: name}); err != nil || list.Total != 1 {
		t.Errorf("values of %s: %+v, %v", name, list, err)
	}
	if _, err := r.Primitives(); err != nil {
		t.Error(err)
	}
	late := fmt.Sprintf("odd.p%d", 1<<16-1)
	_, identities := r.Identities(IdentityQuery{Primitive: late})
	_, values := r.Values(ValuesQuery{Primitive: late})
	_, value := r.Value(late, "1")
	for what, err := range map[string]error{"identities": identities, "values": values, "value": value} {
		var p *Problem
		if !errors.As(err, &p) || p.Kind != CatalogTooSmall {
			t.Errorf("%s of a primitive that is left out: %v", what, err)
		}
	}
}
