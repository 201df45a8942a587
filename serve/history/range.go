package history

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
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
	Limit     int   // entries of a part
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
	next     Place
}

// Range finds where the part ends. It has to be closed.
func (h *History) Range(ctx context.Context, q RangeQuery) (_ *Range, err error) {
	r := &Range{q: q, snapshot: h.db.NewSnapshot(), from: arrivalBound(q.From), to: []byte{byArrival + 1}}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if q.To > 0 {
		r.to = arrivalBound(q.To)
	}
	if len(q.After) > 0 {
		if after := append(append([]byte{byArrival}, q.After...), 0); string(after) > string(r.from) {
			r.from = after
		}
	}
	if string(r.from) >= string(r.to) {
		r.to = r.from
		return r, nil
	}
	found, looked := 0, 0
	var last []byte // of the part
	err = r.scan(ctx, q.byKind(), func(key []byte, matches bool, _ *Entry) (bool, error) {
		if found == q.Limit && matches || looked == maxRangeLooked {
			r.next = append(Place{}, last[1:]...)
			r.to = append(append([]byte{}, last...), 0)
			return false, nil
		}
		if looked++; matches {
			found++
		}
		last = append(last[:0], key...)
		return true, nil
	})
	return r, err
}

// Next returns the place to go on from; nil: this is the last part.
func (r *Range) Next() Place { return r.next }

// Each yields the entries of the part.
func (r *Range) Each(ctx context.Context, yield func(e *Entry) error) error {
	return r.scan(ctx, false, func(_ []byte, matches bool, e *Entry) (bool, error) {
		if !matches {
			return true, nil
		}
		return true, yield(e)
	})
}

// Close ends the reading.
func (r *Range) Close() error { return r.snapshot.Close() }

// arrivalBound is the least key by arrival of a time.
func arrivalBound(recorded float64) []byte {
	millis := min(max(0, recorded)*1000, 1<<62)
	return binary.BigEndian.AppendUint64([]byte{byArrival}, uint64(millis))
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

func (q *RangeQuery) takes(e *Entry) bool {
	domain, _, _ := strings.Cut(e.Primitive, ".")
	return (q.Identity == "" || e.Identity == q.Identity) && (q.Primitive == "" || e.Primitive == q.Primitive) &&
		(q.Domain == "" || domain == q.Domain) && (len(q.NewStates) == 0 || slices.Contains(q.NewStates, e.NewState))
}

// scan yields the keys by arrival and whether their entries match, with the entries
// unless the keys are enough, until yield returns false.
func (r *Range) scan(ctx context.Context, keysOnly bool, yield func(key []byte, matches bool, e *Entry) (bool, error)) (err error) {
	it, err := r.snapshot.NewIter(&pebble.IterOptions{LowerBound: r.from, UpperBound: r.to})
	if err != nil {
		return fmt.Errorf("reading the history: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	n := 0
	for valid := it.First(); valid; valid = it.Next() {
		if n++; n%1000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		key := it.Key()
		matches := len(r.q.Kinds) == 0 || slices.Contains(r.q.Kinds, kindOf(Source(key[9])))
		var e Entry
		if matches && !keysOnly {
			if matches, err = r.read(it.Value(), &e); err != nil {
				return err
			}
			matches = matches && r.q.takes(&e)
		}
		if on, err := yield(key, matches, &e); err != nil || !on {
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
