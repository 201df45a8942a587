package load

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"

	"handprint/attribution"
	"handprint/schemas"
)

// Config says what the load is like.
type Config struct {
	Seed       uint64
	Attackers  int   // at least 1
	Partitions int32 // of the observations; at least 1
	// Skew is the exponent of Zipf's law by which sessions fall to attackers,
	// above 1: the larger, the more a few of them do. 0: DefaultSkew.
	Skew float64
	// Even gives each attacker one session before any has its second, in an
	// order that is mixed, rather than by Zipf's law: then a row is observed
	// again only after all others, and its changelog record is one for each
	// observation, whatever the number of attackers.
	Even bool
	// Session is how many primitives a session yields on average, at least 1.
	// 0: DefaultSession.
	Session int
	// Breadth is how many of the primitives an attacker ever shows: a tool
	// has its traits, and a sensor does not see them all. It is at least 1;
	// above what the registry has means all. 0: DefaultBreadth.
	Breadth int
	// Change is how often a value is another one than the attacker's usual,
	// from 0 to 1.
	Change float64
	// Linked is the share of the attackers, from 0 to 1, that Events assigns to
	// identities of LinkedSize each.
	Linked float64
	// Misrouted is the share of the records, from 0 to 1, that lie in another
	// partition than their key's.
	Misrouted float64
	// Format is how observations and events are written; nil: JSON. It
	// changes nothing of what they say.
	Format *schemas.Format
}

// The defaults of Config. With these, 20,000 attackers, a Change of 0.1 and a
// million observations there are 0.43 transitions for an observation. What makes
// that figure is how many rows are new, since each new row is a transition: with
// all 82 primitives for each attacker 0.61 of the observations open a row and
// there are 0.71 transitions; with 17 primitives 0.27 do.
const (
	DefaultSkew    = 1.1
	DefaultSession = 20
	DefaultBreadth = 17
)

// LinkedSize is how many attackers share an identity that Events has formed.
const LinkedSize = 4

// Start is the ts of the first observation, and Step the seconds from one to
// the next: the ts of an observation tells which one it is. Both are exact as
// doubles.
const (
	Start = 1_700_000_000.0
	Step  = 0.25
)

// Record is one observation. Its slices are valid until the next one is made.
type Record struct {
	Key       []byte
	Value     []byte
	Partition int32
}

// Generator makes records, one after the other. It is for one goroutine.
type Generator struct {
	cfg        Config
	rnd        *rand.Rand
	zipf       *rand.Zipf
	primitives []primitive

	n        int64 // records made
	attacker uint64
	// If attackers take turns: who had the last one, and how far the next is.
	turn, step uint64
	session    uint64
	left       int // records of the current session
	// The attacker's primitives are at first, first+apart and so on; a session
	// takes them at, at+stride and so on, modulo their number.
	first, apart int
	at, stride   int
	observation  attribution.Observation
	record       Record
	scratch      []byte
}

// New returns a generator at its first record.
func New(cfg Config) (*Generator, error) {
	if cfg.Skew == 0 {
		cfg.Skew = DefaultSkew
	}
	if cfg.Session == 0 {
		cfg.Session = DefaultSession
	}
	if cfg.Breadth == 0 {
		cfg.Breadth = DefaultBreadth
	}
	share := func(f float64) bool { return f >= 0 && f <= 1 }
	switch {
	case cfg.Attackers < 1 || cfg.Partitions < 1 || cfg.Session < 1 || cfg.Breadth < 1:
		return nil, fmt.Errorf("load of %d attackers of %d primitives on %d partitions in sessions of %d", cfg.Attackers, cfg.Breadth, cfg.Partitions, cfg.Session)
	case !(cfg.Skew > 1):
		return nil, fmt.Errorf("load with a skew of %v, must be above 1", cfg.Skew)
	case !share(cfg.Change) || !share(cfg.Linked) || !share(cfg.Misrouted):
		return nil, fmt.Errorf("load with a share that is not from 0 to 1: change %v, linked %v, misrouted %v", cfg.Change, cfg.Linked, cfg.Misrouted)
	}
	g := &Generator{cfg: cfg, rnd: rand.New(rand.NewPCG(cfg.Seed, 0x68616e647072696e))}
	g.zipf = rand.NewZipf(g.rnd, cfg.Skew, math.Max(1, float64(cfg.Attackers)/20), uint64(cfg.Attackers-1))
	g.step = uint64(coprime(golden(cfg.Attackers), cfg.Attackers))
	g.cfg.Breadth = min(cfg.Breadth, len(attribution.DefaultRegistry().Names()))
	for _, name := range attribution.DefaultRegistry().Names() {
		g.primitives = append(g.primitives, newPrimitive(attribution.DefaultRegistry().Lookup([]byte(name))))
	}
	return g, nil
}

// Next returns the next record.
func (g *Generator) Next() *Record {
	if g.left == 0 {
		g.begin()
	}
	g.left--
	p := &g.primitives[(g.first+g.at*g.apart)%len(g.primitives)]
	g.at = (g.at + g.stride) % g.cfg.Breadth

	r := &g.record
	r.Key = appendUUID(r.Key[:0], attackerNamespace, g.attacker)
	r.Partition = attribution.AttackerPartition(r.Key, g.cfg.Partitions)
	if g.cfg.Partitions > 1 && g.rnd.Float64() < g.cfg.Misrouted {
		r.Partition = (r.Partition + 1) % g.cfg.Partitions
	}
	ts := Start + float64(g.n)*Step
	o := &g.observation
	o.ID = appendUUID(o.ID[:0], recordNamespace, uint64(g.n))
	o.Attacker = r.Key
	o.Primitive = append(o.Primitive[:0], p.name...)
	o.Value = g.value(o.Value[:0], p)
	o.Confidence, o.HasConfidence = float64(50+g.rnd.IntN(51))/100, true
	o.WindowStart, o.WindowEnd, o.TS = ts-90, ts, ts
	o.Source = strconv.AppendUint(append(o.Source[:0], "cowrie-"...), g.session%7, 10)
	o.Evidence = appendHex(append(o.Evidence[:0], "cowrie/"...), mix(g.session))
	r.Value = g.cfg.Format.AppendObservation(r.Value[:0], o)
	g.n++
	return r
}

// Each yields a record of every attacker for each of its primitives, before those
// of Next. The record is valid until yield returns.
func (g *Generator) Each(yield func(*Record) bool) {
	for attacker := range uint64(g.cfg.Attackers) {
		g.session++
		g.attacker = attacker
		g.show()
		g.left, g.at, g.stride = g.cfg.Breadth, 0, 1
		for g.left > 0 {
			if !yield(g.Next()) {
				return
			}
		}
	}
}

// show makes the primitives those of the attacker.
func (g *Generator) show() {
	traits := mix(traitsNamespace<<56 | g.attacker)
	g.first = int(traits % uint64(len(g.primitives)))
	g.apart = coprime(int(traits>>32), len(g.primitives))
}

// begin starts a session: an attacker, and which of its primitives it yields.
func (g *Generator) begin() {
	g.session++
	if g.cfg.Even {
		g.turn = (g.turn + g.step) % uint64(g.cfg.Attackers)
		g.attacker = g.turn
	} else {
		g.attacker = g.zipf.Uint64()
	}
	g.show()
	g.left = min(g.cfg.Breadth, 1+g.rnd.IntN(2*g.cfg.Session-1))
	g.at = g.rnd.IntN(g.cfg.Breadth)
	g.stride = coprime(g.rnd.Int(), g.cfg.Breadth)
}

// golden is the golden section of n: steps of it, modulo n, lie far from each
// other, so that attackers whose turns are neighbours are not neighbours.
func golden(n int) int { return int(float64(n) / math.Phi) }

// coprime is a step from 1 to below n that visits all of n, chosen by random.
func coprime(random, n int) int {
	if n == 1 {
		return 1
	}
	for step := 1 + random%(n-1); ; step = 1 + step%(n-1) {
		if gcd(step, n) == 1 {
			return step
		}
	}
}

// Events yields the identity events that link Linked of the attackers, each
// with its key. The slices are valid until yield returns.
func (g *Generator) Events(yield func(key, value []byte) bool) {
	n := uint64(float64(g.cfg.Attackers) * g.cfg.Linked)
	var key, value, attacker []byte
	for first := uint64(0); first < n; first += LinkedSize {
		key = appendUUID(key[:0], identityNamespace, first)
		e := attribution.IdentityEvent{Type: attribution.Formed, Identity: string(key)}
		for i := range min(LinkedSize, n-first) {
			// Spread over the attackers, so that it is not the busiest that are
			// linked, nor the idlest.
			attacker = appendUUID(attacker[:0], attackerNamespace, (first+i)*uint64(g.cfg.Attackers)/n)
			e.Attackers = append(e.Attackers, string(attacker))
		}
		value = g.cfg.Format.AppendIdentityEvent(value[:0], &e)
		if !yield(key, value) {
			return
		}
	}
}

const (
	attackerNamespace = 0x61
	identityNamespace = 0x69
	recordNamespace   = 0x72
	traitsNamespace   = 0x74
)

// appendUUID appends an id that looks like any other, the same for the same n.
func appendUUID(dst []byte, namespace, n uint64) []byte {
	var u attribution.UUID
	binary.BigEndian.PutUint64(u[:8], mix(namespace<<56|n))
	binary.BigEndian.PutUint64(u[8:], mix(namespace<<48|n))
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u.AppendText(dst)
}

// mix is the finalizer of SplitMix64: a permutation without visible order.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func gcd(a, b int) int {
	for b > 0 {
		a, b = b, a%b
	}
	return a
}
