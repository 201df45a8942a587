package engine

import (
	"bytes"
	"fmt"
	"slices"

	"handprint/attribution"
)

// touched is a value that an observation may have changed the latest ts of.
type touched struct {
	value  attribution.Value
	inTree bool
	ts     float64 // if inTree
}

// take adds an observation to a series, and keeps the values that were pushed
// out, the records of large values and the row's union, if one is held, in step
// with it.
func (e *Engine) take(s *series, entry attribution.Entry, kind attribution.Kind, identity, primitive, attacker []byte) error {
	if len(entry.Value) > largeValue && kind != attribution.Numeric {
		var err error
		if entry.Value, err = e.putLarge(entry.Value, identity, primitive, attacker); err != nil {
			return err
		}
	}
	var taken attribution.Taken
	var left attribution.Entry
	var had bool
	e.touched = append(e.touched[:0], touched{value: entry.Value})
	var was *attribution.Entry // the newest one; the series moves what it has
	if newest := attribution.HeadOf(&s.Series); newest != nil {
		was = &attribution.Entry{TS: newest.TS, Place: newest.Place}
	}
	if s.Elsewhere > 0 && kind == attribution.Hash {
		t := e.tree(s, identity, primitive, attacker)
		taken, left, had = t.take(entry)
		if t.err != nil {
			return fmt.Errorf("values of %s that were pushed out, in %s of %s: %w", attacker, primitive, identity, t.err)
		}
	} else {
		for i := range s.Gone {
			e.touched = append(e.touched, touched{value: s.Gone[i].Value})
		}
		taken, left, had = s.Take(entry, kind, &e.cfg.Thresholds)
		if had {
			e.touched = append(e.touched, touched{value: left.Value})
		}
		if kind == attribution.Hash && len(s.Gone) > goneInline {
			if err := e.spill(s, identity, primitive, attacker); err != nil {
				return err
			}
		}
	}
	c := e.cfg.Counters
	c.Observations.Add(1)
	switch taken {
	case attribution.Replaced:
		c.Replaced.Add(1)
	case attribution.Beyond:
		c.Beyond.Add(1)
	}
	union := e.union(identity, primitive)
	size := 0
	if union != nil {
		size = union.Size()
	}
	for i := range e.touched {
		v := &e.touched[i]
		if union == nil && !isLarge(v.value) {
			continue
		}
		ts, kept := v.ts, true
		if !v.inTree {
			ts, kept = s.Latest(v.value)
		}
		// What was pushed out of a series while its primitive was HASH may have it.
		elsewhere := s.Elsewhere > 0 && kind != attribution.Hash
		if !kept && isLarge(v.value) && !elsewhere {
			e.store.Delete(e.largeKey(v.value, identity, primitive, attacker))
		}
		if union != nil {
			union.Latest(attacker, v.value, ts, kept)
		}
	}
	if union != nil {
		union.Taken(attacker, entry, taken, left, had, was, attribution.HeadOf(&s.Series))
		e.unions.grew(union.Size() - size)
	}
	return nil
}

// spill makes records of the values that were pushed out of a series, except the
// values that a kept entry has.
func (e *Engine) spill(s *series, identity, primitive, attacker []byte) error {
	t := e.tree(s, identity, primitive, attacker)
	s.Gone = slices.DeleteFunc(s.Gone, func(g attribution.Gone) bool {
		if hasValue(s.Entries, g.Value) {
			return false
		}
		t.moveIn(g)
		return true
	})
	if t.err != nil {
		return fmt.Errorf("values of %s that were pushed out, in %s of %s: %w", attacker, primitive, identity, t.err)
	}
	return nil
}

// hasLarge reports whether a series may have large values.
func hasLarge(s *series) bool {
	return s.Elsewhere > 0 ||
		slices.ContainsFunc(s.Entries, func(e attribution.Entry) bool { return isLarge(e.Value) }) ||
		slices.ContainsFunc(s.Gone, func(g attribution.Gone) bool { return isLarge(g.Value) })
}

func hasValue(entries []attribution.Entry, v attribution.Value) bool {
	for i := range entries {
		if bytes.Equal(entries[i].Value, v) {
			return true
		}
	}
	return false
}

// moveIn adds a value, and notes when it was seen last.
func (t *goneTree) moveIn(g attribution.Gone) {
	t.insert(g)
	t.touch(touched{value: g.Value, inTree: true, ts: g.TS})
}

// touch notes a value that the observation has changed. What was noted of it
// before does not count. There are few yet.
func (t *goneTree) touch(v touched) {
	list := t.engine.touched
	for i := range list {
		if bytes.Equal(list[i].value, v.value) {
			list[i] = v
			return
		}
	}
	t.engine.touched = append(list, v)
}

// take is [attribution.Series.Take] of a series some of whose values are in the
// tree: the pushed-out values that no kept entry has. Values that were pushed out and that an
// entry has are in its Gone.
func (t *goneTree) take(entry attribution.Entry) (taken attribution.Taken, left attribution.Entry, had bool) {
	s, thresholds := t.series, &t.engine.cfg.Thresholds
	known := hasValue(s.Entries, entry.Value)
	taken, left, had = s.Take(entry, attribution.Unregistered, thresholds)
	if !known {
		if n, found := t.find(entry.Value); found && hasValue(s.Entries, entry.Value) {
			t.remove(&n)
			s.Gone = append(s.Gone, n.Gone)
		} else if found {
			t.engine.touched[0] = touched{value: entry.Value, inTree: true, ts: n.TS}
		}
	}
	if taken == attribution.Beyond {
		return taken, left, had
	}
	if had {
		t.leave(&left, taken == attribution.Added)
	}
	t.forget(thresholds)
	return taken, left, had
}

// leave is told of an entry that left the series: it was pushed out, or it was
// replaced, and its value is gone unless it was pushed out before.
func (t *goneTree) leave(left *attribution.Entry, pushedOut bool) {
	s, v := t.series, left.Value
	if bytes.Equal(v, attribution.Null) {
		return
	}
	at := slices.IndexFunc(s.Gone, func(g attribution.Gone) bool { return bytes.Equal(g.Value, v) })
	g := attribution.Gone{Value: v, TS: left.TS}
	switch {
	case at >= 0 && pushedOut:
		g.TS = max(g.TS, s.Gone[at].TS)
	case at >= 0:
		g.TS = s.Gone[at].TS
	case !pushedOut:
		t.touch(touched{value: v})
		return
	}
	if hasValue(s.Entries, v) {
		t.touch(touched{value: v})
		if at < 0 {
			s.Gone = append(s.Gone, g)
		} else {
			s.Gone[at] = g
		}
		return
	}
	if at >= 0 {
		s.Gone = slices.Delete(s.Gone, at, at+1)
	} else if n, found := t.find(v); found { // the entry came and left at once
		g.TS = max(g.TS, n.TS)
		t.remove(&n)
	}
	t.moveIn(g)
}

// forget drops the values that lie outside the hash window before the newest
// entry, and those over the limit.
func (t *goneTree) forget(thresholds *attribution.Thresholds) {
	s := t.series
	drop := func(v attribution.Value) { t.engine.touched = append(t.engine.touched, touched{value: v}) }
	from := s.Entries[len(s.Entries)-1].TS - thresholds.HashWindow
	s.Gone = slices.DeleteFunc(s.Gone, func(g attribution.Gone) bool {
		if g.TS < from {
			drop(g.Value)
		}
		return g.TS < from
	})
	for s.Elsewhere > 0 && s.oldest < from && t.err == nil {
		n := t.oldest()
		t.remove(&n)
		drop(n.Value)
	}
	for s.Elsewhere+len(s.Gone) > thresholds.HashValues && t.err == nil {
		first := -1
		for i := range s.Gone {
			if first < 0 || s.Gone[i].Less(&s.Gone[first]) {
				first = i
			}
		}
		if s.Elsewhere > 0 {
			if n := t.oldest(); first < 0 || n.Less(&s.Gone[first]) {
				t.remove(&n)
				drop(n.Value)
				continue
			}
		}
		drop(s.Gone[first].Value)
		s.Gone = slices.Delete(s.Gone, first, first+1)
	}
}

// loadWhole makes a series whole: it reads the values that are records of their
// own. What it reads is valid until another tree is opened.
func (e *Engine) loadWhole(s *series, identity, primitive, attacker []byte) error {
	if s.Elsewhere == 0 {
		return nil
	}
	t := e.tree(s, identity, primitive, attacker)
	b := &e.gone
	err := scan(e.store, t.prefix, nil, func(rest, record []byte) error {
		from := len(b.records)
		b.records = append(b.records, rest...)
		g, err := decodeGone(b.records[from:len(b.records):len(b.records)], record, &b.values)
		s.Gone = append(s.Gone, g)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the values of %s that were pushed out, in %s of %s: %w", attacker, primitive, identity, err)
	}
	s.Elsewhere, s.root, s.oldest = 0, nil, 0
	return nil
}
