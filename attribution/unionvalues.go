package attribution

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"iter"
	"math"
	"slices"
)

// unionValues is when the HASH values of many series were seen last. It knows
// for each value which attackers have it and when each of them had it last, so
// it can follow whatever a series forgets, in a time that does not grow with
// the number of attackers or values.
//
// It may know less: of a value of many attackers the few that had it last, and no values
// that were seen before least. A value whose last attacker that is known forgets it was
// seen by others before, so least becomes greater then: that matters as long as such
// values count.
type unionValues struct {
	names  *texts                 // of the union
	list   []seenValue            // the first stands for no value, see since
	free   []uint32               // places in list
	table  slotTable              // of list, by value
	latest sorted[uint32, bySeen] // places of all values
	shared []*holders             // nil: free
	vacant []uint32               // places in shared
	pairs  int                    // of an attacker and a value that several have
	mapped int                    // of these, in maps
	least  float64                // all values that were seen at this time, or after it, are known
}

// seenValue is one value. Most are of one attacker.
type seenValue struct {
	value    valueHash
	ts       float64 // when it was seen last
	attacker uint32  // whose it is, unless it has others
	shared   uint32  // place in shared, plus 1; 0: one attacker is known
}

// bySeen is the order of the times at which values were seen last.
type bySeen struct{ of *unionValues }

func (o bySeen) compare(x, y uint32) int {
	list := o.of.list
	return cmp.Or(cmp.Compare(list[x].ts, list[y].ts), cmp.Compare(x, y))
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

// holders are the attackers of a value that several have.
type holders struct {
	ts sorted[heldAt, byHolder]
	// at is when each had it last; nil: they are few.
	at map[uint32]float64
	// from: attackers that are not known had it at this time at the latest. -Inf: all
	// are known.
	from float64
}

// maxWalk is how many attackers of a value are walked through, where more are in a map.
const maxWalk = 32

func newUnionValues(names *texts) *unionValues {
	u := &unionValues{names: names, list: make([]seenValue, 1, 2), least: math.Inf(-1)}
	u.latest.order.of = u
	return u
}

// since is how many values were seen at ts or after it.
func (u *unionValues) since(ts float64) int {
	u.list[0].ts = ts
	return u.latest.from(0)
}

func (u *unionValues) hash(place uint32) uint64 { return u.list[place].value[0] }

func (u *unionValues) find(h valueHash) (place uint32, found bool) {
	return u.table.find(h[0], func(place uint32) bool { return u.list[place].value == h })
}

// set says when an attacker had a value last. few is how many attackers of a value are
// remembered; 0: all.
func (u *unionValues) set(attacker []byte, v Value, ts float64, few int) {
	h := hashOf(v)
	place, found := u.find(h)
	if !found {
		if ts >= u.least {
			u.add(seenValue{value: h, ts: ts, attacker: u.names.use(attacker)})
		}
		return
	}
	s := &u.list[place]
	a := u.names.use(attacker)
	if s.shared == 0 && s.attacker == a {
		u.names.drop(a)
		u.move(place, ts)
		return
	}
	if s.shared == 0 {
		u.share(s)
	}
	o := u.shared[s.shared-1]
	old, had := o.find(a)
	if had {
		u.names.drop(a)
		if old == ts {
			return
		}
		u.leave(o, heldAt{old, a})
	}
	if ts < o.from {
		u.names.drop(a)
	} else {
		u.come(o, heldAt{ts, a})
		if few > 0 && o.ts.count > 2*few {
			u.trim(o, few)
		}
	}
	u.settle(place)
}

// add adds a value of one attacker.
func (u *unionValues) add(s seenValue) {
	place := uint32(len(u.list))
	if last := len(u.free) - 1; last >= 0 {
		place, u.free = u.free[last], u.free[:last]
		u.list[place] = s
	} else {
		u.list = append(u.list, s)
	}
	u.table.add(place, u.hash)
	u.latest.add(place)
}

// share makes a value of one attacker one that several may have.
func (u *unionValues) share(s *seenValue) {
	o := &holders{from: math.Inf(-1)}
	if last := len(u.vacant) - 1; last >= 0 {
		s.shared, u.vacant = u.vacant[last]+1, u.vacant[:last]
		u.shared[s.shared-1] = o
	} else {
		u.shared = append(u.shared, o)
		s.shared = uint32(len(u.shared))
	}
	u.come(o, heldAt{s.ts, s.attacker})
}

// find returns when an attacker had the value last, if that is known.
func (o *holders) find(attacker uint32) (ts float64, known bool) {
	if o.at != nil {
		ts, known = o.at[attacker]
		return ts, known
	}
	for _, block := range o.ts.blocks {
		for _, h := range block {
			if h.attacker == attacker {
				return h.ts, true
			}
		}
	}
	return 0, false
}

// come adds an attacker of a value.
func (u *unionValues) come(o *holders, h heldAt) {
	u.pairs++
	o.ts.add(h)
	switch {
	case o.at != nil:
		o.at[h.attacker] = h.ts
		u.mapped++
	case o.ts.count > maxWalk:
		o.at = make(map[uint32]float64, o.ts.count)
		u.mapped += o.ts.count
		for _, block := range o.ts.blocks {
			for _, h := range block {
				o.at[h.attacker] = h.ts
			}
		}
	}
}

// leave takes an attacker of a value away, whose use of the name stays.
func (u *unionValues) leave(o *holders, h heldAt) {
	u.pairs--
	o.ts.remove(h)
	if o.at != nil {
		u.mapped--
		delete(o.at, h.attacker)
		u.unmap(o)
	}
}

// unmap gives up the map of the attackers of a value, if they are few.
func (u *unionValues) unmap(o *holders) {
	if o.ts.count <= maxWalk/2 {
		u.mapped -= o.ts.count
		o.at = nil
	}
}

// trim leaves a value the few attackers that had it last.
func (u *unionValues) trim(o *holders, few int) {
	dropped := o.ts.count - few
	if dropped <= 0 {
		return
	}
	left := dropped
	for _, block := range o.ts.blocks {
		for _, h := range block[:min(left, len(block))] {
			u.names.drop(h.attacker)
			delete(o.at, h.attacker)
			o.from = h.ts
			left--
		}
		if left == 0 {
			break
		}
	}
	o.ts.dropFirst(dropped)
	u.pairs -= dropped
	if o.at != nil {
		u.mapped -= dropped
		u.unmap(o)
	}
}

// settle brings a value that several may have in step with its attackers.
func (u *unionValues) settle(place uint32) {
	o := u.shared[u.list[place].shared-1]
	if o.ts.count > 0 {
		u.move(place, o.ts.max().ts)
		return
	}
	if !math.IsInf(o.from, -1) { // others have it, since this time or before
		u.least = max(u.least, math.Nextafter(o.from, math.Inf(1)))
	}
	u.forget(place)
}

// unset says that an attacker does not have a value any more.
func (u *unionValues) unset(attacker []byte, v Value) {
	a, named := u.names.find(attacker)
	if !named {
		return
	}
	place, found := u.find(hashOf(v))
	if !found {
		return
	}
	s := &u.list[place]
	if s.shared == 0 {
		if s.attacker == a {
			u.forget(place)
		}
		return
	}
	o := u.shared[s.shared-1]
	if ts, known := o.find(a); known {
		u.leave(o, heldAt{ts, a})
		u.names.drop(a)
		u.settle(place)
	}
}

func (u *unionValues) move(place uint32, ts float64) {
	s := &u.list[place]
	if s.ts == ts {
		return
	}
	u.latest.remove(place)
	s.ts = ts
	u.latest.add(place)
}

// forget forgets a value, and the attackers that are known to have it.
func (u *unionValues) forget(place uint32) {
	s := &u.list[place]
	u.latest.remove(place)
	u.table.remove(place, u.hash)
	if s.shared == 0 {
		u.names.drop(s.attacker)
	} else {
		o := u.shared[s.shared-1]
		for _, block := range o.ts.blocks {
			for _, h := range block {
				u.names.drop(h.attacker)
			}
		}
		u.pairs -= o.ts.count
		u.mapped -= len(o.at)
		u.shared[s.shared-1] = nil
		u.vacant = append(u.vacant, s.shared-1)
	}
	*s = seenValue{}
	u.free = append(u.free, place)
}

// forgetBefore forgets the values that were seen last before a time.
func (u *unionValues) forgetBefore(ts float64) {
	for u.latest.count > 0 {
		place := u.latest.min()
		if u.list[place].ts >= ts {
			break
		}
		u.forget(place)
		u.least = max(u.least, ts)
	}
	u.compact()
}

// compact gives up the room of values that are gone, if that is most of it.
func (u *unionValues) compact() {
	if len(u.list) >= 16 && len(u.free) >= len(u.list)/2 {
		old := u.list
		places := make([]uint32, len(old))
		u.list, u.free, u.table = append(make([]seenValue, 0, 1+u.table.count), seenValue{}), nil, slotTable{}
		for place := range old {
			if old[place].value == (valueHash{}) {
				continue
			}
			places[place] = uint32(len(u.list))
			u.list = append(u.list, old[place])
			u.table.add(places[place], u.hash)
		}
		for _, block := range u.latest.blocks {
			for i := range block {
				block[i] = places[block[i]]
			}
		}
	}
	if len(u.shared) >= 16 && len(u.vacant) >= len(u.shared)/2 {
		old := u.shared
		u.shared, u.vacant = nil, nil
		for place := range u.list {
			if s := &u.list[place]; s.shared > 0 {
				u.shared = append(u.shared, old[s.shared-1])
				s.shared = uint32(len(u.shared))
			}
		}
	}
}

// renumber is told the new numbers of attackers, which are in the order of the old ones.
func (u *unionValues) renumber(numbers []uint32) {
	for i := range u.list {
		if s := &u.list[i]; s.shared == 0 {
			s.attacker = numbers[s.attacker]
		}
	}
	for _, o := range u.shared {
		if o == nil {
			continue
		}
		if o.at != nil {
			o.at = make(map[uint32]float64, o.ts.count)
		}
		for _, block := range o.ts.blocks {
			for i := range block {
				h := &block[i]
				if h.attacker = numbers[h.attacker]; o.at != nil {
					o.at[h.attacker] = h.ts
				}
			}
		}
	}
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
			for _, place := range slices.Backward(block) {
				s := u.values.list[place]
				if s.shared > 0 {
					s.attacker = u.values.shared[s.shared-1].ts.max().attacker
				}
				if !yield(Seen{string(u.names.text(s.attacker)), s.ts, s.value}) {
					return
				}
			}
		}
	}
}

// Latest says when the series of an attacker has a HASH value last, which an
// observation may have changed; kept is false if it does not have it any more.
func (u *Union) Latest(attacker []byte, v Value, ts float64, kept bool) {
	switch {
	case u.values == nil || bytes.Equal(v, Null):
	case kept:
		u.values.set(attacker, v, ts, u.keptHolders())
		u.sweep()
	default:
		u.values.unset(attacker, v)
	}
}
