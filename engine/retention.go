package engine

import (
	"bytes"
	"fmt"
	"math"

	"handprint/attribution"
)

// An identity that is one attacker's stub and that no identity event has named
// is forgotten when nothing was observed of it for Config.Retention
// (docs/attribution.md, "State that ends"). What was observed its rows know, each
// the time of its newest observation, so an observation writes nothing for it:
//
//   - A new stub is added to the index of last days (lastdays.go), once in its
//     life: to a group of stubs, which is one record. The identity's record has
//     the day of its entry, which is never later than the day that the rows say.
//   - A tick looks at the stubs whose day is over (look.go): it reads their rows,
//     and moves the entry of one that was observed since to the latest day of
//     these, or forgets it (forget.go). So an active stub is looked at once in a
//     retention.
//   - An observation that replaces the newest one of a row by an older one takes
//     the row back. The entry then moves to the row's day, if that is earlier.
//
// Without a retention nothing of this is written. Then the index lacks stubs, so
// the first record that is processed says so in the store, and the first tick
// with a retention again makes it whole, in steps (lastDaysOn). Nothing is
// forgotten before that is complete.

// retention is what a task remembers of it.
type retention struct {
	keptUp   bool      // the store says that the index is complete
	building bool      // it is on its way to that
	going    bool      // a command that goes on with what a tick forgets is on its way
	next     *forgetOn // of the tick that came meanwhile
	days     lastDays
	look     look
	row      row // what look reads
}

// secondsADay is a day of UTC, which has no leap seconds in Unix time.
const secondsADay = 24 * 60 * 60

// dayOf returns the day of a time in Unix seconds, counted from 1; 0 for a time
// before 1970 or none at all.
func dayOf(ts float64) uint64 {
	if !(ts >= 0) {
		return 0
	}
	return 1 + uint64(min(ts/secondsADay, math.MaxUint32-1))
}

// endedBefore returns the day before which a stub's last day must lie to be
// forgotten at a tick.
func (e *Engine) endedBefore(tick float64) uint64 { return dayOf(tick - e.cfg.Retention.Seconds()) }

// isNamed reports whether an identity event has done something to an identity:
// merged or unmerged it, or made attackers come to it or leave it.
func (i *identity) isNamed() bool {
	return len(i.MergedInto) > 0 || i.By != (origin{}) || i.Members > 0 || i.Told > 0
}

// mayEnd reports whether an identity is a stub that no event has named.
func (i *identity) mayEnd() bool { return len(i.Own) > 0 && !i.isNamed() }

// nameStub notes that an event has listed an attacker that belongs to its stub,
// and stays there.
func (e *Engine) nameStub(stub []byte, by origin) error {
	id, _, err := e.getIdentity(stub)
	if err != nil || !id.mayEnd() {
		return err
	}
	id.By = by
	e.putIdentity(stub, id)
	return nil
}

// loadRetention reads what a task remembers of it.
func (e *Engine) loadRetention() error {
	e.retention, e.forgetting = retention{}, make(map[string]forgetting)
	e.retention.days.open = make(map[uint64]*openGroup)
	b, err := e.store.Get([]byte{kindLastDays})
	if err != nil {
		return fmt.Errorf("reading whether the index of last days is complete: %w", err)
	}
	e.retention.keptUp = b != nil
	l, found, err := get(e.store, []byte{kindLook}, decodeLook)
	if err != nil {
		return fmt.Errorf("reading which identities are being looked at: %w", err)
	}
	e.retention.look = l
	e.retention.look.stored = found
	err = scan(e.store, []byte{kindForgetting}, nil, func(rest, value []byte) error {
		id, _, err := cutID(rest)
		if err == nil {
			e.forgetting[string(id)], err = decodeForgetting(bytes.Clone(value))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("reading which identities are being forgotten: %w", err)
	}
	return nil
}

// stopRetention notes that observations leave the index of last days behind from
// now on.
func (e *Engine) stopRetention() {
	e.stopLook()
	e.store.Delete([]byte{kindLastDays})
	e.retention.keptUp = false
}

// startLife notes of a stub that it is new, in the identity's record, which the
// caller writes.
func (e *Engine) startLife(stub []byte, id *identity, entry *attribution.Entry) {
	id.Since = entry.Place
	if !id.isNamed() {
		id.Due = dayOf(entry.TS)
		e.putLastDay(id.Due, stub)
	}
}

// moveLastDay moves the entry of a stub to another day. An entry of before is left
// and counts no more.
func (e *Engine) moveLastDay(day uint64, stub []byte, id *identity) {
	id.Due = day
	e.putLastDay(day, stub)
	e.store.Put(idKey(nil, kindIdentity, stub), appendIdentity(nil, *id)) // whose it is has not changed
}

// sawRow is told of an observation of a stub's own attacker, which e.row has taken.
// before is the ts of the row's newest observation until then; negative: it had none.
func (e *Engine) sawRow(stub []byte, before float64) error {
	newest := attribution.HeadOf(&e.row.series.Series)
	looking := len(e.retention.look.From) > 0
	if newest == nil || newest.TS >= before && !looking {
		return nil
	}
	day := dayOf(newest.TS)
	missed := looking && day >= e.retention.look.Before && e.retention.look.isAt(stub)
	if back := newest.TS < before && day < dayOf(before); !back && !missed {
		return nil
	}
	id, _, err := e.getIdentity(stub)
	if err == nil && id.mayEnd() && id.Due > 0 && (missed || day < id.Due) {
		e.moveLastDay(day, stub, &id)
		// The entry may come back to the day of the look, which then counts again.
		if look := &e.retention.look; looking && look.isAt(stub) {
			look.From = nil
			e.saveLook()
		}
	}
	return err
}

// lastDaysOn tells a task to go on with the index of last days.
type lastDaysOn struct {
	Time float64 // of the tick, Unix seconds
	From []byte  // where to go on: a key without its kind
}

func appendLastDaysOn(dst []byte, l *lastDaysOn) []byte {
	return appendBytes(appendFloat(appendCommand(dst, cmdLastDaysOn), l.Time), l.From)
}

func (r *reader) lastDaysOn() lastDaysOn { return lastDaysOn{Time: r.float(), From: r.bytes()} }

// lastDaysOn handles lastDaysOn.
func (e *Engine) lastDaysOn(l *lastDaysOn) error {
	if e.cfg.Retention == 0 {
		return nil // it was turned off again
	}
	next, err := e.addLastDays(l.From)
	if err != nil {
		return err
	}
	if next != nil {
		e.send(e.task, nil, appendLastDaysOn(e.buf.cmd, &lastDaysOn{Time: l.Time, From: next}))
	}
	return nil
}

// maxRowsOfStep bounds the rows that a step of lastDaysOn reads. The stub that
// reaches it is finished.
const maxRowsOfStep = 4096

// addLastDays adds the stubs of the next identities to the index of last days,
// and returns where to go on; nil: the index is complete.
func (e *Engine) addLastDays(from []byte) (next []byte, err error) {
	var keys [][]byte
	n := 0
	err = scan(e.store, []byte{kindIdentity}, append([]byte{kindIdentity}, from...), func(rest, value []byte) error {
		if n++; n > sweepStep {
			next = bytes.Clone(rest)
			return errStop
		}
		id, err := decodeIdentity(value)
		if err == nil && id.mayEnd() {
			keys = append(keys, bytes.Clone(rest))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the identities for the index of last days: %w", err)
	}
	rows := 0
	for _, key := range keys {
		if rows > maxRowsOfStep {
			return key, nil
		}
		n, err := e.addLastDay(key)
		if rows += n; err != nil {
			return nil, fmt.Errorf("the last day of %x: %w", key, err)
		}
	}
	if next == nil {
		e.store.Put([]byte{kindLastDays}, []byte{1})
		e.retention.keptUp, e.retention.building = true, false
	}
	return next, nil
}

// addLastDay adds a stub to the index of last days, and returns how many rows it
// has read. key is the stub as keys have it.
func (e *Engine) addLastDay(key []byte) (rows int, err error) {
	stub, _, err := cutID(key)
	if err != nil {
		return 0, err
	}
	id, _, err := e.getIdentity(stub)
	if err != nil {
		return 0, err
	}
	day := uint64(1)
	if _, old := e.forgetting[string(stub)]; !old { // else there are rows of before
		latest, n, _, err := e.lastDayOfRows(stub, nil, lookStep)
		if err != nil {
			return n, err
		}
		day, rows = max(day, latest), n
	}
	if id.Due == 0 || day < id.Due {
		e.moveLastDay(day, stub, &id)
	}
	return rows, nil
}
