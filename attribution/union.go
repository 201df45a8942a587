package attribution

import (
	"bytes"
	"slices"
)

// Union is what a merger needs of the series of many attackers, kept up to date
// observation by observation, so that a row of ten thousand attackers is not
// read anew for each. It is a cache, and may know less than all: where that does not do,
// Enough says so. Refill reads a few series then; or the newest entry of each series is
// read; or the union is made anew.
type Union struct {
	kind  Kind
	t     *Thresholds
	count int64
	names texts       // of attackers that something below refers to
	texts texts       // values of the tail
	tail  []tailPlace // the newest entries, newest last
	whole bool        // tail is all of them
	heads unionHeads  // where the entries are that come behind the tail
	// values is of HASH only, else nil.
	values *unionValues
	// returning holds the attackers whose series returns: see SetReturns.
	returning      map[string]struct{}
	returningNames int // bytes of their names
	// few is how many attackers are remembered, about, where they may be many: see
	// Shrink. 0: all.
	few   int
	swept int // HASH values that were left when others were forgotten last
}

// tailPlace is an entry of the tail, as far as a union needs it.
type tailPlace struct {
	ts           float64
	time, offset int64 // its place, with partition
	evidence     uint64
	partition    int32
	attacker     uint32
	value        uint32
}

// entry returns what a merger needs of the entry of the tail.
func (u *Union) entry(i int) Entry {
	p := &u.tail[i]
	return Entry{TS: p.ts, Value: u.texts.text(p.value), Evidence: p.evidence, Place: p.head().place()}
}

func (p *tailPlace) head() head { return head{p.ts, p.time, p.offset, p.partition, p.attacker} }

// unionTail is how many of the newest entries a union holds, in windows. What
// is more than two of them is a reserve for entries that leave.
const unionTail = 4

// NewUnion returns the union of no series.
func NewUnion(kind Kind, t *Thresholds) *Union {
	u := &Union{kind: kind, t: t, whole: true}
	if kind == Hash {
		u.values = newUnionValues(&u.names)
	}
	return u
}

// Attacker returns whose series a value of a conclusion is from.
func (u *Union) Attacker(source int) string { return string(u.names.text(u.tail[source].attacker)) }

// SetReturns says whether the series of an attacker returns: see [Returns]. It
// is for primitives whose series can return.
func (u *Union) SetReturns(attacker string, returns bool) {
	switch _, did := u.returning[attacker]; {
	case returns == did:
	case did:
		delete(u.returning, attacker)
		u.returningNames -= len(attacker)
	default:
		if u.returning == nil {
			u.returning = make(map[string]struct{})
		}
		u.returning[attacker] = struct{}{}
		u.returningNames += len(attacker)
	}
}

// Returns reports whether the series of an attacker returns.
func (u *Union) Returns() bool { return len(u.returning) > 0 }

// Add adds the series of one more attacker, which must be whole: none of its
// values may be [Series.Elsewhere].
func (u *Union) Add(s *Series, attacker []byte) {
	u.count += s.Count
	u.heads.attackers++
	u.moved(attacker, nil, HeadOf(s))
	for i := len(s.Entries) - 1; i >= 0 && u.insert(&s.Entries[i], attacker); i-- {
	}
	if u.values == nil {
		return
	}
	for i := range s.Entries {
		v := s.Entries[i].Value
		ts, kept := s.Latest(v)
		u.Latest(attacker, v, ts, kept)
	}
	for i := range s.Gone {
		if v := s.Gone[i].Value; !slices.ContainsFunc(s.Entries, func(e Entry) bool { return bytes.Equal(e.Value, v) }) {
			u.Latest(attacker, v, s.Gone[i].TS, true)
		}
	}
}

// Taken brings the union up to date with what the series of an attacker, which
// is part of it, did with an observation: entry was given to Series.Take, the rest is
// what that answered, and was and is are the newest entry before and after it (see
// [HeadOf]). Of HASH, Latest has to be told of every value that the series got, has
// at another time, or forgot.
func (u *Union) Taken(attacker []byte, entry Entry, taken Taken, left Entry, had bool, was, is *Entry) {
	if was == nil {
		u.heads.attackers++
	}
	u.moved(attacker, was, is)
	switch taken {
	case Beyond:
		u.count++
		return
	case Added:
		u.count++
		if had {
			u.remove(&left, attacker)
		}
		if !had || left.Evidence != entry.Evidence {
			u.insert(&entry, attacker)
		}
		return
	}
	// A replacement. The record that arrived last counts, at the place of the
	// first.
	next := entry
	if entry.Latest.Compare(left.Latest) < 0 {
		next = left
	}
	if left.Place.Compare(entry.Place) < 0 {
		next.Place = left.Place
	} else {
		next.Place = entry.Place
	}
	u.remove(&left, attacker)
	u.insert(&next, attacker)
}

// Enough reports whether the union can be concluded from.
func (u *Union) Enough() bool { return u.enoughTail() && u.KnowsValues() }

func (u *Union) enoughTail() bool { return u.whole || len(u.tail) >= 2*u.t.Window }

// KnowsValues reports whether the union knows all HASH values that count by the newest
// entry that it has. If not, it is to be made anew.
func (u *Union) KnowsValues() bool {
	return u.values == nil || len(u.tail) == 0 || u.values.least <= u.from()
}

// from returns since when HASH values count, by the newest entry, which there must be.
func (u *Union) from() float64 { return u.tail[len(u.tail)-1].ts - u.t.HashWindow }

// Empty reports whether all attackers have left, or none has come.
func (u *Union) Empty() bool { return u.heads.attackers == 0 }

func (u *Union) maxTail() int { return unionTail * u.t.Window }

// at returns where an entry belongs in the tail.
func (u *Union) at(e *Entry) int {
	at := len(u.tail)
	for at > 0 {
		p := &u.tail[at-1]
		if e.TS > p.ts || e.TS == p.ts && e.Place.Compare(p.head().place()) >= 0 {
			break
		}
		at--
	}
	return at
}

// insert puts an entry into the tail, and reports whether it belongs there.
func (u *Union) insert(e *Entry, attacker []byte) bool {
	at := u.at(e)
	if at == 0 && !u.whole {
		return false // others that are not held may be newer
	}
	full := len(u.tail) >= u.maxTail()
	if at == 0 && full {
		u.whole = false
		return false
	}
	p := tailPlace{
		ts: e.TS, time: e.Place.Time, offset: e.Place.Offset, partition: e.Place.Partition,
		evidence: e.Evidence, attacker: u.names.use(attacker), value: u.texts.use(e.Value),
	}
	if full {
		u.release(&u.tail[0])
		copy(u.tail, u.tail[1:at])
		u.tail[at-1], u.whole = p, false
		return true
	}
	if n := len(u.tail); n == cap(u.tail) {
		u.tail = append(make([]tailPlace, 0, min(u.maxTail(), max(4, 2*n))), u.tail...)
	}
	u.tail = slices.Insert(u.tail, at, p)
	return true
}

// release is told of an entry that leaves the tail.
func (u *Union) release(p *tailPlace) {
	u.names.drop(p.attacker)
	u.texts.drop(p.value)
}

// remove takes an entry of an attacker out of the tail, if it is in it.
func (u *Union) remove(left *Entry, attacker []byte) {
	for i := len(u.tail) - 1; i >= 0; i-- {
		if p := &u.tail[i]; p.evidence == left.Evidence && bytes.Equal(u.names.text(p.attacker), attacker) {
			u.release(p)
			u.tail = slices.Delete(u.tail, i, i+1)
			return
		}
	}
}

// UnionSource reads the series that a union is of.
type UnionSource interface {
	// Entries returns the entries of an attacker's series, in its order; nil: it has
	// no series. They are valid until the next call, and their values may stand for
	// others that Text returns.
	Entries(attacker []byte) ([]Entry, error)
	// Text returns what a value of an attacker's entries is. It is valid until the
	// next call.
	Text(attacker []byte, v Value) (Value, error)
}

// Refill reads the newest entries of the union from the series of those attackers
// that have them: of as many attackers as the union holds entries, at most. It reports
// whether it has them. If not, it has to be told where the newest entries of all series
// are: see ForgetHeads.
func (u *Union) Refill(from UnionSource) (enough bool, err error) {
	for i := range u.tail {
		u.release(&u.tail[i])
	}
	u.tail, u.whole = u.tail[:0], true
	h := &u.heads
	for _, block := range slices.Backward(h.list.blocks) {
		for _, next := range slices.Backward(block) {
			if len(u.tail) == u.maxTail() {
				if oldest := u.tail[0].head(); (byPlace{}).compare(next, oldest) < 0 {
					u.whole = false
					return true, u.spellOut(from) // what is left is older
				}
			}
			attacker := u.names.text(next.attacker)
			entries, err := from.Entries(attacker)
			if err != nil || len(entries) == 0 {
				return false, err
			}
			for i := len(entries) - 1; i >= 0 && u.insert(&entries[i], attacker); i-- {
			}
		}
	}
	if h.some { // entries of attackers whose heads are not held may come between
		certain := slices.IndexFunc(u.tail, func(p tailPlace) bool { return byPlace{}.compare(h.least, p.head()) <= 0 })
		if certain < 0 {
			certain = len(u.tail)
		}
		for i := range u.tail[:certain] {
			u.release(&u.tail[i])
		}
		u.tail, u.whole = slices.Delete(u.tail, 0, certain), false
	}
	return u.enoughTail(), u.spellOut(from)
}

// spellOut replaces values that stand for others.
func (u *Union) spellOut(from UnionSource) error {
	for i := range u.tail {
		p := &u.tail[i]
		is := u.texts.text(p.value)
		text, err := from.Text(u.names.text(p.attacker), is)
		if err != nil {
			return err
		}
		if !bytes.Equal(text, is) {
			stood := p.value
			p.value = u.texts.use(text)
			u.texts.drop(stood)
		}
	}
	return nil
}

// Leave takes the series of an attacker out of the union. It must be whole, as for Add.
func (u *Union) Leave(s *Series, attacker []byte) {
	u.count -= s.Count
	u.heads.attackers--
	u.SetReturns(string(attacker), false)
	for i := range s.Entries {
		u.Latest(attacker, s.Entries[i].Value, 0, false)
	}
	for i := range s.Gone {
		u.Latest(attacker, s.Gone[i].Value, 0, false)
	}
	u.moved(attacker, HeadOf(s), nil)
	u.tail = slices.DeleteFunc(u.tail, func(p tailPlace) bool {
		leaves := bytes.Equal(u.names.text(p.attacker), attacker)
		if leaves {
			u.release(&p)
		}
		return leaves
	})
	if u.values != nil {
		u.values.compact()
	}
	u.compact()
}
