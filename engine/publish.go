package engine

import (
	"fmt"

	"handprint/attribution"
)

// conclude works a row of possibly several attackers out anew and publishes
// what follows.
func (e *Engine) conclude(identity, primitive []byte, cause attribution.Cause) error {
	found, err := e.loadRow(identity, primitive)
	if err != nil || !found {
		return err
	}
	kind := e.catalog.of(primitive).kind
	if e.row.inline {
		id, _, err := e.getIdentity(identity)
		if err != nil {
			return err
		}
		c := e.concludeInline(kind, primitive)
		return e.publish(identity, primitive, id.Own, &c, cause)
	}
	u, err := e.filledUnion(identity, primitive)
	if err != nil {
		return err
	}
	if u != nil {
		c, err := e.merger.Union(u)
		if err != nil {
			c = e.otherKind()
		}
		var attacker []byte
		if c.Source >= 0 {
			attacker = []byte(u.Attacker(c.Source))
		}
		return e.publish(identity, primitive, attacker, &c, cause)
	}
	attackers, err := e.addUp(kind, identity, primitive)
	if err != nil {
		return err
	}
	if len(attackers) == 0 {
		return e.retract(identity, primitive)
	}
	c, err := e.merger.End()
	if err != nil {
		c = e.otherKind()
	}
	var attacker []byte
	if c.Source >= 0 {
		attacker = attackers[c.Source]
	}
	return e.publish(identity, primitive, attacker, &c, cause)
}

// addUp gives all contributions to a row to the merger. If they are many it
// keeps their union for the next time, if there is room for it: it reads the first few
// once more for that.
//
// Where some have values in records of their own, a few are many.
func (e *Engine) addUp(kind attribution.Kind, identity, primitive []byte) (attackers [][]byte, err error) {
	e.merger.Begin(kind)
	union := attribution.NewUnion(kind, &e.cfg.Thresholds)
	add := func(s *series, attacker []byte, returns bool) {
		union.Add(&s.Series, attacker)
		if returns {
			union.SetReturns(string(attacker), true)
		}
	}
	few := unionFrom - 1 // may be all
	admitted := e.unions.admits()
	spilled, err := e.eachContribution(identity, primitive, func(s *series, attacker []byte) {
		e.merger.Add(&s.Series, len(attackers))
		returns := e.returns(primitive, &s.Series)
		if returns {
			e.merger.SetReturns()
		}
		if admitted && len(attackers) >= few {
			add(s, attacker, returns)
		}
		attackers = append(attackers, attacker)
	})
	if err != nil || !admitted || !spilled && len(attackers) < unionFrom {
		return attackers, err
	}
	s := series{Series: e.contrib}
	for _, attacker := range attackers[:min(few, len(attackers))] {
		if _, err = e.loadContribution(&s, identity, primitive, attacker); err == nil {
			err = e.loadWhole(&s, identity, primitive, attacker)
		}
		if err != nil {
			return nil, fmt.Errorf("contribution of %s to %s of %s: %w", attacker, primitive, identity, err)
		}
		e.added++
		add(&s, attacker, e.returns(primitive, &s.Series))
	}
	e.contrib = s.Series
	e.holdUnion(identity, primitive, union)
	return attackers, nil
}

// eachContribution reads the contributions to a row, one at a time, each as a
// whole. some reports whether one of them has values in records of their own, which are
// as many reads.
func (e *Engine) eachContribution(identity, primitive []byte, use func(s *series, attacker []byte)) (some bool, err error) {
	prefix := rowKey(nil, kindContribution, identity, primitive)
	var spilled [][]byte
	var names []byte // of the attackers
	s := series{Series: e.contrib}
	err = scan(e.store, prefix, nil, func(rest, value []byte) error {
		e.keys.contrib = append(append(e.keys.contrib[:0], prefix...), rest...)
		e.buf.contribValues.long.at(e.store, e.keys.contrib)
		if err := decodeContribution(value, &s, &e.buf.contribValues); err != nil {
			return err
		}
		at := len(names)
		if names, _, err = appendCutID(names, rest); err != nil {
			return err
		}
		attacker := names[at:len(names):len(names)]
		switch {
		case s.Elsewhere > 0:
			spilled = append(spilled, attacker) // a scan is under way, its gone values come later
		default:
			e.added++
			some = some || len(s.long) > 0
			use(&s, attacker)
		}
		return nil
	})
	for _, attacker := range spilled {
		if err != nil {
			break
		}
		if _, err = e.loadContribution(&s, identity, primitive, attacker); err == nil {
			err = e.loadWhole(&s, identity, primitive, attacker)
		}
		if err == nil {
			e.added += 1 + len(s.Gone)
			use(&s, attacker)
		}
	}
	e.contrib = s.Series
	if err != nil {
		return false, fmt.Errorf("contributions to %s of %s: %w", primitive, identity, err)
	}
	return some || len(spilled) > 0, nil
}

// publish compares the conclusion with what was sent for the row before,
// writes the row, and sends what follows. attacker is whose series the value
// is from. The record of the state topic follows from the row, see [StateRows],
// but for that of a large value.
func (e *Engine) publish(identity, primitive, attacker []byte, c *attribution.Conclusion, cause attribution.Cause) error {
	before := &e.row.was
	if !e.row.published {
		before = nil
	}
	after, change := attribution.Advance(before, c, e.out.Now())
	if change == attribution.Same {
		if e.row.inline {
			e.saveRow(identity, primitive)
		}
		return nil
	}
	e.written++
	was, isNew := e.row.was, !e.row.published
	returned := !isNew && e.row.was.Returns
	e.row.was, e.row.published = after, true
	e.saveRow(identity, primitive)

	shown := after
	var err error
	if shown.Value, err = e.text(after.Value, identity, primitive, attacker); err != nil {
		return err
	}
	if e.out.RowChanged(e.keys.row); isLarge(after.Value) {
		e.stateRow(identity, primitive, &shown)
	}
	if returned != after.Returns {
		e.setFlag(kindReturning, identity, primitive, after.Returns)
	}
	if change != attribution.Moved {
		return nil
	}
	previous := was.Value
	switch {
	case after.State == attribution.Drifting:
		if previous, err = e.driftedFrom(identity, primitive, attacker, c); err != nil {
			return err
		}
	case isNew:
		previous = nil
	}
	if previous, err = e.anyText(previous, identity, primitive); err != nil {
		return err
	}
	e.cfg.Counters.Transitions.Add(1)
	e.buf.id = attribution.EventID(cause, identity, primitive).AppendText(e.buf.id[:0])
	e.buf.out = e.cfg.Format.AppendTransition(e.buf.out[:0], &attribution.Transition{
		EventID:    view(e.buf.id),
		Identity:   view(identity),
		Primitive:  view(primitive),
		Old:        was.State,
		IsNew:      isNew,
		New:        after.State,
		Value:      shown.Value,
		Previous:   previous,
		Confidence: after.Confidence,
		Count:      after.Count,
		TS:         after.LastObservationTS,
	})
	e.out.StateChanged(identity, e.buf.out)
	wasFlagged := !isNew && was.State == attribution.MultiActor
	return e.flag(identity, primitive, wasFlagged, after.State == attribution.MultiActor)
}

// driftedFrom returns what a row drifted from. The merger may not have all the
// HASH values that are needed to know that.
func (e *Engine) driftedFrom(identity, primitive, attacker []byte, c *attribution.Conclusion) (attribution.Value, error) {
	switch s := &e.row.series; {
	case e.row.inline && s.Elsewhere > 0:
		t := e.tree(s, identity, primitive, attacker)
		n := t.newest()
		if t.err != nil {
			return nil, fmt.Errorf("values of %s that were pushed out, in %s of %s: %w", attacker, primitive, identity, t.err)
		}
		e.merger.AlsoSeen(n.Gone)
	case !e.row.inline && e.merger.Partial():
		if before := e.merger.DriftedFrom(c); before != nil {
			return before, nil
		}
		if err := e.unionSaw(identity, primitive, c); err != nil {
			return nil, err
		}
	}
	return e.merger.DriftedFrom(c), nil
}

// retract takes a row away that nobody contributes to any more: a tombstone
// for the world, no event. If it fills again it is a new row.
func (e *Engine) retract(identity, primitive []byte) error {
	found, err := e.loadRow(identity, primitive)
	if err != nil || !found {
		return err
	}
	e.dropUnion(identity, primitive)
	e.due.mark(identity)
	published, flagged, returned := e.row.published, e.row.was.State == attribution.MultiActor, e.row.was.Returns
	e.setRowKey(identity, primitive)
	e.store.Delete(e.keys.row)
	if !published {
		return nil
	}
	e.written++
	e.out.StateRow(appendStateKey(nil, identity, primitive), nil)
	return e.dropFlags(identity, primitive, flagged, returned)
}

func (e *Engine) stateRow(identity, primitive []byte, r *attribution.Row) {
	key := appendStateKey(nil, identity, primitive)
	e.buf.out = appendStateRow(e.buf.out[:0], e.cfg.Format, key, len(identity), r)
	e.out.StateRow(key, e.buf.out)
}

// flag keeps the set of an identity's primitives in multi_actor state, and the
// index of the identities that the sweep must look at.
func (e *Engine) flag(identity, primitive []byte, was, is bool) error {
	if was == is {
		return nil
	}
	e.setFlag(kindFlagged, identity, primitive, is)
	more := 1
	if !is {
		more = -1
	}
	flags, err := e.addFlagged(identity, more)
	if err != nil {
		return err
	}
	enough := e.cfg.Thresholds.MultiActorPrimitives
	if is && flags != enough || !is && flags != enough-1 {
		return nil // after a change of the setting, the task's start and the sweep see to the index
	}
	total, suspect, err := get(e.rare(), idKey(nil, kindSuspect, identity), decodeToldTotal)
	switch {
	case err != nil:
		return fmt.Errorf("suspect record of %s: %w", identity, err)
	case is && !suspect:
		e.putTold(identity, attribution.Told{})
	case !is && suspect && total == 0:
		e.drop(kindSuspect, identity)
	}
	return nil
}

// dropFlags takes a row that is gone out of the sets that it is in.
func (e *Engine) dropFlags(identity, primitive []byte, flagged, returns bool) error {
	if returns {
		e.setFlag(kindReturning, identity, primitive, false)
	}
	return e.flag(identity, primitive, flagged, false)
}
