package engine

import (
	"fmt"

	"handprint/attribution"
)

// link handles linkTo at the attacker's home: it points the attacker to its new
// identity. The home orders everything that concerns the attacker. It sends the
// attacker's observations to the old identity until it takes linkTo, and to the
// new one from then on; the detach follows the last observation that it sent to
// the old one.
func (e *Engine) link(l *linkTo) error {
	for _, attacker := range l.Attackers {
		if err := e.linkOne(l, attacker); err != nil {
			return fmt.Errorf("linking attacker %s to %s: %w", attacker, l.Identity, err)
		}
	}
	return nil
}

func (e *Engine) linkOne(l *linkTo, attacker []byte) error {
	was, linked, err := e.getLink(attacker)
	if err != nil {
		return err
	}
	stub := []byte(attribution.Stub(attacker).String())
	if linked && was.By.Version == l.By.Version && was.By.Round < l.By.Round {
		// This event linked it in an earlier round, and the move may not be
		// over: everything that follows from the link is sent again.
		was.By = l.By
		e.putLink(attacker, was)
		e.move(&was, attacker)
		return nil
	}
	old := was.Identity
	if !linked {
		id, _, err := e.getIdentity(stub)
		if err != nil {
			return err
		}
		if len(id.Own) > 0 {
			old = stub
		}
	}
	here := string(old) == string(l.Identity)
	if here || linked && (l.Claim || was.By.Version >= l.By.Version) {
		// It is there already: it was listed by the event and is a member
		// of the loser too, or an event named it before the claim.
		if !linked { // without a retention too: it may be set later
			if err := e.nameStub(stub, l.By); err != nil {
				return err
			}
		}
		e.answer(&done{Version: l.By.Version, Round: l.By.Round})
		return nil
	}
	next := link{Identity: l.Identity, By: l.By, Old: old, Release: was.Release}
	if old == nil {
		wait, err := e.waiting(atHome, attacker)
		if err != nil {
			return err
		}
		if wait {
			next.Release = 1
		}
	}
	e.putLink(attacker, next)
	e.move(&next, attacker)
	if old != nil || next.Release == 0 {
		return nil
	}
	return e.release(&release{By: l.By, Attacker: attacker, Identity: atHome})
}

// move sends an attacker on its way to the identity that it is linked to: its
// contributions come from the identity before, if there was one.
func (e *Engine) move(l *link, attacker []byte) {
	if len(l.Old) > 0 {
		e.send(e.identityHome(l.Old), l.Old, appendDetach(e.buf.cmd, &detach{By: l.By, Attacker: attacker, Old: l.Old, New: l.Identity}))
		return
	}
	e.send(e.identityHome(l.Identity), l.Identity, appendAttach(e.buf.cmd, &attach{By: l.By, Attacker: attacker, New: l.Identity, Last: true}))
}

func (e *Engine) answer(d *done) {
	e.send(CoordinatorTask, nil, appendDone(e.buf.cmd, d))
}
