package state

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"
)

// prefixState is what a transaction has read of the keys under one prefix.
type prefixState uint8

const (
	prefixAsked    prefixState = iota + 1 // for one of them
	prefixTooLarge                        // there are too many to read them all
	prefixLoaded                          // all: the overlay has every one that exists
)

const (
	// maxPrefetch is how many keys are read because two of them were asked for.
	maxPrefetch = 256
	// maxFirst is how many are read because one was.
	maxFirst = 64
)

// GetPrefetch is Get, which loads the whole prefix of a key, its first n bytes: on
// the first miss up to 64 keys if they are a group (see splitKey), as then the
// filters say at once whether there is any; on the second one up to 256. That costs
// about as much as two or three reads. From then on no key under the prefix costs
// one, whether it exists or not.
func (t *Txn) GetPrefetch(key []byte, n int) (value []byte, err error) {
	e := t.lookup(key)
	if known := e != nil || t.prefixes[string(key[:n])] == prefixLoaded; known {
		t.count(true)
		if e == nil {
			return nil, nil
		}
		return t.read(e), nil
	}
	t.count(false)
	switch t.prefixes[string(key[:n])] {
	case prefixAsked:
		return t.loaded(key, n, maxPrefetch, prefixTooLarge)
	case prefixTooLarge:
	default:
		if t.prefixes == nil {
			t.prefixes = make(map[string]prefixState)
		}
		if grouped(key[:n]) {
			return t.loaded(key, n, maxFirst, prefixAsked)
		}
		t.prefixes[string(key[:n])] = prefixAsked
	}
	return t.ask(key)
}

// GetGrouped is GetPrefetch of a transaction that Wake has told to be busy, and Get of any
// other. It is for a key that is there, with others near it that will soon be asked for too.
func (t *Txn) GetGrouped(key []byte, n int) (value []byte, err error) {
	if t.writeBack == nil || !t.writeBack.busy {
		return t.Get(key)
	}
	return t.GetPrefetch(key, n)
}

// loaded is GetPrefetch of a key that is not in memory: it loads the prefix, or
// notes more of it if it has more than limit keys.
func (t *Txn) loaded(key []byte, n, limit int, more prefixState) (value []byte, err error) {
	if t.scans > 0 || !t.hasRoom() {
		return t.ask(key)
	}
	if err := t.loadPrefix(key[:n], limit, more); err != nil {
		return nil, err
	}
	if e := t.lookup(key); e != nil {
		return t.read(e), nil
	}
	if t.prefixes[string(key[:n])] == prefixLoaded {
		return nil, nil
	}
	return t.ask(key)
}

// loadPrefix brings the committed keys that begin with prefix into the overlay. If
// they are more than limit it stops, and notes more.
func (t *Txn) loadPrefix(prefix []byte, limit int, more prefixState) error {
	if err := t.p.s.usable(); err != nil {
		return t.p.wrap("reading", err)
	}
	t.loads++
	if t.writeBack != nil {
		t.writeBack.groups++
	}
	if limit == maxFirst {
		if data, whole, ok := t.ahead.take(t.group(prefix)); ok {
			t.rememberAll(prefix, data, whole, more)
			return nil
		}
	}
	it, valid, err := t.under(prefix)
	if err != nil {
		return t.p.wrap("reading", t.p.s.readError(err))
	}
	n := 0
	for ; valid; valid = it.Next() {
		if n++; n > limit {
			t.prefixes[string(prefix)] = more
			return nil
		}
		key := it.Key()[headLen:]
		if t.lookup(key) != nil {
			continue
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return t.p.wrap("reading", t.p.s.readError(err))
		}
		t.remember(key, v, true)
	}
	if err := it.Error(); err != nil {
		return t.p.wrap("reading", t.p.s.readError(err))
	}
	t.prefixes[string(prefix)] = prefixLoaded
	return nil
}

// rememberAll is loadPrefix of what was read ahead.
func (t *Txn) rememberAll(prefix, data []byte, whole bool, more prefixState) {
	for len(data) > 0 {
		var key, value []byte
		key, value, data = cutRead(data)
		if t.lookup(key) == nil {
			t.remember(key, value, true)
		}
	}
	if whole {
		more = prefixLoaded
	}
	t.prefixes[string(prefix)] = more
}

// Loads returns how many groups of keys were read from the database, or taken from
// what was read ahead, since the last call.
func (t *Txn) Loads() int {
	n := t.loads
	t.loads = 0
	return n
}

// group returns a prefix as the database has it, until the next read.
func (t *Txn) group(prefix []byte) []byte {
	t.asked = append(t.asked[:headLen], prefix...)
	return t.asked
}

// under returns an iterator at the first committed key that begins with prefix, if
// there is one, which yields no others.
func (t *Txn) under(prefix []byte) (it *pebble.Iterator, valid bool, err error) {
	if len(prefix) == groupLen && grouped(prefix) {
		if err := t.openRare(); err != nil {
			return nil, false, err
		}
		return t.rare, t.rare.SeekPrefixGE(t.group(prefix)), nil
	}
	t.lower, t.upper = appendBounds(t.lower[:0], t.upper[:0], t.head, prefix, nil)
	if err := t.bound(); err != nil {
		return nil, false, err
	}
	return t.iter, first(t.iter, t.lower, prefix), nil
}

// openRare opens t.rare.
func (t *Txn) openRare() (err error) {
	if t.rare == nil {
		t.rare, err = t.p.s.db.NewIter(&pebble.IterOptions{UseL6Filters: true})
	}
	return err
}

// GetRare is Get of a key that as a rule is not there. Get does not ask the filters
// of the last level, which has nearly all keys, as it would have to read a block
// anyway of a key that is there; this does.
func (t *Txn) GetRare(key []byte) (value []byte, err error) {
	e := t.lookup(key)
	t.count(e != nil)
	if e != nil {
		return t.read(e), nil
	}
	if err := t.p.s.usable(); err != nil {
		return nil, t.p.wrap("reading", err)
	}
	if err := t.openRare(); err != nil {
		return nil, t.p.wrap("reading", t.p.s.readError(err))
	}
	t.asked = append(t.asked[:headLen], key...)
	if t.rare.SeekPrefixGE(t.asked) && bytes.Equal(t.rare.Key(), t.asked) {
		if !t.hasRoom() {
			return t.ask(key)
		}
		v, err := t.rare.ValueAndErr()
		if err != nil {
			return nil, t.p.wrap("reading", t.p.s.readError(err))
		}
		return t.read(t.remember(key, v, true)), nil
	}
	if err := t.rare.Error(); err != nil {
		return nil, t.p.wrap("reading", t.p.s.readError(err))
	}
	if t.hasRoom() {
		t.remember(key, nil, false)
	}
	return nil, nil
}

// bound brings t.iter, which sees the committed state, to the bounds t.lower and
// t.upper.
func (t *Txn) bound() (err error) {
	if t.iter != nil {
		t.iter.SetBounds(t.lower, t.upper)
		return nil
	}
	t.iter, err = t.p.s.db.NewIter(&pebble.IterOptions{LowerBound: t.lower, UpperBound: t.upper, UseL6Filters: true})
	return err
}

// first moves an iterator to the first key within its bounds, the lower one and all
// that begin with prefix. Of a group it asks the filters.
func first(it *pebble.Iterator, lower, prefix []byte) bool {
	if grouped(prefix) {
		return it.SeekPrefixGE(lower)
	}
	return it.First()
}
