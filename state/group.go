package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// group is the entries that are, or were lately, changed, held or flying, whose keys
// begin with one byte: what a scan has to look at. Keys of a kind that nobody
// scans are never sorted.
type group struct {
	order  []int32
	sorted int // so many of order are sorted by key
}

// group returns the group that a key belongs to.
func (o *table) group(key []byte) *group {
	first := byte(0)
	if len(key) > 0 {
		first = key[0]
	}
	g := o.groups[first]
	if g == nil {
		g = new(group)
		o.groups[first] = g
	}
	return g
}

// scanned is told that a scan has ended.
func (o *table) scanned() {
	if o.scans--; o.scans == 0 {
		for _, b := range o.limbo {
			o.arena.release(b)
		}
		o.limbo = o.limbo[:0]
	}
}

// sort brings a group into order. Only scans need it, so keys are not kept in
// order as they come; the few that came since the last scan are moved in.
func (o *table) sort(g *group) {
	sorted := g.sorted
	if sorted == len(g.order) {
		return
	}
	g.sorted = len(g.order)
	fresh := slices.Grow(o.fresh[:0], len(g.order)-sorted)
	for _, i := range g.order[sorted:] {
		// The first byte after the head is that of the group.
		key := o.name(o.entries.at(int(i)))
		fresh = append(fresh, freshKey{firstBytes(key[min(1, len(key)):]), i})
	}
	order(fresh, func(a, b freshKey) int {
		if c := cmp.Compare(a.first, b.first); c != 0 {
			return c
		}
		return bytes.Compare(o.name(o.entries.at(int(a.entry))), o.name(o.entries.at(int(b.entry))))
	}, nil)
	// From the highest to the lowest, so that every block of what was sorted
	// before moves once.
	hi := sorted
	for n := len(fresh); n > 0; n-- {
		at := hi
		if hi > 0 {
			at = o.search(g.order[:hi], o.key(o.entries.at(int(fresh[n-1].entry))))
		}
		copy(g.order[at+n:], g.order[at:hi])
		g.order[at+n-1] = fresh[n-1].entry
		hi = at
	}
	if o.fresh = fresh; cap(fresh) > keptEntries {
		o.fresh = nil
	}
}

// freshKey is an entry that sort brings into its place. Keys lie all over the memory of
// the table, so what tells most of them apart is taken out first.
type freshKey struct {
	first uint64
	entry int32
}

// firstBytes returns the first 8 bytes of a key, as a number that is compared as they are.
func firstBytes(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var first [8]byte
	copy(first[:], key)
	return binary.BigEndian.Uint64(first[:])
}

// search returns where in the sorted list the first key not below key is.
func (o *table) search(list []int32, key []byte) int {
	at, _ := slices.BinarySearchFunc(list, key, func(i int32, key []byte) int {
		return bytes.Compare(o.key(o.entries.at(int(i))), key)
	})
	return at
}

// change is one key's change as a scan found it at its start.
type change struct {
	key, val []byte // key with the head
	exists   bool
}

// appendChanges appends what the database does not have of the keys that begin
// with prefix, from the database key lower to upper, which it does not include,
// in the order of the keys. They stay as they are while o.scans counts the
// caller.
func (o *table) appendChanges(list []change, prefix, lower, upper []byte) []change {
	if o.changes == 0 && len(o.held) == 0 && len(o.flying) == 0 {
		return list
	}
	from := len(list)
	for first, g := range o.groups {
		if len(prefix) > 0 && first != prefix[0] {
			continue
		}
		o.sort(g)
		for _, i := range g.order[o.search(g.order, lower):] {
			e := o.entries.at(int(i))
			key := o.key(e)
			if bytes.Compare(key, upper) >= 0 {
				break
			}
			if e.pending() || e.held || e.flying {
				list = append(list, change{key: key, val: o.arena.bytes(e.val), exists: e.exists})
			}
		}
	}
	if len(prefix) == 0 {
		slices.SortFunc(list[from:], func(a, b change) int { return bytes.Compare(a.key, b.key) })
	}
	return list
}
