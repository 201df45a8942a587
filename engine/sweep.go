package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"handprint/attribution"
)

// sweepStep is how many identities one record looks at. The rest goes on by a
// command of the task to itself.
var sweepStep = 256 // tests make it small

// tick handles a tick: it begins a sweep.
func (e *Engine) tick(t tick) error {
	e.unions.tick(e.out.Now())
	if err := e.indexSuspects(); err != nil {
		return err
	}
	if err := e.sweepOn(&sweepOn{Time: t.Time, By: e.now.arrival()}); err != nil {
		return err
	}
	return e.forgetAt(t, e.now.arrival())
}

// sweepOn handles sweepOn: it goes on with a sweep.
func (e *Engine) sweepOn(s *sweepOn) error {
	next, err := e.sweepFrom(tick{Time: s.Time}, s.By, s.From)
	if err == nil && next != nil {
		e.send(e.task, nil, appendSweepOn(e.buf.cmd, &sweepOn{Time: s.Time, By: s.By, From: next}))
	}
	return err
}

// sweep looks at the task's suspects at a tick and sends what is new about them.
// by is the tick's place in the input; the ids of events are made from it. The
// work grows with the number of suspects.
func (e *Engine) sweep(t tick, by attribution.Arrival) error {
	if !e.due.all {
		return e.judgeAll(e.due.take(t.Time, e.cfg.Thresholds.SuspicionQuiet), t.Time, by)
	}
	e.due.all = false
	for from := []byte(nil); ; {
		next, err := e.sweepFrom(t, by, from)
		if err != nil || next == nil {
			return err
		}
		from = next
	}
}

// judgeAll does to each of the identities what a tick at the time now does.
func (e *Engine) judgeAll(identities [][]byte, now float64, by attribution.Arrival) (err error) {
	for _, identity := range identities {
		if e.cfg.Thresholds.SuspicionRule != attribution.RulePrimitives {
			err = e.judge(identity, now, by)
		} else {
			err = e.judgePrimitives(identity, now, by)
		}
		if err != nil {
			return fmt.Errorf("the suspicion of %s: %w", identity, err)
		}
	}
	return nil
}

// sweepFrom looks at the next suspects, from a key without its kind on. It
// returns where to go on; nil: it was the last step.
func (e *Engine) sweepFrom(t tick, by attribution.Arrival, from []byte) (next []byte, err error) {
	kinds := []byte{kindSuspect, kindReturning, kindSuspicion}
	if e.cfg.Thresholds.SuspicionRule == attribution.RulePrimitives {
		kinds = kinds[:1]
	}
	suspects, next, err := e.suspects(kinds, from)
	if err != nil {
		return nil, fmt.Errorf("reading the suspects: %w", err)
	}
	return next, e.judgeAll(suspects, t.Time, by)
}

// suspects lists the next identities with a record in one of the sweep's indexes,
// each once, at most sweepStep of them.
func (e *Engine) suspects(kinds, from []byte) (list [][]byte, next []byte, err error) {
	var keys [][]byte
	for _, kind := range kinds {
		n, last := 0, []byte(nil)
		err := scan(e.store, []byte{kind}, append([]byte{kind}, from...), func(rest, _ []byte) error {
			_, part, err := cutID(rest)
			if err != nil {
				return err
			}
			key := rest[:len(rest)-len(part)] // a set of names has several records
			if last != nil && bytes.Equal(key, last) {
				return nil
			}
			if n++; n > sweepStep+1 {
				return errStop // more would not be among the first of all
			}
			last = bytes.Clone(key)
			keys = append(keys, last)
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	slices.SortFunc(keys, bytes.Compare)
	keys = slices.CompactFunc(keys, bytes.Equal)
	if len(keys) > sweepStep {
		keys, next = keys[:sweepStep], keys[sweepStep]
	}
	for _, key := range keys {
		id, _, err := cutID(key)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, id)
	}
	return list, next, nil
}

// judgePrimitives does to one identity what a tick does under
// [attribution.RulePrimitives].
func (e *Engine) judgePrimitives(identity []byte, now float64, by attribution.Arrival) error {
	if e.unsettled[string(identity)].Settling {
		e.due.mark(identity) // its rows are compared one after the other: the next sweep sees them all
		return nil
	}
	sent, suspect, err := e.getNames(kindSuspect, identity)
	if err != nil || !suspect {
		return err
	}
	flagged, err := flags(e.store, kindFlagged, identity)
	if err != nil {
		return err
	}
	send, remember := attribution.Sweep(flagged, sent, &e.cfg.Thresholds)
	if remember == nil {
		e.drop(kindSuspect, identity)
		return nil
	}
	if !send {
		return nil
	}
	e.putNames(kindSuspect, identity, remember)
	e.cfg.Counters.Suspicions.Add(1)
	e.buf.out = e.cfg.Format.AppendSuspicion(e.buf.out[:0], &attribution.Suspicion{
		EventID:    attribution.EventID(attribution.Cause{Topic: attribution.CauseTick, Arrival: by}, identity, nil).String(),
		Identity:   string(identity),
		Primitives: flagged,
		Confidence: e.cfg.Thresholds.MultiActorCap,
		TS:         now,
	})
	e.out.Suspected(identity, e.buf.out)
	return nil
}

// index says for which setting the index of suspects is complete.
type index struct {
	Primitives uint64 // multi-actor-min-primitives
}

func appendIndex(dst []byte, i index) []byte {
	return binary.AppendUvarint(append(dst, 1), i.Primitives)
}

func decodeIndex(b []byte) (i index, err error) {
	in := reader{b: b}
	in.version(1)
	i.Primitives = in.uvarint()
	return i, in.end("index of suspects")
}

// indexSuspects begins to add the identities to the index that have become
// suspects because the setting was lowered. The first ticks after the change may
// come before the index is complete.
func (e *Engine) indexSuspects() error {
	now := index{Primitives: uint64(e.cfg.Thresholds.MultiActorPrimitives)}
	if e.indexed == now {
		return nil
	}
	was, found, err := get(e.store, []byte{kindIndex}, decodeIndex)
	if err != nil {
		return fmt.Errorf("reading what the index of suspects was made for: %w", err)
	}
	e.indexed = now // or on the way to it
	if found && was == now {
		return nil
	}
	return e.indexOn(&indexOn{Primitives: now.Primitives})
}

// indexOn handles indexOn: it goes on with the index of suspects.
func (e *Engine) indexOn(i *indexOn) error {
	if i.Primitives != uint64(e.cfg.Thresholds.MultiActorPrimitives) {
		return nil // it was changed again
	}
	var missing [][]byte
	var next []byte
	var id []byte
	records, names := 0, 0 // names: of the identity
	err := scan(e.store, []byte{kindFlagged}, append([]byte{kindFlagged}, i.From...), func(rest, value []byte) error {
		of, _, err := cutID(rest)
		if err != nil {
			return err
		}
		if records++; !bytes.Equal(of, id) {
			if records > sweepStep {
				next = bytes.Clone(rest)
				return errStop
			}
			id, names = of, 0
		}
		part, err := decodeNames(value)
		if err != nil {
			return err
		}
		enough := e.cfg.Thresholds.MultiActorPrimitives
		if names < enough && names+len(part) >= enough {
			missing = append(missing, id)
		}
		names += len(part)
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the flagged identities: %w", err)
	}
	for _, id := range missing {
		_, there, err := e.getNames(kindSuspect, id)
		if err != nil {
			return err
		}
		if !there {
			e.putNames(kindSuspect, id, nil)
		}
	}
	if next != nil {
		e.send(e.task, nil, appendIndexOn(e.buf.cmd, &indexOn{Primitives: i.Primitives, From: next}))
		return nil
	}
	e.store.Put([]byte{kindIndex}, appendIndex(nil, index{Primitives: i.Primitives}))
	return nil
}
