package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"handprint/attribution"
)

// One record looks at sweepStep identities, or at fewer whose evidence has sweepNames
// names. The rest goes on by a command of the task to itself.
var sweepStep, sweepNames = 256, 1 << 14 // tests make them small

// tick handles a tick: it begins a sweep.
func (e *Engine) tick(t tick) error {
	e.unions.tick(e.out.Now())
	e.rowsOf.tick(e.out.Now())
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
func (e *Engine) judgeAll(identities [][]byte, now float64, by attribution.Arrival) error {
	for _, identity := range identities {
		if _, err := e.judge(identity, now, by); err != nil {
			return err
		}
	}
	return nil
}

// judge does to one identity what a tick at the time now does, and returns how many
// names its evidence has.
func (e *Engine) judge(identity []byte, now float64, by attribution.Arrival) (names int, err error) {
	if e.cfg.Thresholds.SuspicionRule != attribution.RulePrimitives {
		names, err = e.judgeEvidence(identity, now, by)
	} else {
		names, err = e.judgePrimitives(identity, now, by)
	}
	if err != nil {
		return 0, fmt.Errorf("the suspicion of %s: %w", identity, err)
	}
	return names, nil
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
	names := 0
	for _, key := range suspects {
		if names >= sweepNames {
			return key, nil
		}
		id, _, err := cutID(key)
		if err != nil {
			return nil, err
		}
		n, err := e.judge(id, t.Time, by)
		if err != nil {
			return nil, err
		}
		names += n
	}
	return next, nil
}

// suspects lists the next identities with a record in one of the sweep's indexes,
// each once, at most sweepStep of them, by their keys without the kind. next is the key
// after them; nil: there is none.
func (e *Engine) suspects(kinds, from []byte) (keys [][]byte, next []byte, err error) {
	for _, kind := range kinds {
		n, last := 0, []byte(nil)
		err := scan(e.store, []byte{kind}, append([]byte{kind}, from...), func(rest, _ []byte) error {
			_, name, err := cutID(rest)
			if err != nil {
				return err
			}
			key := rest[:len(rest)-len(name)] // a set of names has several records
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
	return keys, next, nil
}

// judgePrimitives does to one identity what a tick does under
// [attribution.RulePrimitives].
func (e *Engine) judgePrimitives(identity []byte, now float64, by attribution.Arrival) (names int, err error) {
	if _, forgetting := e.forgetting[string(identity)]; forgetting || e.unsettled[string(identity)].Settling {
		e.due.mark(identity) // its rows change one after the other: the next sweep sees them all
		return 0, nil
	}
	told, suspect, err := e.getTold(identity)
	if err != nil || !suspect {
		return 0, err
	}
	var is attribution.Told
	if is.Names, _, err = alternating(e.store, identity, e.cfg.Registry, &e.cfg.Thresholds); err != nil {
		return 0, err
	}
	if is.Total, err = flagged(e.store, identity); err != nil {
		return 0, err
	}
	names = len(is.Names) + len(told.Names)
	send, suspect := attribution.Sweep(is, told, &e.cfg.Thresholds)
	if !suspect {
		e.drop(kindSuspect, identity)
		return names, nil
	}
	if !send {
		return names, nil
	}
	e.putTold(identity, is)
	e.cfg.Counters.Suspicions.Add(1)
	s := attribution.Suspicion{
		EventID:    attribution.EventID(attribution.Cause{Topic: attribution.CauseTick, Arrival: by}, identity, nil).String(),
		Identity:   string(identity),
		Primitives: is.Names,
		Confidence: e.cfg.Thresholds.MultiActorCap,
		TS:         now,
	}
	if is.Total > len(is.Names) {
		s.Total = is.Total
	}
	e.buf.out = e.cfg.Format.AppendSuspicion(e.buf.out[:0], &s)
	e.out.Suspected(identity, e.buf.out)
	return names, nil
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
	records := 0
	err := scan(e.store, []byte{kindFlagCount}, append([]byte{kindFlagCount}, i.From...), func(rest, value []byte) error {
		if records++; records > sweepStep {
			next = bytes.Clone(rest)
			return errStop
		}
		id, _, err := cutID(rest)
		if err != nil {
			return err
		}
		n, err := decodeCount(value)
		if n >= i.Primitives {
			missing = append(missing, id)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the flagged identities: %w", err)
	}
	for _, id := range missing {
		_, there, err := get(e.rare(), idKey(nil, kindSuspect, id), decodeToldTotal)
		if err != nil {
			return fmt.Errorf("suspect record of %s: %w", id, err)
		}
		if !there {
			e.putTold(id, attribution.Told{})
		}
	}
	if next != nil {
		e.send(e.task, nil, appendIndexOn(e.buf.cmd, &indexOn{Primitives: i.Primitives, From: next}))
		return nil
	}
	e.store.Put([]byte{kindIndex}, appendIndex(nil, index{Primitives: i.Primitives}))
	return nil
}
