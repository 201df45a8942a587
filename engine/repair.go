package engine

import (
	"bytes"
	"fmt"
)

// Commands are never lost unless somebody truncates their topic, or Kafka loses
// acknowledged records. If it happens, identity changes under way would never
// get their answer, and the attackers that they touch would wait with them. So
// they begin another round:
//
//	task that missed commands      coordinator              every task
//	  |-- lost ------------------------>|-- repair ------------->| claims, releases
//	                                    |-- link, merge, ... --->| as in the first round
//
// Every step is idempotent. Whatever an earlier round still has on its way comes
// in front of what the later round sends on the same way, because Kafka keeps
// the order from one task to another, and its answers are told by their round
// and ignored. A detach alone goes on by itself, behind what the later round has
// sent: it ends when the later round has come (comesLate). What a lost command
// carried itself is gone: observations that were forwarded, and contributions
// that were on their way with an attacker. How many records were lost, the
// runtime says.

// repairStep bounds the changes that begin another round by one record, and the
// attackers that are looked at.
var repairStep = 16 // tests make it small

// CommandsLost tells the task that records of its commands were lost before it
// has read them. It is called in a transaction, like Process, before the first
// command behind the gap is processed.
func (e *Engine) CommandsLost(store Store, out Outbox) error {
	e.store, e.out, e.now = store, out, &Record{Source: Commands, Partition: e.task}
	e.indexed = index{} // what went on with the index may be lost
	e.retention.building, e.retention.going, e.retention.next = false, false, nil
	e.send(CoordinatorTask, nil, appendLost(e.buf.cmd, &lost{}))
	return nil
}

// lost begins another round of the changes under way, from one on.
func (c *coordinator) lost(l *lost) error {
	if l.From == 0 {
		for task := range c.partitions {
			c.send(task, nil, appendRepair(c.command, &repair{}))
		}
	}
	var again []inProgress
	next := uint64(0)
	err := scan(c.store, []byte{kindRunning}, numberKey(nil, kindRunning, l.From), func(_, value []byte) error {
		r, err := decodeInProgress(bytes.Clone(value))
		if err == nil && len(again) == repairStep {
			next, err = r.By.Version, errStop
		} else {
			again = append(again, r)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the identity events under way: %w", err)
	}
	for i := range again {
		if err := c.again(&again[i]); err != nil {
			return err
		}
	}
	if next > 0 {
		c.send(CoordinatorTask, nil, appendLost(c.command, &lost{From: next}))
		return nil
	}
	return c.startReady() // the command that would have begun them may be lost
}

// again begins another round of a change.
func (c *coordinator) again(r *inProgress) error {
	r.By.Round++
	c.counters.Rounds.Add(1)
	if r.Settling {
		c.startSettling(r)
		return c.advance(r)
	}
	a, err := c.changeOf(r.By.Version)
	if err != nil {
		return err
	}
	c.startWave(r, &a)
	return c.advance(r)
}

// repair handles repair: it asks again whose the new attackers are that wait for
// a claim, and goes on with the observations that wait for a release at their
// attacker's home. What waits elsewhere waits for a change under way.
func (e *Engine) repair(p *repair) error {
	type place struct{ identity, attacker []byte }
	var list []place
	var next []byte
	err := scan(e.store, []byte{kindWaitingCount}, p.From, func(rest, _ []byte) error {
		if len(list) == repairStep {
			next = append([]byte{kindWaitingCount}, rest...)
			return errStop
		}
		id, rest, err := cutID(rest)
		if err != nil {
			return err
		}
		attacker, _, err := cutID(rest)
		list = append(list, place{id, attacker})
		return err
	})
	if err != nil {
		return fmt.Errorf("reading which attackers wait: %w", err)
	}
	for _, at := range list {
		if len(at.identity) > 0 {
			continue
		}
		l, linked, err := e.getLink(at.attacker)
		switch {
		case err != nil:
			return err
		case !linked:
			e.send(CoordinatorTask, at.attacker, appendClaim(e.buf.cmd, &claim{Attacker: at.attacker}))
		case l.Release > 0:
			e.send(e.task, at.attacker, appendRelease(e.buf.cmd, &release{By: l.By, Attacker: at.attacker, Identity: atHome}))
		}
	}
	if next != nil {
		e.send(e.task, nil, appendRepair(e.buf.cmd, &repair{From: next}))
	}
	return nil
}
