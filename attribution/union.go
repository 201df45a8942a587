package attribution

import (
	"bytes"
	"slices"
)

// Union is what a merger needs of the series of many attackers, kept up to date
// observation by observation, so that a row of ten thousand attackers is not
// read anew for each. It is a cache: where observations take away entries that only
// the series themselves still know the next of, Enough says so, and Refill reads a few
// series. Where that does not do, the newest entry of each series is read.
type Union struct {
	kind  Kind
	t     *Thresholds
	count int64
	tail  []unionEntry // the newest entries, newest last
	whole bool         // tail is all of them
	heads unionHeads   // where the entries are that come behind the tail
	// values is of HASH only, else nil.
	values *unionValues
	// returning holds the attackers whose series returns: see SetReturns.
	returning map[string]struct{}
}

type unionEntry struct {
	Entry
	attacker string
}

// unionTail is how many of the newest entries a union holds, in windows. What
// is more than two of them is a reserve for entries that leave.
const unionTail = 4

// NewUnion returns the union of no series.
func NewUnion(kind Kind, t *Thresholds) *Union {
	u := &Union{kind: kind, t: t, whole: true}
	if kind == Hash {
		u.values = newUnionValues()
	}
	return u
}

// Attacker returns whose series a value of a conclusion is from.
func (u *Union) Attacker(source int) string { return u.tail[source].attacker }

// SetReturns says whether the series of an attacker returns: see [Returns]. It
// is for primitives whose series can return.
func (u *Union) SetReturns(attacker string, returns bool) {
	switch {
	case !returns:
		delete(u.returning, attacker)
	case u.returning == nil:
		u.returning = map[string]struct{}{attacker: {}}
	default:
		u.returning[attacker] = struct{}{}
	}
}

// Returns reports whether the series of an attacker returns.
func (u *Union) Returns() bool { return len(u.returning) > 0 }

// Add adds the series of one more attacker, which must be whole: none of its
// values may be [Series.Elsewhere].
func (u *Union) Add(s *Series, attacker string) {
	u.count += s.Count
	u.heads.attackers++
	u.heads.moved(attacker, nil, HeadOf(s))
	for i := range s.Entries {
		u.insert(s.Entries[i], attacker)
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
		v := s.Gone[i].Value
		if ts, ok := u.held(attacker, v); !ok || ts < s.Gone[i].TS {
			u.Latest(attacker, v, s.Gone[i].TS, true)
		}
	}
}

// Taken brings the union up to date with what the series of an attacker, which
// is part of it, did with an observation: entry was given to Series.Take, the rest is
// what that answered, and was and is are the newest entry before and after it (see
// [HeadOf]). Of HASH, Latest has to be told of every value that the series got, has
// at another time, or forgot.
func (u *Union) Taken(attacker string, entry Entry, taken Taken, left Entry, had bool, was, is *Entry) {
	if was == nil {
		u.heads.attackers++
	}
	u.heads.moved(attacker, was, is)
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
			u.insert(entry, attacker)
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
	u.insert(next, attacker)
}

// Enough reports whether the union can be concluded from.
func (u *Union) Enough() bool { return u.whole || len(u.tail) >= 2*u.t.Window }

// Empty reports whether all attackers have left, or none has come.
func (u *Union) Empty() bool { return u.heads.attackers == 0 }

func (u *Union) maxTail() int { return unionTail * u.t.Window }

// at returns where an entry belongs in the tail.
func (u *Union) at(e *Entry) int {
	at := len(u.tail)
	for at > 0 && e.before(&u.tail[at-1].Entry) {
		at--
	}
	return at
}

// insert puts an entry into the tail, and reports whether it belongs there.
func (u *Union) insert(e Entry, attacker string) bool {
	at := u.at(&e)
	if at == 0 && !u.whole {
		return false // others that are not held may be newer
	}
	if at == 0 && len(u.tail) == u.maxTail() {
		u.whole = false
		return false
	}
	e.Value = bytes.Clone(e.Value)
	u.tail = slices.Insert(u.tail, at, unionEntry{Entry: e, attacker: attacker})
	if len(u.tail) > u.maxTail() {
		u.tail = slices.Delete(u.tail, 0, 1)
		u.whole = false
	}
	return true
}

// remove takes an entry of an attacker out of the tail, if it is in it.
func (u *Union) remove(left *Entry, attacker string) {
	for i := len(u.tail) - 1; i >= 0; i-- {
		if e := &u.tail[i]; e.Evidence == left.Evidence && e.attacker == attacker {
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
	Entries(attacker string) ([]Entry, error)
	// Text returns what a value of an attacker's entries is. It is valid until the
	// next call.
	Text(attacker string, v Value) (Value, error)
}

// Refill reads the newest entries of the union from the series of those attackers
// that have them: of as many attackers as the union holds entries, at most. It reports
// whether the union can be concluded from. If not, it has to be told where the newest
// entries of all series are: see ForgetHeads.
func (u *Union) Refill(from UnionSource) (enough bool, err error) {
	clear(u.tail)
	u.tail, u.whole = u.tail[:0], true
	h := &u.heads
	for _, block := range slices.Backward(h.list.blocks) {
		for _, next := range slices.Backward(block) {
			if len(u.tail) == u.maxTail() && next.compare(&u.tail[0]) < 0 {
				u.whole = false
				return true, u.spellOut(from) // what is left is older
			}
			entries, err := from.Entries(next.attacker)
			if err != nil || len(entries) == 0 {
				return false, err
			}
			for i := len(entries) - 1; i >= 0 && u.insert(entries[i], next.attacker); i-- {
			}
		}
	}
	if h.some { // entries of attackers whose heads are not held may come between
		certain := slices.IndexFunc(u.tail, func(e unionEntry) bool { return h.least.compare(&e) <= 0 })
		if certain < 0 {
			certain = len(u.tail)
		}
		u.tail, u.whole = slices.Delete(u.tail, 0, certain), false
	}
	return u.Enough(), u.spellOut(from)
}

// spellOut replaces values that stand for others.
func (u *Union) spellOut(from UnionSource) error {
	for i := range u.tail {
		e := &u.tail[i]
		text, err := from.Text(e.attacker, e.Value)
		if err != nil {
			return err
		}
		if !bytes.Equal(text, e.Value) {
			e.Value = bytes.Clone(text)
		}
	}
	return nil
}

// Leave takes the series of an attacker out of the union. It must be whole, as for Add.
func (u *Union) Leave(s *Series, attacker string) {
	u.count -= s.Count
	u.heads.attackers--
	u.heads.moved(attacker, HeadOf(s), nil)
	u.tail = slices.DeleteFunc(u.tail, func(e unionEntry) bool { return e.attacker == attacker })
	delete(u.returning, attacker)
	for i := range s.Entries {
		u.Latest(attacker, s.Entries[i].Value, 0, false)
	}
	for i := range s.Gone {
		u.Latest(attacker, s.Gone[i].Value, 0, false)
	}
	if u.values != nil {
		u.values.leave(attacker)
	}
}
