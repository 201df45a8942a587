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
	seen  map[string]float64
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
		u.seen = make(map[string]float64)
	}
	return u
}

// Attacker returns whose series a value of a conclusion is from.
func (u *Union) Attacker(source int) string { return u.tail[source].attacker }

// SetReturns says whether the series of an attacker returns: see [Returns]. It
// is for primitives of which that is asked.
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

// Add adds the series of one more attacker.
func (u *Union) Add(s *Series, attacker string) {
	u.count += s.Count
	for i := range s.Entries {
		u.insert(s.Entries[i], attacker)
		u.see(s.Entries[i].Value, s.Entries[i].TS)
	}
	for i := range s.Gone {
		u.see(s.Gone[i].Value, s.Gone[i].TS)
	}
}

// Taken brings the union up to date with what the series of an attacker, which
// is part of it, did with an observation: entry was given to Series.Take, and
// the rest is what that answered. It reports whether the union can still be
// concluded from.
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
		u.see(entry.Value, entry.TS)
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
	if u.kind == Hash && (next.TS < left.TS || !bytes.Equal(next.Value, left.Value)) {
		return false // when its old value was seen last, only the series know
	}
	u.see(next.Value, next.TS)
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

// see notes when a HASH value was seen last. Values that have left the window
// are forgotten now and then: the window never goes back without the union
// being built again.
func (u *Union) see(v Value, ts float64) {
	if u.kind != Hash || bytes.Equal(v, Null) {
		return
	}
	if last, known := u.seen[string(v)]; !known || ts > last {
		u.seen[string(v)] = ts
	}
	if n := len(u.tail); len(u.seen) > 64 && len(u.seen)&(len(u.seen)-1) == 0 && n > 0 {
		from := u.tail[n-1].TS - u.t.HashWindow
		for v, ts := range u.seen {
			if ts < from {
				delete(u.seen, v)
			}
		}
	}
}
