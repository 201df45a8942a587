package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"handprint/attribution"
)

// observation takes a record of the observations topic.
func (e *Engine) observation() error {
	if err := e.decoder.Decode(e.now.Value, &e.obs); err != nil {
		e.deadLetter(StageObservation, err.Error())
		return nil
	}
	if reason := tooFarAhead(e.obs.TS, e.now.Time, e.cfg.MaxAhead); reason != "" {
		e.deadLetter(StageObservation, reason)
		return nil
	}
	kind, fit := e.cfg.Registry.Check(e.obs.Primitive, e.obs.Value)
	switch fit {
	case attribution.Misfit:
		e.deadLetter(StageObservation, fmt.Sprintf("value: does not fit %s, the kind of %s", kind, e.obs.Primitive))
		return nil
	case attribution.OutOfRange:
		if e.cfg.Strict {
			e.deadLetter(StageObservation, fmt.Sprintf("value: not one that the registry has for %s", e.obs.Primitive))
			return nil
		}
		e.cfg.Counters.OutOfRange.Add(1)
	}
	if e.cfg.ReplayInterval > 0 {
		if err := e.replayTo(e.obs.TS); err != nil {
			return err
		}
		e.cfg.Counters.newest(e.obs.TS)
	}
	arrival := e.now.arrival()
	entry := attribution.Entry{
		TS:         e.obs.TS,
		Value:      e.obs.Value,
		Evidence:   e.evidence.hash(e.obs.Evidence),
		Place:      arrival,
		Latest:     arrival,
		Confidence: -1,
	}
	if e.obs.HasConfidence {
		entry.Confidence = e.obs.Confidence
	}
	if home := e.attackerHome(e.obs.Attacker); home != e.task {
		e.cfg.Counters.Misrouted.Add(1)
		e.send(home, e.obs.Attacker, appendObserve(e.buf.cmd, &observe{Attacker: e.obs.Attacker, Primitive: e.obs.Primitive, Entry: entry}))
		return nil
	}
	return e.atHome(e.obs.Attacker, e.obs.Primitive, entry)
}

// tooFarAhead returns why a ts is refused, empty if it will do. It is measured
// against the timestamp of the input record (Unix milliseconds) and nothing
// else, so that a restart, a batch that is taken again and the audit judge
// alike. A record without a timestamp is not judged.
func tooFarAhead(ts float64, record int64, limit time.Duration) (reason string) {
	if limit == 0 || record < 0 {
		return ""
	}
	return attribution.Ahead(ts, float64(record)/1e3, limit)
}

// evidence remembers the last evidence_ref and its hash: the observations of a
// session have the same one.
type evidence struct {
	ref []byte
	sum uint64
}

// hash stands for an evidence_ref in a series. Two that were made to have the
// same one would replace each other, so it is not a hash for which such are
// easily made.
func (v *evidence) hash(ref []byte) uint64 {
	if len(ref) == 0 || !bytes.Equal(ref, v.ref) {
		sum := sha256.Sum256(ref)
		v.ref, v.sum = append(v.ref[:0], ref...), binary.LittleEndian.Uint64(sum[:8])
	}
	return v.sum
}

// observed takes an observation that another task sent on.
func (e *Engine) observed(o *observe) error {
	if len(o.Identity) == 0 {
		return e.atHome(o.Attacker, o.Primitive, o.Entry)
	}
	return e.arrived(o.Identity, o.Attacker, o.Version, o.Primitive, o.Entry)
}

// atHome decides whose an observation is. An attacker that no event has named
// belongs to its stub, which lives here too: its row is read, concluded anew
// and written, and nothing else.
func (e *Engine) atHome(attacker, primitive []byte, entry attribution.Entry) error {
	at := e.stubs.of(attacker)
	e.stubs.here = at
	stub := at.stub[:]
	if err := e.renewRow(stub, primitive); err != nil {
		return err
	}
	found, err := e.stubRow(at, primitive)
	if err != nil {
		return err
	}
	if found && e.row.inline {
		return e.takeInline(stub, attacker, primitive, entry)
	}
	if !at.ownsItself {
		if elsewhere, err := e.notMine(stub, attacker, primitive, entry); err != nil || elsewhere {
			return err
		}
		at.ownsItself = true
	}
	if found {
		return e.contribute(stub, attacker, primitive, entry)
	}
	e.row.inline = true
	return e.takeInline(stub, attacker, primitive, entry)
}

// notMine sends an observation on if its attacker does not belong to its stub,
// or holds it back until that is known. An attacker that was never seen before
// belongs to its stub from then on.
func (e *Engine) notMine(stub, attacker, primitive []byte, entry attribution.Entry) (elsewhere bool, err error) {
	l, linked, err := e.getLink(attacker)
	if err != nil {
		return false, err
	}
	if linked {
		if l.Release > 0 {
			return true, e.forwardBehind(&l, attacker, primitive, entry)
		}
		return true, e.forward(&l, attacker, primitive, entry)
	}
	id, _, err := e.getIdentity(stub)
	if err != nil || len(id.Own) > 0 {
		return false, err
	}
	asked, err := e.waiting(atHome, attacker)
	if err != nil {
		return false, err
	}
	if asked || len(id.MergedInto) > 0 {
		return true, e.holdForClaim(attacker, primitive, entry, asked)
	}
	id.Own = attacker
	if e.cfg.Retention > 0 {
		e.startLife(stub, &id, &entry)
	}
	e.putIdentity(stub, id)
	return false, e.tellOwn(stub, &id)
}

// takeInline takes an observation of a stub's own attacker into e.row.
func (e *Engine) takeInline(stub, attacker, primitive []byte, entry attribution.Entry) error {
	kind := e.catalog.of(primitive).kind
	before := -1.0
	if newest := attribution.HeadOf(&e.row.series.Series); newest != nil {
		before = newest.TS
	}
	if err := e.take(&e.row.series, entry, kind, stub, primitive, attacker); err != nil {
		return err
	}
	if e.cfg.Retention > 0 {
		if err := e.sawRow(stub, before); err != nil {
			return err
		}
	}
	wait, err := e.waits(stub, primitive)
	if err != nil {
		return err
	}
	if wait {
		e.markDirty(stub, primitive)
		e.saveRow(stub, primitive)
		return nil
	}
	c := e.concludeInline(kind, primitive)
	return e.publish(stub, primitive, attacker, &c, observationCause(&entry))
}

// concludeInline concludes from the series in e.row.
func (e *Engine) concludeInline(kind attribution.Kind, primitive []byte) attribution.Conclusion {
	c, err := e.merger.Conclude(kind, &e.row.series.Series)
	if err != nil {
		c = e.otherKind()
	}
	c.Returns = e.returns(primitive, &e.row.series.Series)
	return c
}

// observationCause is the record of the observation itself, by whatever way it
// came to its identity.
func observationCause(entry *attribution.Entry) attribution.Cause {
	return attribution.Cause{Topic: attribution.CauseObservation, Arrival: entry.Latest}
}

// otherKind concludes from series that their own merger does not take: the
// registry has given the primitive another kind since, and values that were
// taken before do not fit it. Until they are gone, they are equal or not.
func (e *Engine) otherKind() attribution.Conclusion {
	e.cfg.Counters.OtherKind.Add(1)
	return e.merger.EndCategorical()
}

// forward brings an observation to the identity that its attacker is linked to.
func (e *Engine) forward(l *link, attacker, primitive []byte, entry attribution.Entry) error {
	home := e.identityHome(l.Identity)
	if home == e.task {
		return e.arrived(l.Identity, attacker, l.By.Version, primitive, entry)
	}
	e.cfg.Counters.Forwarded.Add(1)
	e.send(home, l.Identity, appendObserve(e.buf.cmd, &observe{
		Attacker: attacker, Identity: l.Identity, Version: l.By.Version, Primitive: primitive, Entry: entry,
	}))
	return nil
}

// contribute takes an observation into a row that may have several attackers.
func (e *Engine) contribute(identity, attacker, primitive []byte, entry attribution.Entry) error {
	if _, err := e.openRow(identity, primitive); err != nil {
		return err
	}
	s := series{Series: e.contrib}
	known, err := e.loadContribution(&s, identity, primitive, attacker)
	if err != nil {
		return err
	}
	if err := e.take(&s, entry, e.catalog.of(primitive).kind, identity, primitive, attacker); err != nil {
		return err
	}
	e.saveContribution(&s, identity, primitive, attacker)
	if !known {
		e.rowsOf.came(identity, primitive, attacker)
	}
	e.unionReturns(identity, primitive, attacker, &s.Series)
	e.contrib = s.Series
	wait, err := e.waits(identity, primitive)
	if err != nil {
		return err
	}
	if wait {
		e.markDirty(identity, primitive)
		return nil
	}
	return e.conclude(identity, primitive, observationCause(&entry))
}

// openRow makes sure that a row is there for a contribution to belong to, and
// that its series are records of their own.
func (e *Engine) openRow(identity, primitive []byte) (found bool, err error) {
	if err := e.renewRow(identity, primitive); err != nil {
		return false, err
	}
	found, err = e.loadRow(identity, primitive)
	if err != nil {
		return found, err
	}
	if !found {
		e.saveRow(identity, primitive)
		e.holdUnion(identity, primitive, attribution.NewUnion(e.catalog.of(primitive).kind, &e.cfg.Thresholds))
		return false, nil
	}
	if !e.row.inline {
		return true, nil
	}
	id, _, err := e.getIdentity(identity)
	if err != nil {
		return true, err
	}
	own := e.row.series
	own.long = nil // they have records, but of the row
	e.saveContribution(&own, identity, primitive, id.Own)
	e.row.inline = false
	e.saveRow(identity, primitive)
	return true, nil
}

func (e *Engine) send(task int32, key, command []byte) {
	e.buf.cmd = command
	e.out.Send(task, key, command)
}
