package engine

import (
	"fmt"

	"handprint/attribution"
)

// sweep looks at the task's suspects at a tick and sends what is new about them.
// by is the tick's place in the input, of which the ids of events are made. The
// work grows with the number of suspects.
func (e *Engine) sweep(t tick, by attribution.Arrival) error {
	if e.cfg.Thresholds.SuspicionRule == attribution.RulePrimitives {
		return e.sweepPrimitives(t, by)
	}
	return e.sweepEvidence(t, by)
}

// sweepPrimitives is the sweep under [attribution.RulePrimitives].
func (e *Engine) sweepPrimitives(t tick, by attribution.Arrival) error {
	var suspects [][]byte
	var sent [][]string
	err := scan(e.store, []byte{kindSuspect}, nil, func(rest, value []byte) error {
		id, _, err := cutID(rest)
		if err != nil {
			return err
		}
		names, err := decodeNames(value)
		suspects, sent = append(suspects, id), append(sent, names)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the suspects: %w", err)
	}
	for i, identity := range suspects {
		if e.unsettled[string(identity)].Settling {
			continue // its rows are compared one after the other: the next sweep sees them all
		}
		flagged, _, err := e.getNames(kindFlagged, identity)
		if err != nil {
			return err
		}
		send, remember := attribution.Sweep(flagged, sent[i], &e.cfg.Thresholds)
		if remember == nil {
			e.drop(kindSuspect, identity)
			continue
		}
		if !send {
			continue
		}
		e.putNames(kindSuspect, identity, remember)
		e.cfg.Counters.Suspicions.Add(1)
		e.buf.out = e.cfg.Format.AppendSuspicion(e.buf.out[:0], &attribution.Suspicion{
			EventID:    attribution.EventID(attribution.Cause{Topic: attribution.CauseTick, Arrival: by}, identity, nil).String(),
			Identity:   string(identity),
			Primitives: flagged,
			Confidence: e.cfg.Thresholds.MultiActorCap,
			TS:         t.Time,
		})
		e.out.Suspected(identity, e.buf.out)
	}
	return nil
}

// indexSuspects adds the identities to the index that have become suspects
// because the setting was lowered since the task ran last.
func (e *Engine) indexSuspects() error {
	var missing [][]byte
	err := scan(e.store, []byte{kindFlagged}, nil, func(rest, value []byte) error {
		names, err := decodeNames(value)
		if err != nil || len(names) < e.cfg.Thresholds.MultiActorPrimitives {
			return err
		}
		id, _, err := cutID(rest)
		missing = append(missing, id)
		return err
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
	return nil
}
