package history

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// RangeQuery says which entries of all identities are asked for, by when they were
// recorded.
type RangeQuery struct {
	From, To  float64 // Unix seconds, To not included; To 0: no end
	Kinds     []Kind  // none: all
	Identity  string  // empty: all
	Primitive string  // empty: all
	Domain    string  // first token of the primitive; empty: all
	NewStates []string
	After     Place // of the part before; nil: the first
	Limit     int   // entries of a part, at least 1
	looks     int   // entries that a part looks at; 0: maxRangeLooked
}

// maxRangeLooked bounds the entries that a part looks at, so that one condition that
// few meet does not read for minutes.
const maxRangeLooked = 1_000_000

// Range is a part of the entries in the order of their arrival, at one moment: what is
// added or goes meanwhile does not change it.
type Range struct {
	q        RangeQuery
	snapshot *pebble.Snapshot
	from, to []byte // keys by arrival, the latter not included
	matched  []byte // keys by identity, one behind the other, in the order of arrival
	next     Place
	bounded  bool
	begins   float64
}

// identityKeyLen is the length of every key by identity.
const identityKeyLen = 1 + digestLen + 8 + placeLen

// Range finds which entries the part has. It has to be closed.
func (h *History) Range(ctx context.Context, q RangeQuery) (_ *Range, err error) {
	r := &Range{q: q, snapshot: h.db.NewSnapshot(), from: arrivalBound(q.From), to: []byte{byArrival + 1}}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	r.q.Limit = max(1, r.q.Limit) // a part that may have nothing has no place to go on from
	if err := r.readBegins(); err != nil {
		return nil, err
	}
	if r.q.looks == 0 {
		r.q.looks = maxRangeLooked
	}
	if q.To != 0 {
		r.to = arrivalBound(q.To)
	}
	if len(q.After) > 0 {
		if after := append(append([]byte{byArrival}, q.After...), 0); string(after) > string(r.from) {
			r.from = after
		}
	}
	if string(r.from) >= string(r.to) {
		return r, nil
	}
	if q.Identity != "" {
		if done, err := r.findOfIdentity(ctx); done || err != nil {
			return r, err
		}
	}
	return r, r.find(ctx)
}

// find looks at the entries in the order of their arrival.
func (r *Range) find(ctx context.Context) error {
	looked, keysOnly := 0, r.q.byKind()
	var last []byte // of the part
	return r.each(ctx, r.from, r.to, func(key, value []byte) (bool, error) {
		matches := r.q.takesKind(key[9])
		if matches && !keysOnly {
			var e Entry
			there, err := r.read(value, &e)
			if err != nil {
				return false, err
			}
			matches = there && r.q.takes(&e)
		}
		r.bounded = looked == r.q.looks
		if r.bounded || matches && len(r.matched) == r.q.Limit*identityKeyLen {
			r.next = append(Place{}, last[1:]...)
			return false, nil
		}
		if looked++; matches {
			r.matched = append(r.matched, value...)
		}
		last = append(last[:0], key...)
		return true, nil
	})
}

// findOfIdentity looks at the entries of the identity that is asked for, and reports
// whether it came to their end.
func (r *Range) findOfIdentity(ctx context.Context) (bool, error) {
	type found struct{ arrival, key string }
	var all []found
	byArrival := func() { slices.SortFunc(all, func(x, y found) int { return strings.Compare(x.arrival, y.arrival) }) }
	prefix := identityKey(r.q.Identity)
	looked := 0
	err := r.each(ctx, prefix, append(prefix[:len(prefix):len(prefix)], bytes.Repeat([]byte{255}, identityKeyLen)...), func(key, value []byte) (bool, error) {
		if looked++; looked > r.q.looks {
			return false, nil
		}
		if !r.q.takesKind(key[len(key)-placeLen]) {
			return true, nil
		}
		var e Entry
		if err := json.Unmarshal(value, &e); err != nil {
			return false, fmt.Errorf("reading an entry: %w", err)
		}
		if arrival := string(arrivalKey(&e)); r.q.takes(&e) && arrival >= string(r.from) && arrival < string(r.to) {
			all = append(all, found{arrival, string(key)})
		}
		if len(all) > 2*r.q.Limit+1000 { // the part is the first of them
			byArrival()
			all = all[:r.q.Limit+1]
		}
		return true, nil
	})
	if err != nil || looked > r.q.looks {
		return false, err
	}
	if byArrival(); len(all) > r.q.Limit {
		all = all[:r.q.Limit]
		r.next = Place(all[len(all)-1].arrival[1:])
	}
	for i := range all {
		r.matched = append(r.matched, all[i].key...)
	}
	return true, nil
}

// Next returns the place to go on from; nil: this is the last part.
func (r *Range) Next() Place { return r.next }

// Begins returns from when on entries are complete, in Unix seconds, at the moment of the
// range; +Inf if there are none.
func (r *Range) Begins() float64 { return r.begins }

func (r *Range) readBegins() error {
	v, closer, err := r.snapshot.Get(beginsKey)
	if errors.Is(err, pebble.ErrNotFound) {
		r.begins = math.Inf(1)
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading when the history begins: %w", err)
	}
	if r.begins = math.Inf(1); len(v) == 8 {
		r.begins = math.Float64frombits(binary.BigEndian.Uint64(v))
	}
	return closer.Close()
}

// IsBounded reports whether the part ends because too many entries had to be looked at:
// nobody knows whether more match.
func (r *Range) IsBounded() bool { return r.bounded }

// Each yields the entries of the part.
func (r *Range) Each(ctx context.Context, yield func(e *Entry) error) error {
	for n, rest := 1, r.matched; len(rest) > 0; n, rest = n+1, rest[identityKeyLen:] {
		if n%1000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		var e Entry
		there, err := r.read(rest[:identityKeyLen], &e)
		if err == nil && there {
			err = yield(&e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Close ends the reading.
func (r *Range) Close() error { return r.snapshot.Close() }

// arrivalBound is the least key by arrival of a time.
func arrivalBound(recorded float64) []byte {
	millis := min(max(0, WholeMillis(recorded)*1000), 1<<62)
	return binary.BigEndian.AppendUint64([]byte{byArrival}, uint64(math.Round(millis)))
}

// WholeMillis returns the least whole millisecond that is not before a time, both in
// Unix seconds. Times of records are whole milliseconds, so a range between two times
// has the same records as one between these.
func WholeMillis(t float64) float64 {
	const digits = 0.01 // what a double of today cannot tell apart, in ms
	millis := t * 1000
	if near := math.Round(millis); math.Abs(millis-near) < digits {
		return near / 1000
	}
	return math.Ceil(millis) / 1000
}

// kindOf is the kind of the entries of a source.
func kindOf(s Source) Kind {
	switch s {
	case Transitions:
		return State
	case Suspicions:
		return Suspicion
	case Identities:
		return Identity
	}
	return Value
}

// byKind reports whether the keys alone say what matches.
func (q *RangeQuery) byKind() bool {
	return q.Identity == "" && q.Primitive == "" && q.Domain == "" && len(q.NewStates) == 0
}

// takesKind reports whether entries of a source, the byte of it in a key, match by kind.
func (q *RangeQuery) takesKind(source byte) bool {
	return len(q.Kinds) == 0 || slices.Contains(q.Kinds, kindOf(Source(source)))
}

func (q *RangeQuery) takes(e *Entry) bool {
	domain, _, _ := strings.Cut(e.Primitive, ".")
	return (q.Identity == "" || e.Identity == q.Identity) && (q.Primitive == "" || e.Primitive == q.Primitive) &&
		(q.Domain == "" || domain == q.Domain) && (len(q.NewStates) == 0 || slices.Contains(q.NewStates, e.NewState))
}

// each yields the keys between two bounds and their values, until yield returns false.
func (r *Range) each(ctx context.Context, from, to []byte, yield func(key, value []byte) (bool, error)) (err error) {
	it, err := r.snapshot.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return fmt.Errorf("reading the history: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	n := 0
	for valid := it.First(); valid; valid = it.Next() {
		if n++; n%1000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if on, err := yield(it.Key(), it.Value()); err != nil || !on {
			return err
		}
	}
	return nil
}

// read reads the entry of a key by identity, and reports whether it is there.
func (r *Range) read(key []byte, e *Entry) (bool, error) {
	v, closer, err := r.snapshot.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the history: %w", err)
	}
	if err := errors.Join(json.Unmarshal(v, e), closer.Close()); err != nil {
		return false, fmt.Errorf("reading an entry: %w", err)
	}
	return true, nil
}
