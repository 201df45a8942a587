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
		e.answer(&done{Version: l.By.Version})
		return nil
	}
	next := link{Identity: l.Identity, By: l.By}
	e.putLink(attacker, next)
	if old != nil {
		e.send(e.identityHome(old), old, appendDetach(e.buf.cmd, &detach{By: l.By, Attacker: attacker, Old: old, New: l.Identity}))
		return nil
	}
	e.send(e.identityHome(l.Identity), l.Identity, appendAttach(e.buf.cmd, &attach{By: l.By, Attacker: attacker, New: l.Identity, Last: true}))
	return e.release(stub, attacker, func(primitive []byte, entry attribution.Entry) error {
		return e.forward(&next, attacker, primitive, entry)
	})
}

func (e *Engine) answer(d *done) {
	e.send(coordinatorTask, nil, appendDone(e.buf.cmd, d))
}
