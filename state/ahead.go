package state

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// Ahead reads groups of keys that transactions will ask for, on a goroutine of its
// own, while the transactions' goroutine works on what it has. It is for a state that
// is larger than the caches: a worker that waits for reads, and decompresses blocks,
// does so on one core only.
//
// What it reads is the committed state, so it is for a turn: Add, Start, then the
// transactions ask, then Stop, and no Commit in between. A transaction takes what is
// ready and reads the rest itself; it gets the same either way. All methods are for
// the goroutine of the transactions.
type Ahead struct {
	s    *Store
	seed maphash.Seed

	keys  []byte // of all groups, as the database has them
	slots []aheadSlot
	index []uint32 // by hash: the number of a slot, plus 1

	at      atomic.Int64 // the slot that was asked for last
	buf     []byte       // what was read, or the end of it
	skip    int          // turns to come without reading ahead
	used    int          // slots of this turn that were asked for
	started bool
	stop    atomic.Bool
	done    chan struct{}
}

// aheadSlot is one group.
type aheadSlot struct {
	state atomic.Uint32
	data  []byte // see appendGroup
	whole bool   // no key of the group is missing
}

// States of a slot.
const (
	aheadFree   = iota // nobody has begun with it
	aheadTaken         // somebody has
	aheadRead          // data and whole are there
	aheadFailed        // the transaction reads it and gets the error
)

const (
	aheadKeyLen = headLen + groupLen
	// minAhead is how many groups a turn has for it to be worth while.
	minAhead = 32
	// aheadLead is how many groups the reader stays in front of the transaction, so
	// that both do not read the same one.
	aheadLead = 4
	// maxAheadBytes is how much is read ahead of a turn.
	maxAheadBytes = 8 << 20
	// aheadPause is how many turns are not read ahead after one that found most of
	// it in the transactions' memory.
	aheadPause = 15
)

// NewAhead returns an Ahead that has nothing to read.
func (s *Store) NewAhead() *Ahead { return &Ahead{s: s, seed: maphash.MakeSeed()} }

// Worthwhile reports whether a turn of a number of records should be read ahead, by
// how many groups the transactions had to read in the last one.
func (a *Ahead) Worthwhile(records, loads int) bool {
	if a.skip > 0 {
		a.skip--
		return false
	}
	return records >= minAhead && loads*16 >= records
}

// Add notes that t will ask for keys that begin with prefix. Prefixes that are not of
// a group are left out.
func (a *Ahead) Add(t *Txn, prefix []byte) {
	if a.started {
		panic("state: Ahead.Add called between Start and Stop")
	}
	if len(prefix) != groupLen || !grouped(prefix) || t.p.s != a.s {
		return
	}
	t.asked = append(t.asked[:headLen], prefix...)
	if 2*(len(a.slots)+1) > len(a.index) {
		a.grow()
	}
	at, found := a.find(t.asked)
	if found {
		return
	}
	t.ahead = a
	a.keys = append(a.keys, t.asked...)
	if len(a.slots) < cap(a.slots) {
		a.slots = a.slots[:len(a.slots)+1]
		n := &a.slots[len(a.slots)-1]
		n.state.Store(aheadFree)
		n.data, n.whole = nil, false
	} else {
		a.slots = append(a.slots, aheadSlot{})
	}
	a.index[at] = uint32(len(a.slots))
}

func (a *Ahead) key(i int) []byte { return a.keys[i*aheadKeyLen : (i+1)*aheadKeyLen] }

// find returns the place of a key in the index, and whether it is there.
func (a *Ahead) find(key []byte) (at uint32, found bool) {
	mask := uint32(len(a.index) - 1)
	for at = uint32(maphash.Bytes(a.seed, key)) & mask; ; at = (at + 1) & mask {
		n := a.index[at]
		if n == 0 {
			return at, false
		}
		if bytes.Equal(a.key(int(n-1)), key) {
			return at, true
		}
	}
}

func (a *Ahead) grow() {
	a.index = make([]uint32, max(256, 2*len(a.index)))
	for i := range a.slots {
		at, _ := a.find(a.key(i))
		a.index[at] = uint32(i + 1)
	}
}

// Start begins to read. The transactions must have read nothing since their last
// Commit or Discard that Commit has not written.
func (a *Ahead) Start() {
	if len(a.slots) < minAhead {
		a.clear()
		return
	}
	a.started, a.used = true, 0
	a.at.Store(-1)
	a.stop.Store(false)
	a.done = make(chan struct{})
	go func() {
		defer close(a.done)
		a.read()
	}()
}

// Stop ends the reading and forgets what was read. The transactions read for
// themselves from then on.
func (a *Ahead) Stop() {
	if a.started {
		a.stop.Store(true)
		<-a.done
		a.started = false
		if 4*a.used < len(a.slots) {
			a.skip = aheadPause
		}
	}
	a.clear()
}

func (a *Ahead) clear() {
	a.keys, a.slots = a.keys[:0], a.slots[:0]
	clear(a.index)
}

// read reads the groups, in the order in which they were added.
func (a *Ahead) read() {
	it, err := a.s.db.NewIter(&pebble.IterOptions{UseL6Filters: true})
	if err != nil {
		return // whoever asks gets the error
	}
	defer func() { _ = it.Close() }() // likewise
	buf, total := a.buf[:0], 0
	for i := 0; i < len(a.slots) && total < maxAheadBytes && !a.stop.Load(); i++ {
		if i = max(i, int(a.at.Load())+aheadLead); i >= len(a.slots) {
			break
		}
		n := &a.slots[i]
		if !n.state.CompareAndSwap(aheadFree, aheadTaken) {
			continue
		}
		from, ok := len(buf), false
		if buf, n.whole, ok = appendGroup(buf, it, a.key(i)); !ok {
			n.state.Store(aheadFailed)
			continue
		}
		n.data = buf[from:len(buf):len(buf)]
		total += len(n.data)
		n.state.Store(aheadRead)
	}
	a.buf = buf
}

// appendGroup appends the keys of a group and their values, up to maxFirst of them:
// the length of a key, that of its value, and both.
func appendGroup(buf []byte, it *pebble.Iterator, group []byte) (longer []byte, whole, ok bool) {
	keys := 0
	for valid := it.SeekPrefixGE(group); valid; valid = it.Next() {
		if keys++; keys > maxFirst {
			return buf, false, true
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return buf, false, false
		}
		key := it.Key()[headLen:]
		buf = binary.LittleEndian.AppendUint32(buf, uint32(len(key)))
		buf = binary.LittleEndian.AppendUint32(buf, uint32(len(v)))
		buf = append(append(buf, key...), v...)
	}
	return buf, true, it.Error() == nil
}

// cutRead takes a key and its value off the front of what appendGroup appended.
func cutRead(data []byte) (key, value, rest []byte) {
	const head = 8
	k := head + int(binary.LittleEndian.Uint32(data))
	v := k + int(binary.LittleEndian.Uint32(data[4:]))
	return data[head:k], data[k:v], data[v:]
}

// take returns what was read of a group, given as the database has it. If ok is false
// nothing was, and the caller has to read it.
func (a *Ahead) take(group []byte) (data []byte, whole, ok bool) {
	if a == nil || !a.started {
		return nil, false, false
	}
	at, found := a.find(group)
	if !found {
		return nil, false, false
	}
	i := int(a.index[at] - 1)
	n := &a.slots[i]
	a.used++
	a.at.Store(int64(i))
	if n.state.Load() == aheadRead {
		return n.data, n.whole, true
	}
	n.state.CompareAndSwap(aheadFree, aheadTaken)
	return nil, false, false
}
