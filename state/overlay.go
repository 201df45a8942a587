package state

import (
	"bytes"
	"slices"
	"unsafe"
)

// presence is what is known about a key in the committed state.
type presence uint8

const (
	unknown presence = iota
	absent
	present
)

// entry is one key that the transaction has read or written.
type entry struct {
	key  []byte // the database key: head and the task's key
	val  []byte // the value, if it exists
	prev []byte // if changed since the savepoint: the value before; else spare room

	// gen is the savepoint after which the entry was made or last changed.
	gen uint64

	base     presence // in the committed state
	now, was value    // now, and at the savepoint
}

// value is what an entry says of its key's value.
type value struct {
	exists  bool
	changed bool // by this transaction; false: read only
}

// overlay is the memory of a transaction: every key it wrote, and those it
// read, which spares reading them again and tells a delete of a key that the
// committed state has from one that only this transaction knew.
//
// Undoing a record must cost nothing when there is nothing to undo, so a
// savepoint is a number: an entry whose gen is older keeps the value it had in
// prev when it is first changed after the savepoint, and is listed in undo.
// The two buffers of an entry take turns, so that a key written by every
// record of a batch does not fill the arena.
type overlay struct {
	head    head
	index   map[string]int32 // the task's key (a part of entry.key) to entries
	entries []entry
	arena   arena

	gen  uint64  // the current savepoint; above every entry's when it is made
	mark int     // len(entries) at the savepoint
	undo []int32 // entries below mark that changed since the savepoint

	changes int // keys to be written
	bytes   int // their keys and values

	order []int32 // the first len(order) entries, sorted by key
	fresh []int32 // scratch of sort
	scans int     // scans under way: they hold values of entries
}

// keptEntries bounds what an overlay keeps allocated for its next use.
const keptEntries = 1 << 16

func (o *overlay) init(h head) {
	o.head = h
	o.index = make(map[string]int32)
	o.gen = 1
}

// lookup returns the entry of a key, or nil. It is valid until the next change.
func (o *overlay) lookup(key []byte) *entry {
	if i, ok := o.index[string(key)]; ok {
		return &o.entries[i]
	}
	return nil
}

// add makes an entry for a key that has none.
func (o *overlay) add(key []byte) *entry {
	k := o.arena.alloc(headLen+len(key), headLen+len(key))
	copy(k, o.head[:])
	copy(k[headLen:], key)
	// The map's key shares the arena's bytes, which nobody writes to as long as
	// the map has it.
	o.index[unsafe.String(unsafe.SliceData(k[headLen:]), len(key))] = int32(len(o.entries))
	o.entries = append(o.entries, entry{key: k, gen: o.gen})
	return &o.entries[len(o.entries)-1]
}

// remember notes what the committed state has for a key that has no entry.
func (o *overlay) remember(key, val []byte, exists bool) *entry {
	e := o.add(key)
	e.base = absent
	if exists {
		e.base = present
		e.now.exists = true
		e.val = o.store(nil, val)
	}
	return e
}

func (o *overlay) put(key, val []byte) {
	e := o.change(key)
	e.val = o.store(e.val, val)
	e.now = value{exists: true, changed: true}
	o.count(e, 1)
}

func (o *overlay) delete(key []byte) {
	e := o.change(key)
	e.val = e.val[:0]
	e.now = value{exists: false, changed: true}
	o.count(e, 1)
}

// change returns the entry of a key, ready to be given another value: its old
// value is safe if it will be needed, its val is room, and it is not counted.
func (o *overlay) change(key []byte) *entry {
	i, ok := o.index[string(key)]
	if !ok {
		return o.add(key)
	}
	e := &o.entries[i]
	o.count(e, -1)
	if e.gen != o.gen {
		e.gen = o.gen
		e.was = e.now
		e.val, e.prev = e.prev, e.val
		if int(i) < o.mark {
			o.undo = append(o.undo, i)
		}
	}
	return e
}

// store copies val into room, or into new room if it is too small.
func (o *overlay) store(room, val []byte) []byte {
	// A scan under way may still have to yield what is in room.
	if cap(room) < len(val) || room == nil || o.scans > 0 {
		// Some more than needed: most values grow.
		room = o.arena.alloc(len(val), len(val)+len(val)/4+8)
	}
	room = room[:len(val)]
	copy(room, val)
	return room
}

// count adds an entry to the totals, sign times.
func (o *overlay) count(e *entry, sign int) {
	if !e.pending() {
		return
	}
	o.changes += sign
	n := len(e.key) - headLen
	if e.now.exists {
		n += len(e.val)
	}
	o.bytes += sign * n
}

// pending reports whether the entry must be written. The delete of a key that
// the committed state is known not to have need not.
func (e *entry) pending() bool {
	return e.now.changed && (e.now.exists || e.base != absent)
}

func (o *overlay) savepoint() {
	o.gen++
	o.mark = len(o.entries)
	o.undo = o.undo[:0]
}

func (o *overlay) rollback() {
	for _, i := range o.undo {
		e := &o.entries[i]
		o.count(e, -1)
		e.val, e.prev = e.prev, e.val
		e.now = e.was
		o.count(e, 1)
	}
	for i := o.mark; i < len(o.entries); i++ {
		e := &o.entries[i]
		o.count(e, -1)
		delete(o.index, string(e.key[headLen:]))
	}
	if len(o.order) > o.mark {
		o.order = slices.DeleteFunc(o.order, func(i int32) bool { return int(i) >= o.mark })
	}
	clear(o.entries[o.mark:])
	o.entries = o.entries[:o.mark]
	o.savepoint()
}

func (o *overlay) reset() {
	if len(o.entries) > keptEntries {
		o.index = make(map[string]int32)
		o.entries, o.order, o.fresh, o.undo = nil, nil, nil, nil
	} else {
		clear(o.index)
		clear(o.entries)
		o.entries, o.order = o.entries[:0], o.order[:0]
	}
	o.arena.reset()
	o.changes, o.bytes = 0, 0
	o.gen = 0
	o.savepoint()
}

// sort brings order up to date. Only scans need it, so keys are not kept in
// order as they come; the few that came since the last scan are moved in.
func (o *overlay) sort() {
	sorted, total := len(o.order), len(o.entries)
	if sorted == total {
		return
	}
	for i := sorted; i < total; i++ {
		o.order = append(o.order, int32(i))
	}
	o.fresh = append(o.fresh[:0], o.order[sorted:]...)
	fresh := o.fresh
	slices.SortFunc(fresh, func(a, b int32) int {
		return bytes.Compare(o.entries[a].key, o.entries[b].key)
	})
	// From the highest to the lowest, so that every block of what was sorted
	// before moves once.
	hi := sorted
	for n := len(fresh); n > 0; n-- {
		at := o.search(o.order[:hi], o.entries[fresh[n-1]].key)
		copy(o.order[at+n:], o.order[at:hi])
		o.order[at+n-1] = fresh[n-1]
		hi = at
	}
}

// search returns where in the sorted list the first key not below key is.
func (o *overlay) search(list []int32, key []byte) int {
	at, _ := slices.BinarySearchFunc(list, key, func(i int32, key []byte) int {
		return bytes.Compare(o.entries[i].key, key)
	})
	return at
}

// change is one key's change as a scan found it at its start.
type change struct {
	key, val []byte // key with the head
	exists   bool
}

// appendChanges appends the changes in the range of database keys from lower
// to upper, which it does not include, in the order of the keys. They stay as
// they are while o.scans counts the caller.
func (o *overlay) appendChanges(list []change, lower, upper []byte) []change {
	if o.changes == 0 {
		return list
	}
	o.sort()
	for _, i := range o.order[o.search(o.order, lower):] {
		e := &o.entries[i]
		if bytes.Compare(e.key, upper) >= 0 {
			break
		}
		if e.pending() {
			list = append(list, change{key: e.key, val: e.val, exists: e.now.exists})
		}
	}
	return list
}
