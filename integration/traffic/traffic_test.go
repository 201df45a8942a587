package traffic

import (
	"bytes"
	"testing"

	"handprint/attribution"
	"handprint/schemas"
	"handprint/topology"
)

// The same seed makes the same input, and it has some of everything.
func TestTraffic(t *testing.T) {
	names := topology.DefaultNames("", "app")
	a, b := New(Config{Seed: 7}, names), New(Config{Seed: 7}, names)
	other := New(Config{Seed: 8}, names)
	differs := false
	kinds := make(map[attribution.Kind]int)
	var observations, bad, events int64
	var decoder schemas.ObservationDecoder
	for range 5000 {
		r, same := a.Next(), b.Next()
		if r.Topic != same.Topic || !bytes.Equal(r.Key, same.Key) || !bytes.Equal(r.Value, same.Value) {
			t.Fatalf("one seed, two inputs: %s %s", r.Value, same.Value)
		}
		differs = differs || !bytes.Equal(r.Value, other.Next().Value)
		if r.Topic == names.IdentityEvents {
			if _, err := schemas.DecodeIdentityEvent("", r.Value); err != nil {
				bad++
			} else {
				events++
			}
			continue
		}
		var o attribution.Observation
		if err := decoder.Decode(r.Value, &o); err != nil {
			bad++
			continue
		}
		kind, fit := attribution.DefaultRegistry().Check(o.Primitive, o.Value)
		if fit == attribution.Misfit {
			t.Errorf("%s does not fit its primitive", r.Value)
		}
		kinds[kind]++
		observations++
	}
	if !differs {
		t.Error("two seeds, one input")
	}
	c := a.Counts()
	if c.Observations != observations || c.Bad != bad || c.Events != events || c.Records() != 5000 {
		t.Errorf("counts %+v; made %d observations, %d bad records, %d events", c, observations, bad, events)
	}
	if c.Again == 0 || c.Misrouted == 0 || bad == 0 || events == 0 {
		t.Errorf("something is missing: %+v", c)
	}
	for _, k := range []attribution.Kind{attribution.Categorical, attribution.Numeric, attribution.Hash} {
		if kinds[k] == 0 {
			t.Errorf("no observation of kind %v", k)
		}
	}
}
