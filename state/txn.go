package state

import (
	"bytes"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// cacheLimit is how much memory of its own a transaction may have, in bytes,
// before it stops remembering values that it only read.
const cacheLimit = 32 << 20

// maxTxnBytes leaves room for what a batch of Pebble, of at most 4 GiB, adds to
// the keys and values.
const maxTxnBytes = 2 << 30

var errTxnTooLarge = errors.New("transaction of more than 2 GiB: commit more often")

// Txn is what one batch of input does to a partition: changes in memory over
// the committed state. It reads its own writes; nobody else sees them before
// Commit.
//
// It belongs to one goroutine. After Commit and Discard it has no changes, reads
// what is committed then, and can be used again, with the memory it has.
//
// Keys and values may be empty; a value that is nil is an empty one.
type Txn struct {
	table
	p         *Partition
	writeBack *writeBack       // nil: a commit goes to the database at once
	asked     []byte           // scratch: the head, and the key last asked for
	value     []byte           // scratch: a value that is not remembered
	iter      *pebble.Iterator // of the last scan; sees the committed state
	rare      *pebble.Iterator // of reads of one key or group; likewise, and without bounds
	prefixes  map[string]prefixState
	ahead     *Ahead // that was told of groups last; nil: none
	loads     int    // see Loads

	lower, upper []byte // scratch: bounds of iter
	found        []change
}

// Get returns the value of key, or nil if there is none. The slice is valid
// until the next call on t, and must not be written to. Its errors include
// [ErrCorrupt] and [ErrClosed].
func (t *Txn) Get(key []byte) (value []byte, err error) {
	e := t.lookup(key)
	t.count(e != nil)
	if e != nil {
		return t.read(e), nil
	}
	return t.ask(key)
}

// ask is Get of a key that is not in memory.
func (t *Txn) ask(key []byte) (value []byte, err error) {
	if err := t.p.s.usable(); err != nil {
		return nil, t.p.wrap("reading", err)
	}
	t.asked = append(t.asked[:headLen], key...)
	v, closer, err := t.p.s.db.Get(t.asked)
	if errors.Is(err, pebble.ErrNotFound) {
		if t.hasRoom() {
			t.remember(key, nil, false)
		}
		return nil, nil
	}
	if err != nil {
		return nil, t.p.wrap("reading", t.p.s.readError(err))
	}
	if t.hasRoom() {
		value = t.read(t.remember(key, v, true))
	} else {
		if t.value == nil {
			t.value = make([]byte, 0, len(v)+64)
		}
		t.value = append(t.value[:0], v...)
		value = t.value
	}
	if err := closer.Close(); err != nil {
		return nil, t.p.wrap("reading", t.p.s.readError(err))
	}
	return value, nil
}

// count counts a read that does not, or does, have to ask the database.
func (t *Txn) count(known bool) {
	if t.writeBack != nil {
		t.writeBack.count(known)
	}
}

// Put sets the value of key. It copies both.
func (t *Txn) Put(key, value []byte) { t.put(key, value) }

// Mark has Changes say of a key that it is marked. It is for a key that was put
// or deleted since the last savepoint: what undoes that undoes the mark. A key that
// the transaction has not changed is not marked.
func (t *Txn) Mark(key []byte) { t.mark(key) }

// Delete removes key, if it is there.
func (t *Txn) Delete(key []byte) { t.delete(key) }

// Scan yields the keys that begin with prefix, and are not below from unless it
// is nil, with their values, in the order of the keys, until yield returns
// false. It shows the state at its start: yield may put and delete whatever it
// likes, and scan as well, without changing what is yielded. It must not call
// Savepoint, RollbackToSavepoint, Commit or Discard. The slices are valid until
// yield returns, and must not be written to. Errors as with Get; an error on the way
// comes after what was yielded.
func (t *Txn) Scan(prefix, from []byte, yield func(key, value []byte) bool) error {
	if err := t.p.s.usable(); err != nil {
		return t.p.wrap("scanning", err)
	}
	outermost := t.scans == 0
	t.scans++
	defer t.scanned()

	var it *pebble.Iterator
	var bounds []byte // the lower one
	var found []change
	if outermost {
		t.lower, t.upper = appendBounds(t.lower[:0], t.upper[:0], t.head, prefix, from)
		if emptyBounds(t.lower, t.upper) {
			return nil
		}
		t.found = t.appendChanges(t.found[:0], prefix, t.lower, t.upper)
		// Taken away for the time of the scan, so that one within it makes its
		// own.
		defer func(found []change) {
			clear(found)
			t.found = found[:0]
		}(t.found)
		found = t.found
		if err := t.bound(); err != nil {
			return t.p.wrap("scanning", t.p.s.readError(err))
		}
		it, bounds = t.iter, t.lower
	} else {
		lower, upper := appendBounds(nil, nil, t.head, prefix, from)
		if emptyBounds(lower, upper) {
			return nil
		}
		found, bounds = t.appendChanges(nil, prefix, lower, upper), lower
		var err error
		if it, err = t.p.s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper, UseL6Filters: true}); err != nil {
			return t.p.wrap("scanning", t.p.s.readError(err))
		}
		// What Close would report, Error has reported before.
		defer func() { _ = it.Close() }()
	}
	if err := merge(it, first(it, bounds, prefix), found, yield); err != nil {
		return t.p.wrap("scanning", t.p.s.readError(err))
	}
	return nil
}

// merge yields what it shows from where it is, as found has changed it.
func merge(it *pebble.Iterator, valid bool, found []change, yield func(key, value []byte) bool) error {
	for valid || len(found) > 0 {
		order := 1
		if valid {
			order = -1
			if len(found) > 0 {
				order = bytes.Compare(it.Key(), found[0].key)
			}
		} else if err := it.Error(); err != nil {
			return err
		}
		if order < 0 {
			v, err := it.ValueAndErr()
			if err != nil {
				return err
			}
			if v == nil {
				v = []byte{}
			}
			if !yield(it.Key()[headLen:], v) {
				return nil
			}
			valid = it.Next()
			continue
		}
		c := found[0]
		found = found[1:]
		if c.exists && !yield(c.key[headLen:], c.val[:len(c.val):len(c.val)]) {
			return nil
		}
		if order == 0 {
			valid = it.Next()
		}
	}
	return it.Error()
}

// Savepoint makes the present state the one that RollbackToSavepoint goes back
// to. It costs next to nothing, so that every input record can have one.
func (t *Txn) Savepoint() {
	t.mustNotScan("Savepoint")
	t.savepoint()
}

// RollbackToSavepoint undoes every Put and Delete since the last Savepoint, or
// all of them if there was none since the transaction was last empty.
func (t *Txn) RollbackToSavepoint() {
	t.mustNotScan("RollbackToSavepoint")
	clear(t.prefixes) // what was read since the savepoint is forgotten
	t.rollback()
}

// Len returns the number of changes that Changes would yield.
func (t *Txn) Len() int { return t.changes }

// Bytes returns how many bytes the keys and values are that Changes would yield.
// The transaction needs more memory than that, also for what it has read.
func (t *Txn) Bytes() int { return t.bytes }

// Change is what a transaction has made of a key.
type Change struct {
	Key    []byte
	Value  []byte // nil: deleted
	Marked bool   // by Mark
	Place  int32  // for ChangeAt, until the next change of the transaction
}

// Changes yields every changed key once, with its last value, in the order in
// which the keys were first changed. A key that was put and deleted, and is known
// not to be in the committed state (the transaction read it before), is left out;
// if that is not known the delete is yielded, which does no harm. The slices are
// valid until yield returns. yield must not call methods of t.
func (t *Txn) Changes(yield func(Change) bool) {
	for i := range t.edits.len() {
		d := t.edits.at(i)
		if d.entry < 0 {
			continue
		}
		e := t.entries.at(int(d.entry))
		if e.pending() && !yield(Change{t.name(e), t.read(e), e.marked, int32(i)}) {
			return
		}
	}
}

// ChangeAt returns the change that Changes has yielded with a Place. The slices are
// valid until the next change of the transaction.
func (t *Txn) ChangeAt(place int32) Change {
	e := t.entries.at(int(t.edits.at(int(place)).entry))
	return Change{t.name(e), t.read(e), e.marked, place}
}

// Commit makes the changes, and the checkpoint that they lead up to, the
// committed state, and leaves t without changes. There may be none. It cannot be
// undone: call it when the changelog records are committed.
//
// Both go to the database in one piece, at once or, if t was made by WriteBack, when
// it is time, on another goroutine. It waits for the disk only if there is much: see
// Options.BulkBytes; one that holds waits only if what was handed to that goroutine
// the last time is not written yet.
//
// If it fails (checkpoint out of range, [ErrCorrupt], [ErrClosed], store opened
// for reading, more than 2 GiB) nothing is written, and t is as before, but for
// one that holds: it must be given up, and its last commits may be lost. The error
// may be of what an earlier Commit has handed over.
func (t *Txn) Commit(cp Checkpoint) error {
	t.mustNotScan("Commit")
	if err := t.commit(cp); err != nil {
		return t.p.wrap("writing", err)
	}
	return nil
}

func (t *Txn) commit(cp Checkpoint) error {
	if err := t.p.s.usable(); err != nil {
		return err
	}
	if t.bytes > maxTxnBytes {
		return errTxnTooLarge
	}
	if t.writeBack != nil {
		return t.writeBack.commit(t, cp)
	}
	r := t.rowsOf(t.changes, func(yield func(*entry)) {
		for i := range t.edits.len() {
			d := t.edits.at(i)
			if d.entry < 0 {
				continue
			}
			if e := t.entries.at(int(d.entry)); e.pending() {
				yield(e)
			}
		}
	})
	defer r.free()
	err := t.p.write(cp, &r)
	if err == nil {
		t.Discard()
	}
	return err
}

const (
	batchSlack = 256 // more than the rest of a batch takes
	entrySlack = 12  // more than an entry of a batch takes besides its key and value
)

// write brings rows and a checkpoint to the database.
func (p *Partition) write(cp Checkpoint, r *rows) error {
	if r.size >= p.s.bulkBytes {
		return p.writeBulk(cp, r)
	}
	batch := p.s.db.NewBatchWithSize(r.size)
	defer batch.Close()
	for _, e := range r.list {
		var err error
		if e.deleted {
			err = batch.Delete(r.bytes(e.key), nil)
		} else {
			err = batch.Set(r.bytes(e.key), r.bytes(e.val), nil)
		}
		if err != nil {
			return err
		}
	}
	if err := p.setCheckpoint(batch, cp); err != nil {
		return err
	}
	return p.s.guard(func() error { return batch.Commit(pebble.NoSync) })
}

// Discard drops the changes. A transaction that is no longer needed must be
// discarded, committed or closed before its store is closed.
func (t *Txn) Discard() {
	t.mustNotScan("Discard")
	t.unread()
	if t.writeBack != nil {
		t.discardEdits()
		return
	}
	t.reset()
}

// unread gives up what reads have open.
func (t *Txn) unread() {
	if t.iter != nil {
		// What Close would report, Scan has reported before.
		_ = t.iter.Close()
		t.iter = nil
	}
	if t.rare != nil {
		_ = t.rare.Close()
		t.rare = nil
	}
	clear(t.prefixes)
}

func (t *Txn) mustNotScan(method string) {
	if t.scans > 0 {
		panic("state: Txn." + method + " called during a scan")
	}
}
