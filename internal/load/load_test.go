package load_test

import (
	"bytes"
	"fmt"
	"testing"

	"handprint/attribution"
	"handprint/internal/load"
	"handprint/schemas"
)

func config() load.Config {
	return load.Config{Seed: 7, Attackers: 500, Partitions: 8, Change: 0.1, Linked: 0.1, Misrouted: 0.05}
}

func TestRecordsAreGoodAndOfAllPrimitives(t *testing.T) {
	g, err := load.New(config())
	if err != nil {
		t.Fatal(err)
	}
	var d schemas.ObservationDecoder
	registry := attribution.DefaultRegistry()
	primitives, attackers, misrouted := map[string]int{}, map[string]int{}, 0
	const n = 50_000
	for i := range n {
		r := g.Next()
		var o attribution.Observation
		if err := d.Decode(r.Value, &o); err != nil {
			t.Fatalf("record %d: %v: %s", i, err, r.Value)
		}
		if _, fit := registry.Check(o.Primitive, o.Value); fit != attribution.Fits {
			t.Fatalf("record %d: value %s does not fit %s", i, o.Value, o.Primitive)
		}
		if o.TS != load.Start+float64(i)*load.Step || !bytes.Equal(o.Attacker, r.Key) {
			t.Fatalf("record %d: ts %v, key %s: %s", i, o.TS, r.Key, r.Value)
		}
		primitives[string(o.Primitive)]++
		attackers[string(o.Attacker)]++
		if attribution.AttackerPartition(r.Key, 8) != r.Partition {
			misrouted++
		}
	}
	if len(primitives) != len(registry.Names()) {
		t.Errorf("%d of %d primitives", len(primitives), len(registry.Names()))
	}
	if len(attackers) < 400 {
		t.Errorf("%d of 500 attackers", len(attackers))
	}
	if misrouted < n*4/100 || misrouted > n*6/100 {
		t.Errorf("%d of %d misrouted, want about 5 %%", misrouted, n)
	}
}

func TestTheSameSeedGivesTheSameRecords(t *testing.T) {
	a, err := load.New(config())
	if err != nil {
		t.Fatal(err)
	}
	b, err := load.New(config())
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		x, y := a.Next(), b.Next()
		if !bytes.Equal(x.Key, y.Key) || !bytes.Equal(x.Value, y.Value) || x.Partition != y.Partition {
			t.Fatalf("%s\n%s", x.Value, y.Value)
		}
	}
}

func TestEventsLinkTheirShare(t *testing.T) {
	g, err := load.New(config())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for key, value := range g.Events {
		e, err := schemas.DecodeIdentityEvent("", value)
		if err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		if e.Identity != string(key) {
			t.Fatalf("key %s of %s", key, value)
		}
		for _, a := range e.Attackers {
			seen[a] = true
		}
	}
	if len(seen) != 50 {
		t.Errorf("%d attackers linked, want 50", len(seen))
	}
}

func TestAttackersShowTheirOwnPrimitives(t *testing.T) {
	c := config()
	c.Breadth = 5
	g, err := load.New(c)
	if err != nil {
		t.Fatal(err)
	}
	var d schemas.ObservationDecoder
	shown := map[string]map[string]bool{}
	for range 50_000 {
		var o attribution.Observation
		if err := d.Decode(g.Next().Value, &o); err != nil {
			t.Fatal(err)
		}
		if shown[string(o.Attacker)] == nil {
			shown[string(o.Attacker)] = map[string]bool{}
		}
		shown[string(o.Attacker)][string(o.Primitive)] = true
	}
	sets := map[string]bool{}
	for attacker, primitives := range shown {
		if len(primitives) > 5 {
			t.Errorf("%s shows %d primitives, want at most 5", attacker, len(primitives))
		}
		if len(primitives) == 5 {
			sets[fmt.Sprint(primitives)] = true
		}
	}
	if len(sets) < 100 {
		t.Errorf("%d different sets of primitives among 500 attackers", len(sets))
	}
}

func TestEvenAttackersTakeTurns(t *testing.T) {
	for _, attackers := range []int{1, 2, 3, 500, 1000} {
		c := config()
		c.Even, c.Attackers, c.Breadth = true, attackers, 2
		g, err := load.New(c)
		if err != nil {
			t.Fatal(err)
		}
		for cycle := range 3 {
			seen := map[string]bool{}
			var last string
			for sessions := 0; sessions < attackers; {
				r := g.Next()
				if key := string(r.Key); key != last || attackers == 1 {
					if attackers > 1 && seen[key] {
						t.Fatalf("cycle %d of %d attackers: %s again after %d", cycle, attackers, key, len(seen))
					}
					seen[key], last = true, key
					sessions++
				}
			}
		}
	}
}

func TestNewRefusesWhatMakesNoSense(t *testing.T) {
	for _, change := range []func(*load.Config){
		func(c *load.Config) { c.Attackers = 0 },
		func(c *load.Config) { c.Partitions = 0 },
		func(c *load.Config) { c.Skew = 1 },
		func(c *load.Config) { c.Breadth = -1 },
		func(c *load.Config) { c.Linked = 1.5 },
	} {
		c := config()
		change(&c)
		if _, err := load.New(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}
