package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"handprint/attribution"
)

// An identity that is one attacker's stub and that no identity event has named
// is forgotten when nothing was observed of it for Config.Retention
// (docs/attribution.md, "State that ends"). Time is counted in days, so that an
// attacker that is seen all day costs one more record a day:
//
//   - The record of the stub's identity has the latest day of an observation.
//     An observation of that day, or of one before, writes nothing.
//   - The index of last days has one entry for each such stub, of that day or an
//     earlier one. A tick looks at the entries that are due: it moves one whose
//     stub was observed later, and forgets the others. So an active stub moves
//     once in a retention.
//
// Without a retention nothing of this is written. Observations then leave the
// days behind, so the first record that is processed says so in the store, and
// the first tick with a retention again reads the days from the rows, in steps
// (lastDaysOn). Nothing is forgotten before that is complete.

// retention is what a task remembers of it.
type retention struct {
	keptUp   bool      // the store says that the index is complete
	building bool      // it is on its way to that
	going    bool      // a command that goes on with what a tick forgets is on its way
	next     *forgetOn // of the tick that came meanwhile
	from     uint64    // no entry is of a day before; 0: not known
	after    []byte    // no entry has a key less than this, without its kind; nil: not known
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

// nameStub notes that an event has listed an attacker that belongs to its stub,
// and stays there.
func (e *Engine) nameStub(stub []byte, by origin) error {
	id, _, err := e.getIdentity(stub)
	if err != nil || len(id.Own) == 0 || id.isNamed() {
		return err
	}
	id.By = by
	e.putIdentity(stub, id)
	return nil
}

func lastDayKey(day uint64, stub []byte) []byte {
	return appendID(binary.BigEndian.AppendUint32([]byte{kindLastDay}, uint32(day)), stub)
}

func (e *Engine) putLastDay(day uint64, stub []byte) {
	e.store.Put(lastDayKey(day, stub), []byte{1})
	e.retention.from = min(e.retention.from, day)
	if key := lastDayKey(day, stub)[1:]; bytes.Compare(key, e.retention.after) < 0 {
		e.retention.after = key // nothing is before it, as nothing was before after
	}
}

// loadRetention reads what a task remembers of it.
func (e *Engine) loadRetention() error {
	e.retention, e.forgetting = retention{}, make(map[string]forgetting)
	b, err := e.store.Get([]byte{kindLastDays})
	if err != nil {
		return fmt.Errorf("reading whether the index of last days is complete: %w", err)
	}
	e.retention.keptUp = b != nil
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
	e.store.Delete([]byte{kindLastDays})
	e.retention.keptUp = false
}

// startLife notes of a stub that it is new, in the identity's record.
func (e *Engine) startLife(stub []byte, id *identity, entry *attribution.Entry) {
	id.Since = entry.Place
	if id.isNamed() {
		return
	}
	id.LastDay = dayOf(entry.TS)
	e.putLastDay(id.LastDay, stub)
	if at := e.stubs.stub(stub); at != nil {
		at.day = id.LastDay
	}
}

// seenOn notes the day of an observation of a stub's own attacker, whose row is
// in e.row. Of a row that was observed on that day before, the day is known.
func (e *Engine) seenOn(stub []byte, ts float64) error {
	day := dayOf(ts)
	at := e.stubs.stub(stub)
	if at != nil && at.day >= day || e.row.published && dayOf(e.row.was.LastObservationTS) >= day {
		return nil
	}
	id, _, err := e.getIdentity(stub)
	if err != nil {
		return err
	}
	if id.isNamed() || len(id.Own) == 0 {
		day = math.MaxUint64 // it is not forgotten, so it need not be asked again
	} else if day > id.LastDay {
		if id.LastDay == 0 {
			e.putLastDay(day, stub)
		}
		id.LastDay = day
		e.store.Put(idKey(nil, kindIdentity, stub), appendIdentity(nil, id)) // whose it is has not changed
	}
	if at != nil {
		at.day = max(day, id.LastDay)
	}
	return nil
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
	next, err := e.addLastDays(l.Time, l.From)
	if err != nil {
		return err
	}
	if next != nil {
		e.send(e.task, nil, appendLastDaysOn(e.buf.cmd, &lastDaysOn{Time: l.Time, From: next}))
	}
	return nil
}

// addLastDays adds the stubs of the next identities to the index of last days,
// and returns where to go on; nil: the index is complete.
func (e *Engine) addLastDays(tick float64, from []byte) (next []byte, err error) {
	var keys [][]byte
	n := 0
	err = scan(e.store, []byte{kindIdentity}, append([]byte{kindIdentity}, from...), func(rest, value []byte) error {
		if n++; n > sweepStep {
			next = bytes.Clone(rest)
			return errStop
		}
		id, err := decodeIdentity(value)
		if err == nil && len(id.Own) > 0 && !id.isNamed() {
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
		n, err := e.addLastDay(key, tick)
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
func (e *Engine) addLastDay(key []byte, tick float64) (rows int, err error) {
	stub, _, err := cutID(key)
	if err != nil {
		return 0, err
	}
	id, _, err := e.getIdentity(stub)
	if err != nil {
		return 0, err
	}
	day, rows, err := e.lastDayOfRows(stub, tick)
	if err != nil || day <= id.LastDay {
		return rows, err
	}
	if id.LastDay == 0 {
		e.putLastDay(day, stub)
	}
	id.LastDay = day
	e.putIdentity(stub, id)
	return rows, nil
}

// Bounds of a step of lastDaysOn. A stub with more than maxRowsOfDay rows counts
// as observed on the day of the tick.
const (
	maxRowsOfDay  = 256
	maxRowsOfStep = 4096
)

// lastDayOfRows returns the latest day on which a row of a stub was observed, and
// how many rows it has read.
func (e *Engine) lastDayOfRows(stub []byte, tick float64) (day uint64, rows int, err error) {
	day = 1
	err = scan(e.store, idKey(nil, kindRow, stub), nil, func(_, value []byte) error {
		if rows++; rows > maxRowsOfDay {
			day = max(day, dayOf(tick))
			return errStop
		}
		var r row
		e.buf.rowValues.long.from = nil // its series is not looked at
		err := decodeRow(bytes.Clone(value), &r, &e.buf.rowValues)
		day = max(day, dayOf(r.was.LastObservationTS))
		return err
	})
	if err != nil {
		return 0, rows, fmt.Errorf("reading its rows: %w", err)
	}
	return day, rows, nil
}
