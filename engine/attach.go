package engine

import (
	"fmt"
	"slices"
)

// attach handles attach at the new identity's home: it puts the attacker's
// contributions into the identity. With the last part the attacker becomes a
// member, and the observations that waited for that begin to be released.
func (e *Engine) attach(a *attach) error {
	rows, err := e.attachParts(a)
	if err != nil {
		return fmt.Errorf("bringing attacker %s to %s: %w", a.Attacker, a.New, err)
	}
	came := false
	if a.Last {
		if came, err = e.join(a); err != nil {
			return err
		}
	}
	err = e.unsettle(a.New, a.By, func(u *unsettled) {
		if came {
			u.In++
			u.Came = withListed(u.Came, a.Attacker)
		}
		u.RowsIn += rows
	})
	if err != nil || !a.Last {
		return err
	}
	return e.release(&release{By: a.By, Attacker: a.Attacker, Identity: a.New, Old: a.Old})
}

// join makes an attacker a member of the identity, and reports whether it was
// none. In a later round of the event it may be one already.
func (e *Engine) join(a *attach) (came bool, err error) {
	at, found, err := e.getMember(a.New, a.Attacker)
	if err != nil || found && at.Version == a.By.Version {
		return false, err
	}
	at = member{Version: a.By.Version}
	wait, err := e.waiting(a.New, a.Attacker)
	if err != nil {
		return false, err
	}
	if wait {
		at.Release = 1
	}
	e.putMember(a.New, a.Attacker, at)
	e.cfg.Counters.Moves.Add(1)
	if found {
		return true, nil
	}
	return true, e.countMember(a.New, 1)
}

func (e *Engine) attachParts(a *attach) (rows uint64, err error) {
	in := reader{b: a.Parts}
	for len(in.b) > 0 {
		t, primitive, name, record := in.part()
		if in.err != nil {
			break
		}
		// Before its values are put: they belong to the row that is renewed.
		if err := e.renewRow(a.New, primitive); err != nil {
			return rows, err
		}
		switch t {
		case partLarge:
			ref := append([]byte{largeMark}, name...)
			e.store.Put(e.largeKey(ref, a.New, primitive, a.Attacker), record)
		case partGone:
			key := append(seriesKey(nil, kindGone, a.New, primitive, a.Attacker), name...)
			if _, err := decodeGoneNode(record, &values{}); err != nil {
				return rows, err
			}
			e.store.Put(key, record)
		case partContribution:
			if _, err := e.openRow(a.New, primitive); err != nil {
				return rows, err
			}
			if err := e.bringContribution(a, primitive, record); err != nil {
				return rows, err
			}
			if err := e.unionJoined(a.New, primitive, a.Attacker, record); err != nil {
				return rows, err
			}
			e.markDirty(a.New, primitive)
			rows++
		default:
			return rows, fmt.Errorf("part of unknown type %d", t)
		}
	}
	return rows, in.end("attach")
}

// bringContribution stores what an attacker brings along to a row, in place of
// what an earlier round of the event has brought.
func (e *Engine) bringContribution(a *attach, primitive, record []byte) error {
	s := series{Series: e.contrib}
	again, err := e.loadContribution(&s, a.New, primitive, a.Attacker)
	if err != nil {
		return err
	}
	if again {
		e.dropUnion(a.New, primitive)
	} else {
		e.rowsOf.came(a.New, primitive, a.Attacker)
	}
	earlier := slices.Clone(s.long)
	for i := range earlier {
		earlier[i].text = nil // is lent to the next series
	}
	if err := decodeContribution(record, &s, &e.buf.contribValues); err != nil {
		return fmt.Errorf("contribution to %s: %w", primitive, err)
	}
	s.long = earlier
	e.saveContribution(&s, a.New, primitive, a.Attacker)
	e.contrib = s.Series
	return nil
}
