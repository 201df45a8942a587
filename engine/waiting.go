package engine

import (
	"encoding/binary"
	"fmt"

	"handprint/attribution"
)

// Observations wait in two places, in the order in which they came:
//
//   - at the home of an identity, until its attacker has arrived there with
//     what it contributed elsewhere, so that a series is always taken in the
//     order in which the attacker's home saw it;
//   - at the home of an attacker whose stub was merged before the attacker was
//     ever seen, until the coordinator has said whose it is.
//
// They are numbered from 0. How many wait is not bounded, so they are released
// in steps, by commands of the task to itself. Until the last one is released a
// new observation waits behind them, and takes two of them along: so the queue
// gets shorter however fast new ones come.

// atHome stands in the keys for the identity of observations that wait at their
// attacker's home. No identity has an empty name.
var atHome []byte

// releaseStep is how many observations are released by one command.
var releaseStep uint64 = 256 // tests make it small

// releasedByOne is how many are released by an observation that has to wait
// behind them.
const releasedByOne = 2

// arrived takes an observation at the home of the identity that its attacker is
// linked to. The observation may be there before its attacker.
func (e *Engine) arrived(identity, attacker []byte, version uint64, primitive []byte, entry attribution.Entry) error {
	at, found, err := e.getMember(identity, attacker)
	if err != nil {
		return err
	}
	if !found || at.Version != version {
		return e.hold(identity, attacker, primitive, &entry)
	}
	if at.Release == 0 {
		return e.contribute(identity, attacker, primitive, entry)
	}
	if err := e.hold(identity, attacker, primitive, &entry); err != nil {
		return err
	}
	return e.admitWaiting(identity, attacker, at, releasedByOne)
}

// admitWaiting takes some of the observations that wait for a member.
func (e *Engine) admitWaiting(identity, attacker []byte, at member, limit uint64) (err error) {
	at.Release, err = e.takeWaiting(identity, attacker, at.Release, limit, func(primitive []byte, entry attribution.Entry) error {
		return e.contribute(identity, attacker, primitive, entry)
	})
	if err == nil {
		e.putMember(identity, attacker, at)
	}
	return err
}

// forwardBehind brings an observation to the identity of its attacker, behind
// the observations that waited until the attacker was linked.
func (e *Engine) forwardBehind(l *link, attacker, primitive []byte, entry attribution.Entry) error {
	if err := e.hold(atHome, attacker, primitive, &entry); err != nil {
		return err
	}
	return e.forwardWaiting(l, attacker, releasedByOne)
}

// forwardWaiting forwards some of the observations that waited until their
// attacker was linked.
func (e *Engine) forwardWaiting(l *link, attacker []byte, limit uint64) (err error) {
	l.Release, err = e.takeWaiting(atHome, attacker, l.Release, limit, func(primitive []byte, entry attribution.Entry) error {
		return e.forward(l, attacker, primitive, entry)
	})
	if err == nil {
		e.putLink(attacker, *l)
	}
	return err
}

// release handles release: it releases some of the observations that wait, and
// goes on by another command if there are more.
func (e *Engine) release(r *release) error {
	if len(r.Identity) == 0 {
		return e.releaseAtHome(r)
	}
	at, found, err := e.getMember(r.Identity, r.Attacker)
	if err != nil || !found || at.Version != r.By.Version {
		return err // the attacker is not here any more
	}
	if at.Release > 0 {
		if err := e.admitWaiting(r.Identity, r.Attacker, at, releaseStep); err != nil {
			return err
		}
		if at, _, err = e.getMember(r.Identity, r.Attacker); err != nil {
			return err
		}
		if at.Release > 0 {
			e.send(e.task, r.Identity, appendRelease(e.buf.cmd, r))
			return nil
		}
	}
	d := done{Version: r.By.Version, Round: r.By.Round, Touched: []int32{e.task}}
	if len(r.Old) > 0 {
		d.Touched = append(d.Touched, e.identityHome(r.Old))
	}
	e.answer(&d)
	return nil
}

// releaseAtHome releases observations that waited until their attacker was
// linked. The attacker may have been linked again since: they go where the link
// points now.
func (e *Engine) releaseAtHome(r *release) error {
	l, linked, err := e.getLink(r.Attacker)
	if err != nil || !linked || l.Release == 0 {
		return err
	}
	if err := e.forwardWaiting(&l, r.Attacker, releaseStep); err != nil {
		return err
	}
	if l.Release > 0 {
		e.send(e.task, r.Attacker, appendRelease(e.buf.cmd, r))
	}
	return nil
}

// hold makes an observation wait.
func (e *Engine) hold(identity, attacker, primitive []byte, entry *attribution.Entry) error {
	e.cfg.Counters.Waiting.Add(1)
	if len(identity) == 0 {
		e.claimed = true
	}
	count := idsKey(nil, kindWaitingCount, identity, attacker)
	next, _, err := get(e.store, count, decodeCount)
	if err != nil {
		return fmt.Errorf("how many wait for %s: %w", attacker, err)
	}
	e.store.Put(count, appendCount(nil, next+1))
	prefix := idsKey(nil, kindWaiting, identity, attacker)
	e.store.Put(binary.BigEndian.AppendUint64(prefix, next), appendObserved(nil, primitive, entry))
	return nil
}

// waiting reports whether observations of an attacker wait at an identity.
func (e *Engine) waiting(identity, attacker []byte) (some bool, err error) {
	if len(identity) == 0 && !e.claimed {
		return false, nil
	}
	n, err := e.store.Get(idsKey(nil, kindWaitingCount, identity, attacker))
	if err != nil {
		return false, fmt.Errorf("reading what waits for %s: %w", attacker, err)
	}
	return n != nil, nil
}

// loadClaimed reads whether any observation waits at this home.
func (e *Engine) loadClaimed() error {
	e.claimed = false
	err := scan(e.store, idKey(nil, kindWaitingCount, atHome), nil, func(_, _ []byte) error {
		e.claimed = true
		return errStop
	})
	if err != nil {
		return fmt.Errorf("task %d: reading what waits at home: %w", e.task, err)
	}
	return nil
}

// holdForClaim keeps back the observations of an attacker that was never seen
// before and whose stub is merged. The coordinator knows whose it is, and is
// asked once.
func (e *Engine) holdForClaim(attacker, primitive []byte, entry attribution.Entry, asked bool) error {
	if err := e.hold(atHome, attacker, primitive, &entry); err != nil {
		return err
	}
	if !asked {
		e.send(CoordinatorTask, attacker, appendClaim(e.buf.cmd, &claim{Attacker: attacker}))
	}
	return nil
}

// takeWaiting calls take for the next observations that wait for an attacker at
// an identity, at most limit of them, and deletes them. next is the number of
// the first one, plus 1; it returns that of the first one that is left, or 0.
func (e *Engine) takeWaiting(identity, attacker []byte, next, limit uint64, take func(primitive []byte, entry attribution.Entry) error) (uint64, error) {
	countKey := idsKey(nil, kindWaitingCount, identity, attacker)
	count, _, err := get(e.store, countKey, decodeCount)
	if err != nil {
		return 0, fmt.Errorf("how many wait for %s: %w", attacker, err)
	}
	prefix := idsKey(nil, kindWaiting, identity, attacker)
	for end := min(next+limit, count+1); next < end; next++ {
		key := binary.BigEndian.AppendUint64(prefix[:len(prefix):len(prefix)], next-1)
		held, found, err := get(e.store, key, decodeObserved)
		if err == nil && !found {
			err = fmt.Errorf("number %d of %d is not there", next-1, count)
		}
		if err != nil {
			return 0, fmt.Errorf("reading what waits for %s: %w", attacker, err)
		}
		e.store.Delete(key)
		if err := take(held.Primitive, held.Entry); err != nil {
			return 0, err
		}
	}
	if next <= count {
		return next, nil
	}
	e.store.Delete(countKey)
	return 0, nil
}
