package attribution

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"iter"
	"slices"
)

// unionValues is when the HASH values of many series were seen last. It knows
// for each value which attackers have it and when each of them had it last, so
// it can follow whatever a series forgets, in a time that does not grow with
// the number of attackers or values.
type unionValues struct {
	numbers map[string]uint32 // of attackers
	names   map[uint32]string // by number
	last    uint32            // the number that was given last
	values  map[valueHash]*seenValue
	latest  sorted[seenAt, byTS] // all values
	size    int                  // pairs of an attacker and a value
	length  int                  // bytes, of the names of attackers
}

// seenAt is when a value was seen last.
type seenAt struct {
	ts    float64
	value valueHash
}

type byTS struct{}

func (byTS) compare(x, y seenAt) int {
	if c := cmp.Compare(x.ts, y.ts); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(x.value[0], y.value[0]), cmp.Compare(x.value[1], y.value[1]))
}

// heldAt is when an attacker had a value last.
type heldAt struct {
	ts       float64
	attacker uint32
}

type byHolder struct{}

func (byHolder) compare(x, y heldAt) int {
	return cmp.Or(cmp.Compare(x.ts, y.ts), cmp.Compare(x.attacker, y.attacker))
}

// valueHash stands for a value: two hashes, of seeds that nobody knows, so that
// no two values that anybody sends have the same.
type valueHash [2]uint64

var valueSeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func hashOf(v Value) valueHash {
	return valueHash{maphash.Bytes(valueSeeds[0], v), maphash.Bytes(valueSeeds[1], v)}
}

// seenValue is one value. Most are of one attacker.
type seenValue struct {
	ts       float64 // when it was seen last
	attacker uint32  // whose it is, unless it has others
	others   *holders
}

// holders are the attackers of a value that several have.
type holders struct {
	at map[uint32]float64 // when each had it last
	ts sorted[heldAt, byHolder]
}

func newUnionValues() *unionValues {
	return &unionValues{numbers: make(map[string]uint32), names: make(map[uint32]string), values: make(map[valueHash]*seenValue)}
}

// since is how many values were seen at ts or after it.
func (u *unionValues) since(ts float64) int { return u.latest.from(seenAt{ts: ts}) }

// set says when an attacker had a value last.
func (u *unionValues) set(attacker string, v Value, ts float64) {
	a, known := u.numbers[attacker]
	if !known {
		u.last++
		a = u.last
		u.numbers[attacker], u.names[a] = a, attacker
		u.length += len(attacker)
	}
	key := hashOf(v)
	s := u.values[key]
	switch {
	case s == nil:
		u.values[key] = &seenValue{ts: ts, attacker: a}
		u.latest.add(seenAt{ts, key})
		u.size++
	case s.others == nil && s.attacker == a:
		u.move(key, s, ts)
	default:
		if s.others == nil {
			s.others = &holders{at: map[uint32]float64{s.attacker: s.ts}}
			s.others.ts.add(heldAt{s.ts, s.attacker})
		}
		if old, had := s.others.at[a]; had {
			s.others.ts.remove(heldAt{old, a})
		} else {
			u.size++
		}
		s.others.at[a] = ts
		s.others.ts.add(heldAt{ts, a})
		u.move(key, s, s.others.ts.max().ts)
	}
}

// unset says that an attacker does not have a value any more.
func (u *unionValues) unset(attacker string, v Value) {
	a, known := u.numbers[attacker]
	key := hashOf(v)
	s := u.values[key]
	if !known || s == nil {
		return
	}
	if s.others == nil {
		if s.attacker == a {
			u.forget(key, s)
		}
		return
	}
	old, had := s.others.at[a]
	if !had {
		return
	}
	delete(s.others.at, a)
	s.others.ts.remove(heldAt{old, a})
	if len(s.others.at) == 0 {
		u.forget(key, s)
		return
	}
	u.size--
	u.move(key, s, s.others.ts.max().ts)
}

// leave forgets an attacker that has no values any more.
func (u *unionValues) leave(attacker string) {
	a, known := u.numbers[attacker]
	if !known {
		return
	}
	delete(u.names, a)
	delete(u.numbers, attacker)
	u.length -= len(attacker)
}

func (u *unionValues) move(key valueHash, s *seenValue, ts float64) {
	if s.ts == ts {
		return
	}
	u.latest.remove(seenAt{s.ts, key})
	u.latest.add(seenAt{ts, key})
	s.ts = ts
}

func (u *unionValues) forget(key valueHash, s *seenValue) {
	u.latest.remove(seenAt{s.ts, key})
	delete(u.values, key)
	u.size--
}

// Seen is a HASH value of a union, whose text a series has that the union is of.
type Seen struct {
	Attacker string  // of that series
	TS       float64 // when the value was seen last
	value    valueHash
}

// Is reports whether v is the value.
func (s *Seen) Is(v Value) bool { return hashOf(v) == s.value }

// NewestValues yields the HASH values of the union, the ones that were seen last
// first.
func (u *Union) NewestValues() iter.Seq[Seen] {
	return func(yield func(Seen) bool) {
		if u.values == nil {
			return
		}
		for _, block := range slices.Backward(u.values.latest.blocks) {
			for _, at := range slices.Backward(block) {
				s := u.values.values[at.value]
				attacker := s.attacker
				if s.others != nil {
					attacker = s.others.ts.max().attacker
				}
				if !yield(Seen{u.values.names[attacker], at.ts, at.value}) {
					return
				}
			}
		}
	}
}

// held returns when an attacker had a value last, if it has it.
func (u *Union) held(attacker string, v Value) (ts float64, ok bool) {
	a, known := u.values.numbers[attacker]
	s := u.values.values[hashOf(v)]
	switch {
	case !known || s == nil:
		return 0, false
	case s.others == nil:
		return s.ts, s.attacker == a
	}
	ts, ok = s.others.at[a]
	return ts, ok
}

// Latest says when the series of an attacker has a HASH value last, which an
// observation may have changed; kept is false if it does not have it any more.
func (u *Union) Latest(attacker string, v Value, ts float64, kept bool) {
	switch {
	case u.values == nil || bytes.Equal(v, Null):
	case kept:
		u.values.set(attacker, v, ts)
	default:
		u.values.unset(attacker, v)
	}
}

// What a union takes, in bytes: itself, and what it remembers of each entry of its tail,
// each attacker and each value. Measured, with the room that lists and maps have left. A
// value in the tail has 256 bytes at most, as longer ones are digests there.
const (
	unionBytes    = 1 << 10
	tailBytes     = 280
	headBytes     = 60
	attackerBytes = 80 // that has a HASH value
	valueBytes    = 100
)

// Size is about how many bytes the union takes.
func (u *Union) Size() int {
	n := unionBytes + tailBytes*len(u.tail) + headBytes*u.heads.list.count + u.heads.names
	if v := u.values; v != nil {
		n += valueBytes*v.size + attackerBytes*len(v.numbers) + v.length
	}
	return n
}
