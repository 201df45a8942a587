package engine

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"handprint/attribution"
)

// A stub is forgotten at once for all that follows: its identity's record and its
// suspicion go in one step. Its rows may be very many, so they go in steps, by commands
// of the task to itself, each with the flags that it has; no tick judges the stub
// meanwhile. Until the last one is gone the
// stub has a record that says from which primitive on there are rows of before
// (forgetting). An observation, or an attacker that an event brings, that comes
// to one of these rows takes it away first and marks it as fresh (renewRow): the
// steps leave it alone. So whoever comes meanwhile finds a new identity.

// forgetStep is how many records one step takes away. The row that reaches it
// is finished later, with the step after.
var forgetStep = 1024 // tests make it small

// forgetting is a stub whose rows are being taken away.
type forgetting struct {
	Attacker []byte
	From     []byte // the primitive with which the rows of before begin
	RowsGone bool   // all of them are gone, marks may be left
}

func appendForgetting(dst []byte, f *forgetting) []byte {
	return appendBool(appendBytes(appendBytes(append(dst, 1), f.Attacker), f.From), f.RowsGone)
}

func decodeForgetting(b []byte) (f forgetting, err error) {
	in := reader{b: b}
	in.version(1)
	f = forgetting{Attacker: in.bytes(), From: in.bytes(), RowsGone: in.byte() == 1}
	return f, in.end("identity that is being forgotten")
}

// forgetOn tells a task to go on with what a tick forgets.
type forgetOn struct {
	Time float64             // of the tick, Unix seconds
	By   attribution.Arrival // of the tick
}

func appendForgetOn(dst []byte, f *forgetOn) []byte {
	return appendArrival(appendFloat(appendCommand(dst, cmdForgetOn), f.Time), f.By, attribution.Arrival{})
}

func (r *reader) forgetOn() forgetOn {
	return forgetOn{Time: r.float(), By: r.arrival(attribution.Arrival{})}
}

// forgetAt begins to forget what is due at a tick.
func (e *Engine) forgetAt(t tick, by attribution.Arrival) error {
	if e.cfg.Retention > 0 && !e.retention.keptUp && !e.retention.building {
		e.retention.building = true
		if err := e.lastDaysOn(&lastDaysOn{Time: t.Time}); err != nil {
			return err
		}
	}
	f := &forgetOn{Time: t.Time, By: by}
	if e.retention.going { // what an earlier tick has begun is done first
		e.retention.next = f
		return nil
	}
	return e.forgetOn(f)
}

// forgetOn handles forgetOn.
func (e *Engine) forgetOn(f *forgetOn) error {
	more, err := e.forgetSome(f)
	if next := e.retention.next; !more && next != nil {
		e.retention.next, f, more = nil, next, true
	}
	e.retention.going = more
	if err == nil && more {
		e.send(e.task, nil, appendForgetOn(e.buf.cmd, f))
	}
	return err
}

// forgetInReplay forgets all that is due at a tick of a replay.
func (e *Engine) forgetInReplay(t tick, by attribution.Arrival) error {
	if e.cfg.Retention == 0 {
		return nil
	}
	for from := []byte(nil); !e.retention.keptUp; {
		next, err := e.addLastDays(from)
		if err != nil {
			return err
		}
		from = next
	}
	for more := true; more; {
		var err error
		if more, err = e.forgetSome(&forgetOn{Time: t.Time, By: by}); err != nil {
			return err
		}
	}
	return nil
}

// forgetSome takes one step, and reports whether there are more.
func (e *Engine) forgetSome(f *forgetOn) (more bool, err error) {
	left := forgetStep
	for len(e.forgetting) > 0 && left > 0 {
		stub := slices.Min(slices.Collect(maps.Keys(e.forgetting))) // the least, so that two runs do the same
		n, err := e.forgetRows([]byte(stub), e.forgetting[stub], left)
		if err != nil {
			return false, fmt.Errorf("forgetting %s: %w", stub, err)
		}
		left -= n
	}
	if left <= 0 {
		return true, nil
	}
	if e.cfg.Retention == 0 || !e.retention.keptUp {
		return false, nil // what has begun is done even so
	}
	if err := e.forgetDue(f, left); err != nil {
		return false, err
	}
	return len(e.forgetting) > 0 || len(e.retention.look.Stubs) > 0 || e.retention.days.from < e.endedBefore(f.Time), nil
}

// isAwaited reports whether observations wait at an identity for their attacker
// to arrive.
func (e *Engine) isAwaited(identity []byte) (some bool, err error) {
	err = scan(e.store, idKey(nil, kindWaitingCount, identity), nil, func(_, _ []byte) error {
		some = true
		return errStop
	})
	return some, err
}

// forget forgets a stub, and takes the first of its rows away, until limit records are
// gone. Its suspicion goes in any case.
func (e *Engine) forget(stub []byte, id *identity, f *forgetOn, limit int) (n int, err error) {
	if err := e.forgetSuspicion(stub, f); err != nil {
		return 0, err
	}
	for _, kind := range []byte{kindSuspect, kindSuspicion} {
		key := idKey(nil, kind, stub)
		b, err := e.store.Get(key)
		if err != nil {
			return 0, fmt.Errorf("reading its suspicions: %w", err)
		}
		if b == nil {
			continue
		}
		if n++; kind == kindSuspicion {
			e.store.Delete(key)
			continue
		}
		// It stays in the index of suspects while there are flags: the last rows that
		// take theirs away take it out.
		left, err := flagged(e.store, stub)
		if err != nil {
			return 0, err
		}
		if left >= e.cfg.Thresholds.MultiActorPrimitives {
			e.putTold(stub, attribution.Told{})
		} else {
			e.store.Delete(key)
		}
	}
	e.drop(kindIdentity, stub)
	e.stubs.forgotten(stub)
	e.due.judged(stub, nil, attribution.SuspicionCleared)
	e.cfg.Counters.Forgotten.Add(1)
	rows, err := e.forgetRows(stub, forgetting{Attacker: bytes.Clone(id.Own)}, limit-n-1)
	return n + 1 + rows, err
}

// forgetSuspicion clears the suspicion of a stub that is forgotten.
func (e *Engine) forgetSuspicion(stub []byte, f *forgetOn) error {
	if e.cfg.Thresholds.SuspicionRule == attribution.RulePrimitives {
		return nil // it knows no clearing
	}
	open, _, err := get(e.store, idKey(nil, kindSuspicion, stub), decodeSuspicion)
	if err != nil || open == nil {
		return err
	}
	evidence, err := e.evidenceOf(stub, open)
	if err != nil {
		return err
	}
	return e.sendSuspicion(stub, open, attribution.SuspicionCleared, &evidence, f.Time, attribution.Cause{Topic: attribution.CauseForgetting, Arrival: f.By})
}

// forgetRows takes rows of a stub away, until limit records are gone, and notes
// how far it has come. It returns how many records that took.
func (e *Engine) forgetRows(stub []byte, f forgetting, limit int) (n int, err error) {
	_, noted := e.forgetting[string(stub)]
	for !f.RowsGone && n < limit {
		primitives, over, err := e.rowsFrom(stub, f.From, limit-n)
		if err != nil {
			return n, err
		}
		for i, primitive := range primitives {
			records, whole := 1, true
			fresh := false
			if noted { // nothing came to it before
				fresh, err = e.isFresh(stub, primitive)
			}
			if err == nil && !fresh {
				records, whole, err = e.forgetRow(stub, primitive, f.Attacker, limit-n)
			}
			if n += records; err != nil {
				return n, err
			}
			if f.From = primitive; whole {
				f.From = append(bytes.Clone(primitive), 0, 0) // behind its key
			}
			if over = over && whole; n >= limit {
				over = over && i == len(primitives)-1
				break
			}
		}
		f.RowsGone = over
	}
	over := !noted
	if f.RowsGone && noted && n < limit {
		records := 0
		if records, over, err = e.deleteSome(idKey(nil, kindFresh, stub), limit-n); err != nil {
			return n, err
		}
		n += records
	}
	if over = over && f.RowsGone; !over {
		e.forgetting[string(stub)] = f
		e.store.Put(idKey(nil, kindForgetting, stub), appendForgetting(nil, &f))
	} else if noted {
		delete(e.forgetting, string(stub))
		e.drop(kindForgetting, stub)
	}
	return n, nil
}

// rowsFrom returns the primitives of the next rows of an identity, at most limit,
// and reports whether these are all.
func (e *Engine) rowsFrom(identity, from []byte, limit int) (primitives [][]byte, over bool, err error) {
	prefix := idKey(nil, kindRow, identity)
	over = true
	err = scan(e.store, prefix, append(bytes.Clone(prefix), from...), func(rest, _ []byte) error {
		if len(primitives) == limit {
			over = false
			return errStop
		}
		primitive, _, err := cutPrimitive(rest)
		primitives = append(primitives, bytes.Clone(primitive))
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("reading its rows: %w", err)
	}
	return primitives, over, nil
}

// forgetRow takes one row of a stub away with all that belongs to it, until limit
// records are gone, and reports whether that is all. The row goes last, with the
// long values that it cannot be read without.
func (e *Engine) forgetRow(stub, primitive, attacker []byte, limit int) (n int, whole bool, err error) {
	found, err := e.loadRow(stub, primitive)
	if err != nil || !found {
		return 1, err == nil, err
	}
	s := &e.row.series
	var prefixes [][]byte
	if s.Elsewhere > 0 {
		prefixes = append(prefixes, seriesKey(nil, kindGone, stub, primitive, attacker))
	}
	if hasLarge(s) || isLarge(e.row.was.Value) {
		prefixes = append(prefixes, rowKey(nil, kindLarge, stub, primitive))
	}
	for _, prefix := range prefixes {
		records, over, err := e.deleteSome(prefix, max(limit-n, 1))
		if n += records; err != nil || !over {
			return n, false, err
		}
	}
	for i := range s.long {
		e.store.Delete(append(rowKey(nil, kindLong, stub, primitive), s.long[i].digest[:]...))
	}
	e.dropUnion(stub, primitive)
	e.setRowKey(stub, primitive)
	e.store.Delete(e.keys.row)
	n += len(s.long) + 1
	if !e.row.published {
		return n, true, nil
	}
	e.out.StateRow(appendStateKey(nil, stub, primitive), nil)
	isFlagged, returns := e.row.was.State == attribution.MultiActor, e.row.was.Returns
	if isFlagged || returns {
		n++
	}
	return n, true, e.dropFlags(stub, primitive, isFlagged, returns)
}

// deleteSome deletes the records whose keys begin with a prefix, at most limit of
// them, and reports whether these are all.
func (e *Engine) deleteSome(prefix []byte, limit int) (n int, over bool, err error) {
	var keys [][]byte
	over = true
	err = scan(e.store, prefix, nil, func(rest, _ []byte) error {
		if len(keys) == limit {
			over = false
			return errStop
		}
		keys = append(keys, append(bytes.Clone(prefix), rest...))
		return nil
	})
	if err != nil {
		return 0, false, err
	}
	for _, key := range keys {
		e.store.Delete(key)
	}
	return len(keys), over, nil
}

func (e *Engine) isFresh(stub, primitive []byte) (bool, error) {
	b, err := e.store.Get(rowKey(nil, kindFresh, stub, primitive))
	if err != nil {
		return false, fmt.Errorf("reading whether its row %s is a new one: %w", primitive, err)
	}
	return b != nil, nil
}

// isForgotten reports whether a row is one of a stub that was forgotten, which has
// not been taken away yet.
func (e *Engine) isForgotten(identity, primitive []byte) (bool, error) {
	if len(e.forgetting) == 0 {
		return false, nil
	}
	f, is := e.forgetting[string(identity)]
	if !is || f.RowsGone || bytes.Compare(primitive, f.From) < 0 {
		return false, nil
	}
	fresh, err := e.isFresh(identity, primitive)
	return !fresh, err
}

// renewRow takes a row away, before anything comes to it, that belongs to a stub
// that was forgotten.
func (e *Engine) renewRow(identity, primitive []byte) error {
	forgotten, err := e.isForgotten(identity, primitive)
	if err != nil || !forgotten {
		return err
	}
	for whole := false; !whole; {
		if _, whole, err = e.forgetRow(identity, primitive, e.forgetting[string(identity)].Attacker, forgetStep); err != nil {
			return fmt.Errorf("forgetting %s of %s: %w", primitive, identity, err)
		}
	}
	e.store.Put(rowKey(nil, kindFresh, identity, primitive), []byte{1})
	return nil
}

// forgotten is told of a stub that is forgotten. Rows that it says are there may
// be gone.
func (s *stubCaches) forgotten(stub []byte) {
	if at := s.stub(stub); at != nil {
		at.ownsItself = false
	}
}
