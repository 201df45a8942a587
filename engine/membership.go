package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"handprint/attribution"
)

// What other software is told of identities: what each of them is now, from its
// home when an identity event is over there, and what an event has changed, from
// the coordinator when it is over everywhere.

// moved is what an identity event has done: attackers that came to its identity,
// and rows that were written or deleted.
type moved struct {
	Attackers [][]byte // the first that came, at most attribution.MaxListedAttackers
	Total     uint64   // how many came
	Rows      uint64
}

func appendMoved(dst []byte, m moved) []byte {
	dst = appendList(dst, m.Attackers)
	return binary.AppendUvarint(binary.AppendUvarint(dst, m.Total), m.Rows)
}

func (r *reader) moved() moved {
	return moved{Attackers: r.list(), Total: r.uvarint(), Rows: r.uvarint()}
}

// add adds what another identity or task says of the same event.
func (m *moved) add(other moved) {
	m.Total += other.Total
	m.Rows += other.Rows
	for _, attacker := range other.Attackers {
		m.Attackers = withListed(m.Attackers, attacker)
	}
}

// withListed adds an attacker to a record's list, which keeps the first attackers
// in the order in which the store has them. The list is changed.
func withListed(list [][]byte, attacker []byte) [][]byte {
	if len(attacker) > attribution.MaxListedID {
		return list
	}
	at, there := slices.BinarySearchFunc(list, attacker, compareIDs)
	if there || at == attribution.MaxListedAttackers {
		return list
	}
	list = slices.Insert(list, at, bytes.Clone(attacker))
	return list[:min(len(list), attribution.MaxListedAttackers)]
}

// compareIDs orders ids as their keys are: UUIDs first, then others, by bytes.
func compareIDs(a, b []byte) int {
	return bytes.Compare(appendID(make([]byte, 0, 64), a), appendID(make([]byte, 0, 64), b))
}

// countMember counts the members of an identity, which came (1) or left (-1).
func (e *Engine) countMember(id []byte, by int) error {
	i, _, err := e.getIdentity(id)
	if err != nil {
		return err
	}
	i.Members += uint64(by)
	e.putIdentity(id, i)
	return nil
}

// maxLooked is how many members are looked at to list the first of them: those
// whose ids are too long are passed over.
const maxLooked = 10 * attribution.MaxListedAttackers

// settledMembership tells what an identity is now, if the event that is over has
// changed who belongs to it or what it is merged into.
func (e *Engine) settledMembership(id []byte, s *settle, u unsettled) error {
	pointer := s.By.Type == attribution.Merged && bytes.Equal(id, s.Loser) || s.By.Type == attribution.Unmerged && bytes.Equal(id, s.Winner)
	if u.In == 0 && u.Out == 0 && !pointer {
		return nil
	}
	i, _, err := e.getIdentity(id)
	if err != nil {
		return err
	}
	i.Told = s.By.Version
	e.putIdentity(id, i)
	return e.tellMembership(id, &i, s.By)
}

// tellOwn tells what a stub is now that its own attacker is seen for the first
// time. Without an event before there is nothing to tell; while one is under way
// its end tells it.
func (e *Engine) tellOwn(stub []byte, i *identity) error {
	if _, waits := e.unsettled[string(stub)]; waits || i.Told == 0 {
		return nil
	}
	return e.tellMembership(stub, i, origin{Version: i.Told, Time: e.now.Time})
}

// tellMembership sends what an identity is now. by is the event that was the
// last to change it.
func (e *Engine) tellMembership(id []byte, i *identity, by origin) error {
	m := attribution.Membership{
		Identity: string(id), Total: int64(i.Members), MergedInto: string(i.MergedInto),
		Version: by.Version, LastEvent: by.Type, EventTS: float64(by.Time) / 1e3, UpdatedAt: e.out.Now(),
	}
	if by.Type != 0 {
		m.Offset = by.Offset
	}
	var list [][]byte
	if len(i.Own) > 0 {
		m.Total++
		list = withListed(list, i.Own)
	}
	looked := 0
	err := scan(e.store, idKey(nil, kindMember, id), nil, func(rest, _ []byte) error {
		if looked++; looked > maxLooked || looked > attribution.MaxListedAttackers && len(list) == attribution.MaxListedAttackers {
			return errStop
		}
		attacker, _, err := cutID(rest)
		list = withListed(list, attacker)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the members of %s: %w", id, err)
	}
	for _, attacker := range list {
		m.Attackers = append(m.Attackers, string(attacker))
	}
	e.buf.out = e.cfg.Format.AppendMembership(e.buf.out[:0], &m)
	e.out.Identity(id, e.buf.out)
	return nil
}

// tellChange sends what an identity event has changed. A claim is none.
func (c *coordinator) tellChange(a *identityChange, m *moved) {
	if a.Claim {
		return
	}
	change := attribution.IdentityChange{
		Type: a.By.Type, Identity: string(a.Winner), Moved: int64(m.Total), Rows: int64(m.Rows),
		Version: a.By.Version, Offset: a.By.Offset, TS: float64(a.By.Time) / 1e3,
	}
	cause := attribution.Cause{Topic: attribution.CauseIdentityEvent, Arrival: attribution.Arrival{Time: a.By.Time, Offset: a.By.Offset}}
	change.EventID = attribution.EventID(cause, a.Winner, nil).String()
	switch {
	case a.Merge:
		change.Other = string(a.Loser)
	case a.Unmerge:
		change.Other = string(a.Was)
	}
	for _, attacker := range m.Attackers {
		change.Attackers = append(change.Attackers, string(attacker))
	}
	c.command = c.format.AppendIdentityChange(c.command[:0], &change)
	c.out.IdentityChanged(a.Winner, c.command)
}
