package engine

import (
	"bytes"
	"errors"
	"fmt"

	"handprint/attribution"
)

// A value longer than largeValue is kept in a record of its own, once for each
// series that has it, and stands in the series as largeMark and its digest. So
// a row's record stays small whatever sensors send, and never outgrows a Kafka
// message. Mergers only ask whether values are equal, which digests answer.
const (
	largeValue = 256
	largeMark  = 0x01 // no canonical JSON begins with it
	digestSize = 16
)

// buffers are reused from record to record.
type buffers struct {
	row       []byte // the record that Engine.row was decoded from, and is part of
	rowValues values

	contrib       []byte // the record that the last contribution was decoded from
	contribValues values

	out  []byte // a record on its way to the store or the outbox, which copy it
	cmd  []byte // the command that send was given last
	text []byte // what Engine.text returned, until its next call
	id   []byte // of an event
}

func isLarge(v attribution.Value) bool { return len(v) > 0 && v[0] == largeMark }

// loadRow reads a row into e.row. Its slices are valid until the next call.
func (e *Engine) loadRow(identity, primitive []byte) (found bool, err error) {
	if near, ok := e.store.(nearStore); ok {
		// A session has many primitives of one identity.
		return e.loadRowBy(func(key []byte) ([]byte, error) {
			return near.GetPrefetch(key, len(key)-len(primitive)-1)
		}, identity, primitive)
	}
	return e.loadRowBy(e.store.Get, identity, primitive)
}

func (e *Engine) loadRowBy(get func(key []byte) ([]byte, error), identity, primitive []byte) (found bool, err error) {
	e.setRowKey(identity, primitive)
	b, err := get(e.keys.row)
	if err != nil {
		return false, fmt.Errorf("reading row %s of %s: %w", primitive, identity, err)
	}
	if b == nil {
		e.noRow()
		return false, nil
	}
	e.buf.row = append(e.buf.row[:0], b...)
	e.buf.rowValues.long.at(e.store, e.keys.row)
	if err := decodeRow(e.buf.row, &e.row, &e.buf.rowValues); err != nil {
		return false, fmt.Errorf("row %s of %s: %w", primitive, identity, err)
	}
	return true, nil
}

// noRow makes e.row an empty row, not published.
func (e *Engine) noRow() {
	s := &e.row.series
	e.row = row{series: series{Series: attribution.Series{Entries: s.Entries[:0], Gone: s.Gone[:0]}}}
}

// setRowKey makes e.keys.row the key of a row. One observation asks for the same
// one several times.
func (e *Engine) setRowKey(identity, primitive []byte) {
	k := &e.keys
	if bytes.Equal(k.rowIdentity, identity) && bytes.Equal(k.rowPrimitive, primitive) && len(k.row) > 0 {
		return
	}
	k.rowIdentity, k.rowPrimitive = append(k.rowIdentity[:0], identity...), append(k.rowPrimitive[:0], primitive...)
	if e.stubs.isHere(identity) {
		k.row = appendPrimitive(append(k.row[:0], e.stubs.here.key[:]...), primitive)
		return
	}
	k.row = rowKey(k.row, kindRow, identity, primitive)
}

func (e *Engine) saveRow(identity, primitive []byte) {
	e.setRowKey(identity, primitive)
	e.long.begin(&e.row.series)
	e.buf.out = appendRow(e.buf.out[:0], &e.row, byte(e.cfg.RecordVersion), &e.long)
	e.store.Put(e.keys.row, e.buf.out)
	if e.long.any() {
		e.storeLong(&e.row.series, e.keys.row)
	}
	e.stubs.wrote(identity, e.catalog.of(primitive))
}

// loadContribution reads an attacker's contribution to a row into s. Its
// slices are valid until the next call.
func (e *Engine) loadContribution(s *series, identity, primitive, attacker []byte) (found bool, err error) {
	return e.loadContributionBy(e.store, s, identity, primitive, attacker)
}

// loadContributionBy leaves what stands for long values as it stands if long is nil.
func (e *Engine) loadContributionBy(long Reader, s *series, identity, primitive, attacker []byte) (found bool, err error) {
	e.keys.contrib = seriesKey(e.keys.contrib, kindContribution, identity, primitive, attacker)
	b, err := e.store.Get(e.keys.contrib)
	if err != nil {
		return false, fmt.Errorf("reading the contribution of %s to %s of %s: %w", attacker, primitive, identity, err)
	}
	if b == nil {
		*s = series{Series: attribution.Series{Entries: s.Entries[:0], Gone: s.Gone[:0]}}
		return false, nil
	}
	e.buf.contrib = append(e.buf.contrib[:0], b...)
	e.buf.contribValues.long.at(long, e.keys.contrib)
	if err := decodeContribution(e.buf.contrib, s, &e.buf.contribValues); err != nil {
		return false, fmt.Errorf("contribution of %s to %s of %s: %w", attacker, primitive, identity, err)
	}
	return true, nil
}

func (e *Engine) saveContribution(s *series, identity, primitive, attacker []byte) {
	e.keys.contrib = seriesKey(e.keys.contrib, kindContribution, identity, primitive, attacker)
	e.long.begin(s)
	e.buf.out = appendContribution(e.buf.out[:0], s, byte(e.cfg.RecordVersion), &e.long)
	e.store.Put(e.keys.contrib, e.buf.out)
	if e.long.any() {
		e.storeLong(s, e.keys.contrib)
	}
}

func (e *Engine) largeKey(ref attribution.Value, identity, primitive, attacker []byte) []byte {
	e.keys.part = largePrefix(e.keys.part, ref, identity, primitive)
	at := len(e.keys.part)
	e.keys.part = shortened(appendID(e.keys.part, attacker), at)
	return e.keys.part
}

// largePrefix is what the keys of a large value begin with, whoever has contributed it
// to the row.
func largePrefix(dst []byte, ref attribution.Value, identity, primitive []byte) []byte {
	return append(rowKey(dst, kindLarge, identity, primitive), ref[1:]...)
}

// largeText reads a large value that any attacker may have contributed to a row; nil:
// none of them keeps it.
func largeText(from Reader, ref attribution.Value, identity, primitive []byte) (text attribution.Value, err error) {
	err = scan(from, largePrefix(nil, ref, identity, primitive), nil, func(_, value []byte) error {
		text = bytes.Clone(value)
		return errStop
	})
	return text, err
}

// putLarge returns what stands for a large value, and makes a record of the
// value unless the series has it already.
func (e *Engine) putLarge(v attribution.Value, identity, primitive, attacker []byte) (attribution.Value, error) {
	ref := StoredValue(v)
	key := e.largeKey(ref, identity, primitive, attacker)
	known, err := e.store.Get(key)
	if err != nil {
		return nil, fmt.Errorf("reading a large value of %s in %s of %s: %w", attacker, primitive, identity, err)
	}
	if known == nil {
		e.store.Put(key, v)
	}
	return ref, nil
}

// text returns what a value of a series says. A large one is read from its
// record; the slice is valid until the next call.
func (e *Engine) text(v attribution.Value, identity, primitive, attacker []byte) (attribution.Value, error) {
	if !isLarge(v) {
		return v, nil
	}
	b, err := e.store.Get(e.largeKey(v, identity, primitive, attacker))
	if err != nil {
		return nil, fmt.Errorf("reading a large value of %s in %s of %s: %w", attacker, primitive, identity, err)
	}
	if b == nil {
		return nil, fmt.Errorf("a large value of %s in %s of %s is not in the store", attacker, primitive, identity)
	}
	e.buf.text = append(e.buf.text[:0], b...)
	return e.buf.text, nil
}

// anyText is text of a value that any attacker of the identity may have
// contributed. A large one that is not kept any more is nil.
func (e *Engine) anyText(v attribution.Value, identity, primitive []byte) (text attribution.Value, err error) {
	if !isLarge(v) {
		return v, nil
	}
	if text, err = largeText(e.store, v, identity, primitive); err != nil {
		return nil, fmt.Errorf("reading a large value of %s of %s: %w", primitive, identity, err)
	}
	return text, nil
}

// rareGets are reads of keys that as a rule are not there.
type rareGets Engine

func (e *Engine) rare() *rareGets { return (*rareGets)(e) }

// Get implements getter.
func (r *rareGets) Get(key []byte) ([]byte, error) {
	if near, ok := r.store.(nearStore); ok {
		return near.GetRare(key)
	}
	return r.store.Get(key)
}

// getter reads one key.
type getter interface {
	Get(key []byte) ([]byte, error)
}

// get reads a small record: its decoded value, or found is false. What it
// returns is a copy.
func get[T any](from getter, key []byte, decode func([]byte) (T, error)) (v T, found bool, err error) {
	b, err := from.Get(key)
	if err != nil || b == nil {
		return v, false, err
	}
	v, err = decode(bytes.Clone(b))
	return v, err == nil, err
}

// errStop ends a scan before its last record, without an error.
var errStop = errors.New("no more is wanted")

// scan calls use for each record whose key begins with prefix, in the order of
// the keys, from the key start on (nil: the first). rest is what follows the
// prefix in the key. An error of use ends it.
func scan(from Reader, prefix, start []byte, use func(rest, value []byte) error) error {
	var failed error
	err := from.Scan(prefix, start, func(key, value []byte) bool {
		failed = use(key[len(prefix):], value)
		return failed == nil
	})
	if err == nil && !errors.Is(failed, errStop) {
		err = failed
	}
	return err
}

func (e *Engine) getLink(attacker []byte) (l link, found bool, err error) {
	l, found, err = get(e.rare(), idKey(nil, kindLink, attacker), decodeLink)
	if err != nil {
		return l, false, fmt.Errorf("link of %s: %w", attacker, err)
	}
	return l, found, nil
}

func (e *Engine) putLink(attacker []byte, l link) {
	e.store.Put(idKey(nil, kindLink, attacker), appendLink(nil, l))
	e.stubs.linked(attacker)
}

func (e *Engine) getIdentity(id []byte) (i identity, found bool, err error) {
	i, found, err = get(e.rare(), idKey(nil, kindIdentity, id), decodeIdentity)
	if err != nil {
		return i, false, fmt.Errorf("identity %s: %w", id, err)
	}
	return i, found, nil
}

func (e *Engine) putIdentity(id []byte, i identity) {
	e.store.Put(idKey(nil, kindIdentity, id), appendIdentity(nil, i))
	e.stubs.changed(id)
}

func (e *Engine) getMember(identity, attacker []byte) (m member, found bool, err error) {
	m, found, err = get(e.store, idsKey(nil, kindMember, identity, attacker), decodeMember)
	if err != nil {
		return member{}, false, fmt.Errorf("member %s of %s: %w", attacker, identity, err)
	}
	return m, found, nil
}

func (e *Engine) putMember(identity, attacker []byte, m member) {
	e.store.Put(idsKey(nil, kindMember, identity, attacker), appendMember(nil, m))
}

func (e *Engine) getTold(identity []byte) (t attribution.Told, found bool, err error) {
	t, found, err = get(e.rare(), idKey(nil, kindSuspect, identity), decodeTold)
	if err != nil {
		return t, false, fmt.Errorf("suspect record of %s: %w", identity, err)
	}
	return t, found, nil
}

func (e *Engine) putTold(identity []byte, t attribution.Told) {
	e.store.Put(idKey(nil, kindSuspect, identity), appendTold(nil, t))
}

func (e *Engine) drop(kind byte, identity []byte) {
	e.store.Delete(idKey(nil, kind, identity))
}
