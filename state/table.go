package state

import (
	"bytes"
	"hash/maphash"
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

// entry is one key that is known here, because it was read or written.
type entry struct {
	key  buffer // the database key: head and the task's key
	val  buffer // the value, if it exists
	hash uint32 // of the task's key; of a dead entry, the next one plus 1
	edit int32  // the open transaction has changed it: its place in edits, plus 1

	committed presence // in the committed state
	exists    bool     // now
	held      bool     // the committed state is not in the database yet, nor on its way
	flying    bool     // it is on its way, with these very buffers
	grouped   bool     // in a group
	asked     bool     // since the hand of the clock was here last
	marked    bool     // by Mark, in the open transaction
	dead      bool     // a place without an entry
}

// entrySize is roughly what an entry takes besides its key and its value: the
// entry itself, four places of the index at most, and one each of held and of a
// group.
const entrySize = int(unsafe.Sizeof(entry{})) + 4*placeSize + 2*4

// table is what a transaction remembers: the keys it changed; those whose
// committed value is held back from the database; and those it has read, which
// spares reading them again, and tells a delete of a key that the committed
// state has from one that only this transaction knew.
//
// Undoing a record must cost nothing when there is nothing to undo, so a
// savepoint is a number: an edit whose gen is older keeps the value that it had
// when it is made again after the savepoint, and is listed in undo. Values that the
// transaction can do without, or can read from the database again, are released at
// the next savepoint.
type table struct {
	head    head
	seed    maphash.Seed
	index   []uint32
	entries list[entry]
	dead    uint32 // the first dead entry, plus 1
	live    int    // entries that are not dead
	recent  int    // the entry that was found or made last, plus 1: what is read is often written at once
	arena   arena

	gen   uint64     // the current savepoint; above every edit's when it is made
	edits list[edit] // in the order in which keys were first changed
	undo  []int32

	changes int // keys to be written
	bytes   int // their keys and values

	held   []int32  // entries that are held
	flying []int32  // entries that were when a flush began that has not ended; some are held again
	pinned []buffer // of flying entries that have other values now: to be released when it has ended
	hand   int      // of the clock over entries
	ends   int      // bytes that were not in use after the last compact

	groups map[byte]*group // by the first byte of the task's key; 0 for the empty key too
	fresh  []freshKey      // scratch of sort
	scans  int             // scans under way: they hold values of entries
	limbo  []buffer        // to be released when there are none
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
func (o *table) size() int { return o.arena.size + o.live*entrySize }

// toWrite is roughly the memory of the rows of a flush that is under way, and of the rows
// that the next one will have, in bytes.
func (o *table) toWrite() int { return heldSize * (len(o.held) + len(o.flying)) }

func (o *table) hash(key []byte) uint32 { return uint32(maphash.Bytes(o.seed, key)) }

// lookup returns the entry of a key, or nil. It is valid until the next change.
func (o *table) lookup(key []byte) *entry {
	if i, _ := o.seek(key); i >= 0 {
		e := o.entries.at(i)
		e.asked = true
		return e
	}
	return nil
}

// seek returns the number of a key's entry, or -1, and the hash of the key.
func (o *table) seek(key []byte) (i int, hash uint32) {
	if o.recent > 0 {
		if e := o.entries.at(o.recent - 1); !e.dead && bytes.Equal(o.name(e), key) {
			return o.recent - 1, e.hash
		}
	}
	hash = o.hash(key)
	if i = o.find(key, hash); i >= 0 {
		o.recent = i + 1
	}
	return i, hash
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
		if (n^hash)&^mask != 0 {
			continue // see placed
		}
		i := int(n&mask) - 1
		if e := o.entries.at(i); e.hash == hash && bytes.Equal(o.name(e), key) {
			return i
		}
	}
}

// add makes an entry for a key that has none, and returns its number.
func (o *table) add(key []byte, hash uint32) int {
	if 2*o.live >= len(o.index) {
		o.grow()
	}
	k := o.arena.alloc(headLen + len(key))
	b := o.arena.bytes(k)
	copy(b, o.head[:])
	copy(b[headLen:], key)
	e := entry{key: k, hash: hash, asked: true}
	i := o.entries.len()
	if o.dead != 0 {
		i = int(o.dead - 1)
		was := o.entries.at(i)
		o.dead, *was = was.hash, e
	} else {
		o.entries.push(e)
	}
	o.live++
	o.place(i)
	o.recent = i + 1
	return i
}

// place brings an entry into the index.
func (o *table) place(i int) {
	mask := uint32(len(o.index) - 1)
	hash := o.entries.at(i).hash
	at := hash & mask
	for o.index[at] != 0 {
		at = (at + 1) & mask
	}
	o.index[at] = placed(i, hash, len(o.index))
}

func (o *table) grow() {
	places := max(minPlaces, 2*len(o.index))
	old := o.index
	o.index = nil // before its memory goes: the collector knows no such address
	freeIndex(old)
	o.index = newIndex(places)
	for i := range o.entries.len() {
		if !o.entries.at(i).dead {
			o.place(i)
		}
	}
}

// remove forgets an entry that is neither changed, held nor flying, nor in a group.
func (o *table) remove(i int) {
	e := o.entries.at(i)
	mask := uint32(len(o.index) - 1)
	hole := e.hash & mask
	for o.index[hole]&mask != uint32(i+1) {
		hole = (hole + 1) & mask
	}
	// What was placed behind the hole because it was taken moves up.
	for at := (hole + 1) & mask; o.index[at] != 0; at = (at + 1) & mask {
		if home := o.entries.at(int(o.index[at]&mask)-1).hash & mask; (at-home)&mask >= (at-hole)&mask {
			o.index[hole], hole = o.index[at], at
		}
	}
	o.index[hole] = 0
	o.release(e.key)
	o.release(e.val)
	*e = entry{dead: true, hash: o.dead}
	o.dead = uint32(i + 1)
	o.live--
}

// evict forgets entries that were not asked for lately, until the table is no
// larger than size or the hand has been round twice.
func (o *table) evict(size int) {
	for n := 2 * o.entries.len(); n > 0 && o.size() > size; n-- {
		if o.hand++; o.hand >= o.entries.len() {
			o.hand = 0
		}
		switch e := o.entries.at(o.hand); {
		case e.dead || e.held || e.flying || e.grouped || e.edit != 0:
		case e.asked:
			e.asked = false
		default:
			o.remove(o.hand)
		}
	}
}

// compact moves all buffers together if a quarter as much as is in use lies in
// buffers that were given back: they are of the sizes that were wanted then, and
// rows grow. What moving them did not free the last time is not counted: the ends
// of chunks that large buffers leave. Nothing may be changed and not settled, and
// no scan be under way. While a flush is under way nothing moves.
func (o *table) compact() {
	if len(o.flying) > 0 || o.arena.total-o.arena.size <= o.ends+o.arena.size/4+4*chunkSize {
		return
	}
	// Chunk by chunk, so that each can be used again as soon as it has been
	// emptied, and not all of them are there twice.
	var moves mover
	moves.init(len(o.arena.list), o.buffers)
	old := o.arena
	o.arena = arena{}
	for at := range old.list {
		for _, n := range moves.of(at) {
			e := o.entries.at(int(n / 2))
			b := &e.key
			if n%2 == 1 {
				b = &e.val
			}
			*b = o.arena.take(&old, *b)
		}
		old.drop(at)
	}
	o.ends = o.arena.total - o.arena.size
}

// buffers yields every buffer that is in use, with the number of its entry times
// two, and one more for a value.
func (o *table) buffers(yield func(n uint32, b buffer)) {
	for i := range o.entries.len() {
		if e := o.entries.at(i); !e.dead {
			yield(uint32(2*i), e.key)
			if e.val.len > 0 {
				yield(uint32(2*i+1), e.val)
			}
		}
	}
}

// mover sorts buffers by their chunks.
type mover struct {
	from []uint32 // by chunk: where in list its buffers begin
	list []uint32
}

func (m *mover) init(chunks int, each func(yield func(n uint32, b buffer))) {
	m.from = make([]uint32, chunks+1)
	total := uint32(0)
	each(func(_ uint32, b buffer) {
		m.from[b.at>>chunkBits]++
		total++
	})
	m.list = make([]uint32, total)
	for at := len(m.from) - 1; at >= 0; at-- {
		total -= m.from[at]
		m.from[at] = total
	}
	next := slices.Clone(m.from)
	each(func(n uint32, b buffer) {
		at := b.at >> chunkBits
		m.list[next[at]] = n
		next[at]++
	})
}

// of returns the buffers of a chunk.
func (m *mover) of(chunk int) []uint32 { return m.list[m.from[chunk]:m.from[chunk+1]] }

// release gives a buffer back, once no scan can be looking at it.
func (o *table) release(b buffer) {
	if b.len == 0 {
		return
	}
	if o.scans > 0 {
		o.limbo = append(o.limbo, b)
		return
	}
	o.arena.release(b)
}

// remember notes what the committed state has for a key that has no entry.
func (o *table) remember(key, val []byte, exists bool) *entry {
	e := o.entries.at(o.add(key, o.hash(key)))
	e.committed = absent
	if exists {
		e.committed, e.exists = present, true
		o.store(&e.val, val)
	}
	return e
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

// forgetClean forgets all that the database has, and gives back what that took. Nothing
// may be changed, and no flush or scan be under way.
func (o *table) forgetClean() {
	old := *o
	*o = table{head: o.head, seed: o.seed, gen: o.gen, groups: make(map[byte]*group)}
	for _, i := range old.held {
		from := old.entries.at(int(i))
		at := o.add(old.name(from), from.hash)
		e := o.entries.at(at)
		e.committed, e.exists, e.held, e.grouped = from.committed, from.exists, true, true
		o.store(&e.val, old.arena.bytes(from.val))
		o.held = append(o.held, int32(at))
		g := o.group(o.name(e))
		g.order = append(g.order, int32(at))
	}
	old.reset()
}

// reset forgets everything, and gives back all memory that the collector does
// not look after. No flush may be under way.
func (o *table) reset() {
	many := o.entries.len() > keptEntries
	index := o.index
	o.index = nil
	o.index = clearIndex(index)
	o.entries.reset()
	o.dead, o.live, o.recent = 0, 0, 0
	o.arena.reset()
	o.hand, o.ends = 0, 0
	o.clearEdits()
	if many {
		*o = table{head: o.head, seed: o.seed, gen: o.gen, groups: make(map[byte]*group)}
		return
	}
	o.held, o.flying, o.pinned, o.limbo = o.held[:0], o.flying[:0], o.pinned[:0], o.limbo[:0]
	for _, g := range o.groups {
		g.order, g.sorted = g.order[:0], 0
	}
}
