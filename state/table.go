package state

import (
	"bytes"
	"hash/maphash"
	"slices"
)

// presence is what is known about a key in the committed state.
type presence uint8

const (
	unknown presence = iota
	absent
	present
)

// entry is one key that is known here, because it was read or written.
type entry struct {
	key  buffer // the database key: head and the task's key
	val  buffer // the value, if it exists
	hash uint32 // of the task's key
	edit int32  // the transaction in hand has changed it: its place in edits, plus 1

	committed presence // in the committed state
	exists    bool     // now
	held      bool     // the committed state is not in the database yet
	grouped   bool     // in a group
	asked     bool     // since the hand of the clock was here last
	dead      bool     // a slot without an entry
}

// edit is what has to be remembered of a change until it is committed.
type edit struct {
	entry int32  // -1: undone
	gen   uint64 // the savepoint after which it was last made
	base  buffer // the committed value, if there is one

	// At the savepoint:
	changed, existed bool
	prev             buffer // the value, if changed and existed
}

// entrySize is roughly what an entry takes besides its key and its value: the
// entry itself, its share of the index, and of lists.
const entrySize = 64

// table is what a transaction remembers: the keys it changed; those whose
// committed value is held back from the database; and those it has read, which
// spares reading them again, and tells a delete of a key that the committed
// state has from one that only this transaction knew.
//
// Undoing a record must cost nothing when there is nothing to undo, so a
// savepoint is a number: an edit whose gen is older keeps the value that it had
// when it is made again after the savepoint, and is listed in undo.
type table struct {
	head    head
	seed    maphash.Seed
	index   []uint32 // open addressing by hash: numbers of entries plus 1; a power of two
	entries []entry
	slots   []int32 // dead entries
	arena   arena

	gen   uint64 // the current savepoint; above every edit's when it is made
	edits []edit // in the order in which keys were first changed
	undo  []int32

	changes int // keys to be written
	bytes   int // their keys and values

	held []int32 // entries that are held
	hand int     // of the clock that goes round entries

	groups map[byte]*group // by the first byte of the task's key; 0 for the empty key too
	fresh  []int32         // scratch of sort
	scans  int             // scans under way: they hold values of entries
	limbo  []buffer        // to be released when there are none
}

// group is the entries that are, or were lately, changed or held, whose keys
// begin with one byte: what a scan has to look at. Keys of a kind that nobody
// scans are never sorted.
type group struct {
	order  []int32
	sorted int // so many of order are sorted by key
}

// keptEntries bounds what a table keeps allocated for its next use.
const keptEntries = 1 << 16

func (o *table) init(h head) {
	o.head = h
	o.seed = maphash.MakeSeed()
	o.groups = make(map[byte]*group)
	o.gen = 1
}

func (o *table) key(e *entry) []byte  { return o.arena.bytes(e.key) }
func (o *table) name(e *entry) []byte { return o.arena.bytes(e.key)[headLen:] }

// read returns the entry's value as Get does: nil if there is none.
func (o *table) read(e *entry) []byte {
	if !e.exists {
		return nil
	}
	return o.arena.bytes(e.val)
}

// size is roughly the memory in use, in bytes.
func (o *table) size() int { return o.arena.size + len(o.entries)*entrySize }

func (o *table) hash(key []byte) uint32 { return uint32(maphash.Bytes(o.seed, key)) }

// lookup returns the entry of a key, or nil. It is valid until the next change.
func (o *table) lookup(key []byte) *entry {
	if i := o.find(key, o.hash(key)); i >= 0 {
		e := &o.entries[i]
		e.asked = true
		return e
	}
	return nil
}

// find returns the number of a key's entry, or -1.
func (o *table) find(key []byte, hash uint32) int {
	if len(o.index) == 0 {
		return -1
	}
	mask := uint32(len(o.index) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		n := o.index[at]
		if n == 0 {
			return -1
		}
		if e := &o.entries[n-1]; e.hash == hash && bytes.Equal(o.name(e), key) {
			return int(n - 1)
		}
	}
}

// add makes an entry for a key that has none, and returns its number.
func (o *table) add(key []byte, hash uint32) int {
	if 2*len(o.entries) >= len(o.index) {
		o.grow()
	}
	k := o.arena.alloc(headLen + len(key))
	b := o.arena.bytes(k)
	copy(b, o.head[:])
	copy(b[headLen:], key)
	e := entry{key: k, hash: hash, asked: true}
	i := len(o.entries)
	if n := len(o.slots); n > 0 {
		i = int(o.slots[n-1])
		o.slots = o.slots[:n-1]
		o.entries[i] = e
	} else {
		o.entries = append(o.entries, e)
	}
	o.place(i)
	return i
}

// place brings an entry into the index.
func (o *table) place(i int) {
	mask := uint32(len(o.index) - 1)
	at := o.entries[i].hash & mask
	for o.index[at] != 0 {
		at = (at + 1) & mask
	}
	o.index[at] = uint32(i + 1)
}

func (o *table) grow() {
	o.index = make([]uint32, max(1<<8, 2*len(o.index)))
	for i := range o.entries {
		if !o.entries[i].dead {
			o.place(i)
		}
	}
}

// remove forgets an entry that is neither changed nor held, nor in a group.
func (o *table) remove(i int) {
	e := &o.entries[i]
	mask := uint32(len(o.index) - 1)
	hole := e.hash & mask
	for o.index[hole] != uint32(i+1) {
		hole = (hole + 1) & mask
	}
	// What was placed behind the hole because it was taken moves up.
	for at := (hole + 1) & mask; o.index[at] != 0; at = (at + 1) & mask {
		if home := o.entries[o.index[at]-1].hash & mask; (at-home)&mask >= (at-hole)&mask {
			o.index[hole], hole = o.index[at], at
		}
	}
	o.index[hole] = 0
	o.release(e.key)
	o.release(e.val)
	*e = entry{dead: true}
	o.slots = append(o.slots, int32(i))
}

// evict forgets entries that were not asked for lately, until the table is no
// larger than size or the hand has been round twice.
func (o *table) evict(size int) {
	for n := 2 * len(o.entries); n > 0 && o.arena.size+(len(o.entries)-len(o.slots))*entrySize > size; n-- {
		if o.hand++; o.hand >= len(o.entries) {
			o.hand = 0
		}
		switch e := &o.entries[o.hand]; {
		case e.dead || e.held || e.grouped || e.edit != 0:
		case e.asked:
			e.asked = false
		default:
			o.remove(o.hand)
		}
	}
}

// release gives a buffer back, once no scan can be looking at it.
func (o *table) release(b buffer) {
	if b.class == 0 {
		return
	}
	if o.scans > 0 {
		o.limbo = append(o.limbo, b)
		return
	}
	o.arena.release(b)
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

// remember notes what the committed state has for a key that has no entry.
func (o *table) remember(key, val []byte, exists bool) *entry {
	e := &o.entries[o.add(key, o.hash(key))]
	e.committed = absent
	if exists {
		e.committed, e.exists = present, true
		o.store(&e.val, val)
	}
	return e
}

func (o *table) put(key, val []byte) {
	e := o.change(key)
	o.store(&e.val, val)
	e.exists = true
	o.count(e, 1)
}

func (o *table) delete(key []byte) {
	e := o.change(key)
	o.release(e.val)
	e.val, e.exists = buffer{}, false
	o.count(e, 1)
}

// change returns the entry of a key, ready to be given another value: its old
// value is safe if it will be needed, its val is room, and it is not counted.
func (o *table) change(key []byte) *entry {
	hash := o.hash(key)
	i := o.find(key, hash)
	if i < 0 {
		i = o.add(key, hash)
	}
	e := &o.entries[i]
	e.asked = true
	if e.edit == 0 {
		o.edits = append(o.edits, edit{entry: int32(i), gen: o.gen, base: e.val, existed: e.exists})
		e.edit, e.val = int32(len(o.edits)), buffer{}
		o.undo = append(o.undo, e.edit-1)
		if !e.grouped {
			e.grouped = true
			g := o.group(key)
			g.order = append(g.order, int32(i))
		}
		return e
	}
	o.count(e, -1)
	if d := &o.edits[e.edit-1]; d.gen != o.gen {
		o.release(d.prev)
		d.gen, d.changed, d.existed, d.prev = o.gen, true, e.exists, e.val
		e.val = buffer{}
		o.undo = append(o.undo, e.edit-1)
	}
	return e
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

// store puts val into a buffer, or into another if it does not fit.
func (o *table) store(room *buffer, val []byte) {
	// A scan under way may still have to yield what is in room.
	if !room.fits(len(val)) || o.scans > 0 {
		o.release(*room)
		*room = o.arena.alloc(len(val))
	}
	room.len = uint32(len(val))
	copy(o.arena.bytes(*room), val)
}

// count adds an entry to the totals, sign times.
func (o *table) count(e *entry, sign int) {
	if !e.pending() {
		return
	}
	o.changes += sign
	o.bytes += sign * (int(e.key.len) - headLen + int(e.val.len))
}

// pending reports whether the entry must be written. The delete of a key that
// the committed state is known not to have need not.
func (e *entry) pending() bool {
	return e.edit != 0 && (e.exists || e.committed != absent)
}

func (o *table) savepoint() {
	o.gen++
	o.undo = o.undo[:0]
}

// rollback goes back to the savepoint.
func (o *table) rollback() {
	lost := false
	for _, n := range o.undo {
		d := &o.edits[n]
		e := &o.entries[d.entry]
		o.count(e, -1)
		if !d.changed {
			lost = o.uncommit(d) || lost
			d.entry = -1
			continue
		}
		o.release(e.val)
		e.val, e.exists, d.prev = d.prev, d.existed, buffer{}
		o.count(e, 1)
	}
	if lost {
		o.forgetUnknown()
	}
	o.savepoint()
}

// uncommit gives an edit's entry its committed value back, and reports whether
// that is not known.
func (o *table) uncommit(d *edit) (lost bool) {
	e := &o.entries[d.entry]
	o.release(e.val)
	o.release(d.prev)
	e.val, e.exists, e.edit = d.base, e.committed == present, 0
	return e.committed == unknown
}

// forgetUnknown removes the entries that say nothing: keys that were written
// without having been read, and are written no more.
func (o *table) forgetUnknown() {
	for _, g := range o.groups {
		n, sorted := 0, g.sorted
		for at, i := range g.order {
			if e := &o.entries[i]; e.committed == unknown && e.edit == 0 {
				if at < sorted {
					g.sorted--
				}
				o.remove(int(i))
				continue
			}
			g.order[n] = i
			n++
		}
		g.order = g.order[:n]
	}
}

// settle makes what was changed the committed state. What has to be written to
// the database is held from then on.
func (o *table) settle() {
	for n := range o.edits {
		d := &o.edits[n]
		if d.entry < 0 {
			continue
		}
		e := &o.entries[d.entry]
		if e.pending() && !e.held {
			e.held = true
			o.held = append(o.held, d.entry)
		}
		if e.committed = absent; e.exists {
			e.committed = present
		}
		e.edit = 0
		o.release(d.base)
		o.release(d.prev)
	}
	o.settled()
}

// undoAll goes back to the committed state.
func (o *table) undoAll() {
	lost := false
	for n := range o.edits {
		if d := &o.edits[n]; d.entry >= 0 {
			lost = o.uncommit(d) || lost
		}
	}
	if lost {
		o.forgetUnknown()
	}
	o.settled()
}

// settled begins anew with nothing changed.
func (o *table) settled() {
	o.edits = o.edits[:0]
	o.changes, o.bytes = 0, 0
	o.savepoint()
}

// eachHeld yields the entries that are held.
func (o *table) eachHeld(yield func(e *entry)) {
	for _, i := range o.held {
		yield(&o.entries[i])
	}
}

// written notes that the database has everything. Nothing may be changed.
func (o *table) written() {
	for _, i := range o.held {
		o.entries[i].held = false
	}
	o.held = o.held[:0]
	for _, g := range o.groups {
		for _, i := range g.order {
			o.entries[i].grouped = false
		}
		g.order, g.sorted = g.order[:0], 0
	}
}

// reset forgets everything.
func (o *table) reset() {
	if len(o.entries) > keptEntries {
		*o = table{head: o.head, seed: o.seed, arena: o.arena, gen: o.gen, groups: make(map[byte]*group)}
	} else {
		clear(o.index)
		o.entries, o.slots, o.held, o.limbo = o.entries[:0], o.slots[:0], o.held[:0], o.limbo[:0]
		for _, g := range o.groups {
			g.order, g.sorted = g.order[:0], 0
		}
	}
	o.hand = 0
	o.arena.reset()
	o.settled()
}

// sort brings a group into order. Only scans need it, so keys are not kept in
// order as they come; the few that came since the last scan are moved in.
func (o *table) sort(g *group) {
	sorted := g.sorted
	if sorted == len(g.order) {
		return
	}
	g.sorted = len(g.order)
	o.fresh = append(o.fresh[:0], g.order[sorted:]...)
	fresh := o.fresh
	slices.SortFunc(fresh, func(a, b int32) int {
		return bytes.Compare(o.key(&o.entries[a]), o.key(&o.entries[b]))
	})
	// From the highest to the lowest, so that every block of what was sorted
	// before moves once.
	hi := sorted
	for n := len(fresh); n > 0; n-- {
		at := o.search(g.order[:hi], o.key(&o.entries[fresh[n-1]]))
		copy(g.order[at+n:], g.order[at:hi])
		g.order[at+n-1] = fresh[n-1]
		hi = at
	}
}

// search returns where in the sorted list the first key not below key is.
func (o *table) search(list []int32, key []byte) int {
	at, _ := slices.BinarySearchFunc(list, key, func(i int32, key []byte) int {
		return bytes.Compare(o.key(&o.entries[i]), key)
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
	if o.changes == 0 && len(o.held) == 0 {
		return list
	}
	from := len(list)
	for first, g := range o.groups {
		if len(prefix) > 0 && first != prefix[0] {
			continue
		}
		o.sort(g)
		for _, i := range g.order[o.search(g.order, lower):] {
			e := &o.entries[i]
			key := o.key(e)
			if bytes.Compare(key, upper) >= 0 {
				break
			}
			if e.pending() || e.held {
				list = append(list, change{key: key, val: o.arena.bytes(e.val), exists: e.exists})
			}
		}
	}
	if len(prefix) == 0 {
		slices.SortFunc(list[from:], func(a, b change) int { return bytes.Compare(a.key, b.key) })
	}
	return list
}
