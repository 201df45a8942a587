package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"handprint/attribution"
)

// A tick looks at the rows of each stub whose day is over, lookStep of them at a
// time, as one may have very many. What a group has left at the end of a step stands
// in the store, with the row where the step after goes on.
//
// An observation that comes while a stub is looked at may be of a row that was
// passed: one of a day that is not over moves the stub's entry, so the look finds that
// it counts no more.

// lookStep is how many rows of a stub are read before it is looked whether that is
// enough.
var lookStep = 256 // tests make it small

// look is the group that a tick is looking at.
type look struct {
	Before uint64 // the day that the rows that were passed are before
	Day    uint64 // of the group
	Stubs  []byte // that are left, 16 bytes each
	From   []byte // where the rows of the first one go on: a key without what they begin with; nil: with the first

	stored bool // the store has it
}

func appendLook(dst []byte, l *look) []byte {
	dst = binary.AppendUvarint(binary.AppendUvarint(append(dst, 1), l.Before), l.Day)
	return appendBytes(appendBytes(dst, l.Stubs), l.From)
}

func decodeLook(b []byte) (l look, err error) {
	in := reader{b: b}
	in.version(1)
	l = look{Before: in.uvarint(), Day: in.uvarint(), Stubs: in.bytes(), From: in.bytes()}
	if in.err == nil && len(l.Stubs)%len(attribution.UUID{}) != 0 {
		in.fail(errShort)
	}
	return l, in.end("identities that are being looked at")
}

// stub returns the stub that is looked at.
func (l *look) stub() []byte {
	return attribution.UUID(l.Stubs).AppendText(nil)
}

// isAt reports whether a stub is the one that is looked at.
func (l *look) isAt(stub []byte) bool {
	u, is := attribution.ParseUUID(stub)
	return is && len(l.Stubs) > 0 && bytes.Equal(l.Stubs[:len(u)], u[:])
}

// pass goes on to the next stub.
func (l *look) pass() { l.Stubs, l.From = l.Stubs[len(attribution.UUID{}):], nil }

// saveLook writes what is left of the look to the store.
func (e *Engine) saveLook() {
	l := &e.retention.look
	switch {
	case len(l.Stubs) > 0:
		e.store.Put([]byte{kindLook}, appendLook(nil, l))
		l.stored = true
	case l.stored:
		e.store.Delete([]byte{kindLook})
		l.stored = false
	}
}

// stopLook puts the stubs that are left back into the index.
func (e *Engine) stopLook() {
	for l := &e.retention.look; len(l.Stubs) > 0; l.pass() {
		e.putLastDay(l.Day, l.stub())
	}
	e.saveLook()
}

// forgetDue looks at the stubs that are due, until limit records are read or gone.
func (e *Engine) forgetDue(f *forgetOn, limit int) error {
	l := &e.retention.look
	before := e.endedBefore(f.Time)
	for limit > 0 {
		if len(l.Stubs) == 0 {
			day, stubs, err := e.takeGroup(before)
			if err != nil {
				return err
			}
			if stubs == nil {
				break
			}
			l.Before, l.Day, l.Stubs, l.From = before, day, stubs, nil
		}
		stub := l.stub()
		n, err := e.lookAt(stub, before, limit, f)
		if err != nil {
			return fmt.Errorf("looking whether %s is to be forgotten: %w", stub, err)
		}
		limit -= n
	}
	e.saveLook()
	return nil
}

// lookAt looks at the next rows of the stub that is looked at. It forgets the stub,
// moves its entry, or takes the entry away, once that is clear, and returns how many
// records that took.
func (e *Engine) lookAt(stub []byte, before uint64, limit int, f *forgetOn) (n int, err error) {
	l := &e.retention.look
	id, _, err := e.getIdentity(stub)
	if err != nil {
		return 1, err
	}
	if !id.mayEnd() || id.Due != l.Day {
		l.pass() // the entry does not count
		return 1, nil
	}
	_, linked, err := e.getLink(id.Own)
	if err != nil {
		return 1, err
	}
	if _, touched := e.unsettled[string(stub)]; linked || touched {
		l.pass() // an event has named it
		return 1, nil
	}
	if l.Day >= before { // it was due at another tick
		e.putLastDay(l.Day, stub)
		l.pass()
		return 1, nil
	}
	_, wait := e.forgetting[string(stub)] // it has come back while its rows are taken away
	if !wait {
		if wait, err = e.isAwaited(stub); err != nil {
			return 1, err
		}
	}
	if wait {
		e.moveLastDay(before, stub, &id)
		l.pass()
		return 1, nil
	}
	switch {
	case len(l.From) == 0:
		l.Before = before
	case before < l.Before:
		l.From, l.Before = nil, before // it has passed rows that are not too old at this tick
	} // else it goes on as it began: steps of two ticks that took turns would begin anew each time
	day, n, next, err := e.lastDayOfRows(stub, l.From, min(lookStep, limit))
	switch {
	case err != nil:
		return n, err
	case day >= l.Before:
		e.moveLastDay(day, stub, &id)
		l.pass()
		return n + 1, nil
	case next != nil:
		l.From = next
		return n, nil
	}
	l.pass()
	forgotten, err := e.forget(stub, &id, f, limit-n)
	return n + forgotten, err
}

// lastDayOfRows returns the latest day on which a row of a stub was observed, how many
// rows it has read, at most limit, and where to go on; nil: these are all.
func (e *Engine) lastDayOfRows(stub, from []byte, limit int) (day uint64, n int, next []byte, err error) {
	prefix := idKey(nil, kindRow, stub)
	r := &e.retention.row
	err = scan(e.store, prefix, append(bytes.Clone(prefix), from...), func(rest, value []byte) error {
		if n == limit {
			next = bytes.Clone(rest)
			return errStop
		}
		n++
		e.buf.row = append(e.buf.row[:0], value...)
		e.buf.rowValues.long.from = nil // its series is not looked at
		if err := decodeRow(e.buf.row, r, &e.buf.rowValues); err != nil {
			return err
		}
		if newest := attribution.HeadOf(&r.series.Series); r.inline && newest != nil {
			day = max(day, dayOf(newest.TS))
		} else if r.published {
			day = max(day, dayOf(r.was.LastObservationTS))
		}
		return nil
	})
	if err != nil {
		return 0, n, nil, fmt.Errorf("reading its rows: %w", err)
	}
	return day, max(n, 1), next, nil
}
