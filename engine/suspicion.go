package engine

import (
	"bytes"
	"slices"

	"handprint/attribution"
)

// judgeEvidence does to one identity what a tick at the time now does under
// [attribution.RuleEvidence].
func (e *Engine) judgeEvidence(identity []byte, now float64, by attribution.Arrival) (names int, err error) {
	_, moving := e.unsettled[string(identity)]
	if _, forgetting := e.forgetting[string(identity)]; moving || forgetting {
		e.due.mark(identity) // its rows are not those of its series: the next sweep sees them
		return 0, nil
	}
	open, _, err := get(e.store, idKey(nil, kindSuspicion, identity), decodeSuspicion)
	if err != nil {
		return 0, err
	}
	evidence, err := e.evidenceOf(identity, open)
	if err != nil {
		return 0, err
	}
	if names = len(evidence.Alternates) + len(evidence.Returns); open != nil {
		names += len(open.Named)
	}
	hasRows := func() (bool, error) { return e.hasRows(identity) }
	status, changed, err := attribution.Judge(open, &evidence, now, hasRows, e.cfg.Registry, &e.cfg.Thresholds)
	if err != nil {
		return 0, err
	}
	e.due.judged(identity, open, status)
	if !changed {
		return names, nil
	}
	if status != "" {
		if open == nil {
			open = &attribution.OpenSuspicion{ID: attribution.EventID(attribution.Cause{Topic: attribution.CauseSuspicion, Arrival: by}, identity, nil), Raised: now}
		}
		if err := e.sendSuspicion(identity, open, status, &evidence, now, attribution.Cause{Topic: attribution.CauseTick, Arrival: by}); err != nil {
			return 0, err
		}
	}
	if status == attribution.SuspicionCleared {
		e.drop(kindSuspicion, identity)
	} else {
		e.store.Put(idKey(nil, kindSuspicion, identity), appendSuspicion(nil, open))
	}
	return names, nil
}

// evidenceOf reads what speaks for a suspicion of an identity: what may be named, and
// of the one that is open all that is named.
func (e *Engine) evidenceOf(identity []byte, open *attribution.OpenSuspicion) (v attribution.Evidence, err error) {
	if v.Returns, err = returning(e.store, identity); err != nil {
		return v, err
	}
	all := false
	if v.Alternates, all, err = alternating(e.store, identity, e.cfg.Registry, &e.cfg.Thresholds); err != nil || all || open == nil {
		return v, err
	}
	for i := range open.Named {
		name := open.Named[i].Primitive
		at, listed := slices.BinarySearch(v.Alternates, name)
		if listed {
			continue
		}
		is, err := hasFlag(e.store, kindFlagged, identity, name)
		if err != nil {
			return v, err
		}
		if is {
			v.Alternates = slices.Insert(v.Alternates, at, name)
		}
	}
	return v, nil
}

// hasRows reports whether an identity has a row that the world was told of.
func (e *Engine) hasRows(identity []byte) (some bool, err error) {
	err = scan(e.store, idKey(nil, kindRow, identity), nil, func(_, value []byte) error {
		e.buf.rowValues.long.from = nil // its series is not looked at
		if err := decodeRow(bytes.Clone(value), &e.row, &e.buf.rowValues); err != nil {
			return err
		}
		if some = e.row.published; some {
			return errStop
		}
		return nil
	})
	return some, err
}

// sendSuspicion sends an event of a suspicion, and adds what it names to open.
func (e *Engine) sendSuspicion(identity []byte, open *attribution.OpenSuspicion, status attribution.SuspicionStatus, evidence *attribution.Evidence, now float64, cause attribution.Cause) error {
	if status == attribution.SuspicionCleared {
		// It names what its events have named, and no more.
		evidence = evidence.Among(open)
	}
	reasons, err := open.Name(evidence, e.cfg.Registry, &e.cfg.Thresholds, func(primitive string, kind attribution.ReasonKind) ([]attribution.Value, int, error) {
		return e.reasonValues(identity, []byte(primitive), kind)
	})
	if err != nil {
		return err
	}
	rows, err := e.hasRows(identity)
	if err != nil {
		return err
	}
	s := open.Event(status, reasons, now, rows, e.cfg.Registry, &e.cfg.Thresholds)
	if cause.Topic == attribution.CauseForgetting {
		s.Summary = attribution.ForgottenWords(reasons, e.cfg.Retention.Seconds(), e.cfg.Registry)
	}
	s.EventID = attribution.EventID(cause, identity, nil).String()
	s.Identity, s.ID = string(identity), open.ID.String()
	e.cfg.Counters.Suspicions.Add(1)
	e.buf.out = e.cfg.Format.AppendSuspicion(e.buf.out[:0], &s)
	e.out.Suspected(identity, e.buf.out)
	return nil
}

// reasonValues returns what a row's values are as evidence, and how often one of
// them came back.
func (e *Engine) reasonValues(identity, primitive []byte, kind attribution.ReasonKind) ([]attribution.Value, int, error) {
	found, err := e.loadRow(identity, primitive)
	if err != nil || !found {
		return nil, 0, err
	}
	var values attribution.EvidenceValues
	if kind == attribution.ReasonReturns {
		add := func(s *series, _ []byte) { values.AddReturning(&s.Series, &e.cfg.Thresholds) }
		if e.row.inline {
			add(&e.row.series, nil)
		} else if _, err := e.eachContribution(identity, primitive, add); err != nil {
			return nil, 0, err
		}
		return values.Most(), values.Times, nil
	}
	rowKind := e.catalog.of(primitive).kind
	if e.row.inline {
		_, _ = e.merger.Conclude(rowKind, &e.row.series.Series) // for its window: what it concludes was sent
	} else if _, err := e.addUp(rowKind, identity, primitive); err != nil {
		return nil, 0, err
	}
	values.AddWindow(e.merger)
	return values.Most(), 0, nil
}

// returns reports whether a series returns, of a primitive that can.
func (e *Engine) returns(primitive []byte, s *attribution.Series) bool {
	return e.catalog.of(primitive).returning && attribution.Returns(s, &e.cfg.Thresholds)
}
