package attribution

import (
	"bytes"
	"slices"
)

// Union is what a merger needs of the series of many attackers, kept up to date
// observation by observation, so that a row of ten thousand attackers is not
// read anew for each. It is a cache: where an observation takes away what only
// the series themselves still know, Taken says so, and the union is built again.
type Union struct {
	kind  Kind
	t     *Thresholds
	count int64
	tail  []unionEntry // the newest entries, newest last
	whole bool         // tail is all of them
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
// is part of it, did with an observation: entry was given to Series.Take, and
// the rest is what that answered. It reports whether the union can still be
// concluded from. Of HASH, Latest has to be told of every value that the series
// got, has at another time, or forgot.
func (u *Union) Taken(attacker string, entry Entry, taken Taken, left Entry, had bool) bool {
	switch taken {
	case Beyond:
		u.count++
		return true
	case Added:
		u.count++
		if had {
			u.remove(left.Evidence, attacker)
		}
		if !had || left.Evidence != entry.Evidence {
			u.insert(entry, attacker)
		}
		return u.enough()
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
	u.remove(left.Evidence, attacker)
	u.insert(next, attacker)
	return u.enough()
}

func (u *Union) enough() bool { return u.whole || len(u.tail) >= 2*u.t.Window }

func (u *Union) insert(e Entry, attacker string) {
	at := len(u.tail)
	for at > 0 && e.before(&u.tail[at-1].Entry) {
		at--
	}
	if at == 0 && !u.whole {
		return // others that are not held may be newer
	}
	e.Value = bytes.Clone(e.Value)
	u.tail = slices.Insert(u.tail, at, unionEntry{Entry: e, attacker: attacker})
	if len(u.tail) > unionTail*u.t.Window {
		u.tail = slices.Delete(u.tail, 0, 1)
		u.whole = false
	}
}

func (u *Union) remove(evidence uint64, attacker string) {
	for i := range u.tail {
		if u.tail[i].Evidence == evidence && u.tail[i].attacker == attacker {
			u.tail = slices.Delete(u.tail, i, i+1)
			return
		}
	}
}
