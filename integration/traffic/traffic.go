// Package traffic makes the input of fault tests, from a seed: observations
// that come in order and out of order, twice, to the wrong partition and broken,
// and identity events that form, link, merge and unmerge, good and bad. What
// must come of it is package audit's to say.
package traffic

import (
	"fmt"
	"math/rand/v2"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/internal/canonical"
	"handprint/schemas"
	"handprint/topology"
)

// Config says what the input is like.
type Config struct {
	Seed uint64
	// Attackers is how many there are; default 200. A quarter of them are what
	// identity events are about.
	Attackers int
	// Primitives is how many of the registry are observed; default 12.
	Primitives int
}

// Source makes records. It is for one goroutine.
type Source struct {
	cfg        Config
	names      topology.Names
	rnd        *rand.Rand
	primitives []*attribution.Primitive
	sessions   int
	sent       []*kgo.Record // some of the records made, to be sent again
	counts     Counts
}

// Counts is what has been made.
type Counts struct {
	Observations int64 // good ones, repeats and misrouted ones included
	Again        int64 // the same record once more
	Misrouted    int64
	Bad          int64 // observations and identity events that cannot be used
	Events       int64 // identity events, good or refused for what they say
}

// Records is how many records have been made.
func (c Counts) Records() int64 { return c.Observations + c.Bad + c.Events }

// New returns the source of an application's input.
func New(cfg Config, names topology.Names) *Source {
	if cfg.Attackers == 0 {
		cfg.Attackers = 200
	}
	if cfg.Primitives == 0 {
		cfg.Primitives = 12
	}
	s := &Source{cfg: cfg, names: names, rnd: rand.New(rand.NewPCG(cfg.Seed, 0x74726166666963))}
	registry := attribution.DefaultRegistry()
	all := registry.Names()
	// Spread over the registry, so that there are some of each kind.
	for i := range min(cfg.Primitives, len(all)) {
		s.primitives = append(s.primitives, registry.Lookup([]byte(all[i*len(all)/min(cfg.Primitives, len(all))])))
	}
	return s
}

// Counts returns what has been made so far.
func (s *Source) Counts() Counts { return s.counts }

// Next returns the next record.
func (s *Source) Next() *kgo.Record {
	switch n := s.rnd.IntN(1000); {
	case n < 8:
		s.counts.Events++
		return s.event()
	case n < 12:
		s.counts.Bad++
		return s.bad()
	case n < 40 && len(s.sent) > 0:
		s.counts.Again++
		s.counts.Observations++
		again := s.sent[s.rnd.IntN(len(s.sent))]
		return &kgo.Record{Topic: again.Topic, Key: again.Key, Value: again.Value}
	default:
		s.counts.Observations++
		return s.observation()
	}
}

func (s *Source) attacker(n int) string {
	return fmt.Sprintf("a%07x-0000-4000-8000-%012x", n, s.cfg.Seed&0xffffffffffff)
}

// known is how many records are kept to be sent again.
const known = 500

func (s *Source) observation() *kgo.Record {
	s.sessions++
	// A few attackers do much, most do little.
	n := min(s.rnd.IntN(s.cfg.Attackers), s.rnd.IntN(s.cfg.Attackers))
	attacker := s.attacker(n)
	p := s.primitives[s.rnd.IntN(len(s.primitives))]
	evidence, ts := s.sessions, 1_700_000_000+10*s.sessions
	switch s.rnd.IntN(12) {
	case 0: // out of order
		ts -= s.rnd.IntN(3000)
	case 1: // a session seen before: another value takes the place of the first
		evidence = 1 + s.rnd.IntN(s.sessions)
	}
	r := &kgo.Record{Topic: s.names.Observations, Key: []byte(attacker), Value: fmt.Appendf(nil,
		`{"id":"o-%d","attacker_uuid":%q,"primitive":%q,"value":%s,"confidence":0.%d,"source":"sensor-%d","evidence_ref":"session/%d","envelope_v":1,"ts":%d}`,
		s.sessions, attacker, p.Name, s.value(p), 1+s.rnd.IntN(9), s.rnd.IntN(4), evidence, ts)}
	// Few attackers have sensors that partition otherwise: which entries of a
	// long series are kept depends then on how tasks take turns.
	if n%8 == 3 && s.rnd.IntN(6) == 0 {
		r.Key = fmt.Appendf(nil, "elsewhere-%d", s.rnd.IntN(100))
		s.counts.Misrouted++
	}
	if len(s.sent) < known {
		s.sent = append(s.sent, r)
	} else {
		s.sent[s.rnd.IntN(known)] = r
	}
	return r
}

// value is one of few, and in stretches of the input every other one is
// different, so that rows come to every state there is.
func (s *Source) value(p *attribution.Primitive) string {
	few := 1 + s.sessions/400%3
	n := s.rnd.IntN(few)
	if s.rnd.IntN(10) == 0 {
		n = s.rnd.IntN(5)
	}
	switch p.Kind {
	case attribution.Numeric:
		return fmt.Sprint(10 + 37*n + s.rnd.IntN(3))
	case attribution.Bool:
		return fmt.Sprint(n%2 == 0)
	case attribution.Array:
		return fmt.Sprintf(`["step %d","then %d"]`, n, n/2)
	case attribution.Categorical:
		if len(p.Values) > 0 {
			return string(canonical.AppendString(nil, p.Values[n%len(p.Values)]))
		}
	}
	return fmt.Sprintf(`"value %d of %s"`, n, p.Name)
}

// group is how many attackers identity events concern together.
const group = 5

func (s *Source) event() *kgo.Record {
	groups := max(1, s.cfg.Attackers/4/group)
	g := s.rnd.IntN(groups)
	member := func() string { return s.attacker(g*group + s.rnd.IntN(group)) }
	names := []string{s.identity(g, 0), s.identity(g, 1), s.identity(g, 2), attribution.Stub([]byte(member())).String()}
	name := func() string { return names[s.rnd.IntN(len(names))] }
	e := attribution.IdentityEvent{Type: attribution.EventType(1 + s.rnd.IntN(4)), Identity: name()}
	for range s.rnd.IntN(group) {
		e.Attackers = append(e.Attackers, member())
	}
	switch e.Type {
	case attribution.Linked:
		e.Attackers = []string{member()}
	case attribution.Merged, attribution.Unmerged:
		e.Loser = name() // now and then the winner itself, which is refused
	}
	return &kgo.Record{Topic: s.names.IdentityEvents, Key: []byte(e.Identity), Value: schemas.AppendIdentityEvent(nil, &e)}
}

func (s *Source) identity(group, n int) string {
	return fmt.Sprintf("1d%06x-000%d-4000-8000-%012x", group, n, s.cfg.Seed&0xffffffffffff)
}

func (s *Source) bad() *kgo.Record {
	attacker := s.attacker(s.rnd.IntN(s.cfg.Attackers))
	r := &kgo.Record{Topic: s.names.Observations, Key: []byte(attacker), Headers: []kgo.RecordHeader{{Key: "from", Value: []byte("traffic")}}}
	switch s.rnd.IntN(5) {
	case 0:
		r.Value = []byte(`{"attacker_uuid":"` + attacker)
	case 1:
		r.Value = fmt.Appendf(nil, `{"attacker_uuid":%q,"primitive":"no dots","value":1,"ts":1,"evidence_ref":"e"}`, attacker)
	case 2:
		r.Value = fmt.Appendf(nil, `{"attacker_uuid":%q,"primitive":%q,"value":1e999,"ts":1,"evidence_ref":"e"}`, attacker, s.primitives[0].Name)
	case 3:
		r.Value = nil
	case 4:
		r.Topic, r.Value = s.names.IdentityEvents, []byte(`{"type":"identity.split"}`)
	}
	return r
}
