package engine

import (
	"bytes"
	"fmt"
	"slices"

	"handprint/attribution"
)

// Bounds of one step of a move. What is left goes on by a command of the task to
// itself, so other work is done in between and no transaction grows with the
// identity.
const (
	detachStep = 512 << 10 // bytes taken from an identity in one step
	partsLimit = 256 << 10 // bytes of one attach, unless one record alone is larger
)

// detachRows is how many rows are looked at in one step.
var detachRows = 1024 // tests make it small

// merge handles merge at the loser's home: it points the loser to the winner, and
// tells the homes of the loser's attackers to link them to the winner, one wave
// at a time.
func (e *Engine) merge(m *merge) error {
	id, _, err := e.getIdentity(m.Loser)
	if err != nil {
		return err
	}
	if len(m.From) == 0 {
		id.MergedInto, id.By = bytes.Clone(m.Winner), m.By
		e.putIdentity(m.Loser, id)
		if err := e.unsettle(m.Loser, m.By, func(*unsettled) {}); err != nil {
			return err
		}
	}
	prefix := idKey(nil, kindMember, m.Loser)
	perHome := make([][][]byte, e.cfg.Partitions)
	told, size := 0, 0
	tell := func(attacker []byte) {
		size += len(attacker)
		home := e.attackerHome(attacker)
		perHome[home] = append(perHome[home], attacker)
		told++
	}
	if m.By.Round > 0 {
		if err := e.tellLeft(m, tell); err != nil {
			return err
		}
	}
	if len(m.From) == 0 && len(id.Own) > 0 {
		tell(id.Own)
	}
	most, next := uint64(told)+wave, []byte(nil)
	var fault error
	err = e.store.Scan(prefix, m.From, func(key, _ []byte) bool {
		if uint64(told) >= most || size >= partsLimit {
			next = bytes.Clone(key)
			return false
		}
		attacker, _, err := cutID(key[len(prefix):])
		if fault = err; err != nil {
			return false
		}
		tell(attacker)
		return true
	})
	if err == nil {
		err = fault
	}
	if err != nil {
		return fmt.Errorf("reading the members of %s: %w", m.Loser, err)
	}
	for home, list := range perHome {
		if len(list) > 0 {
			e.send(int32(home), m.Winner, appendLinkTo(e.buf.cmd, &linkTo{By: m.By, Identity: m.Winner, Attackers: list}))
		}
	}
	e.answer(&done{Version: m.By.Version, Round: m.By.Round, Touched: []int32{e.task}, Told: true, Members: uint64(told), From: next})
	return nil
}

// tellLeft tells the attackers once more that have left in an earlier round of
// this wave: what they contributed, or the word that they have arrived, may be
// lost. There are no more of them than were told at a time.
func (e *Engine) tellLeft(m *merge, tell func(attacker []byte)) error {
	from := bytes.Clone(m.From)
	if len(from) > 0 {
		from[0] = kindLeft
	}
	err := scan(e.store, idKey(nil, kindLeft, m.Loser), from, func(rest, _ []byte) error {
		attacker, _, err := cutID(rest)
		if err == nil {
			tell(attacker)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("reading who has left %s: %w", m.Loser, err)
	}
	return nil
}

// unmerge handles unmerge at the loser's home: it takes the loser's pointer away.
func (e *Engine) unmerge(u *unmerge) error {
	id, _, err := e.getIdentity(u.Loser)
	if err != nil {
		return err
	}
	id.MergedInto, id.By = nil, u.By
	e.putIdentity(u.Loser, id)
	if err := e.unsettle(u.Loser, u.By, func(*unsettled) {}); err != nil {
		return err
	}
	e.answer(&done{Version: u.By.Version, Round: u.By.Round, Touched: []int32{e.task}})
	return nil
}

// detach handles detach at the old identity's home: it takes the attacker's
// contributions out of the identity and sends them to the new one. The rows keep
// what they say until the event is over.
func (e *Engine) detach(d *detach) error {
	if late, err := e.comesLate(d); err != nil || late {
		return err
	}
	out := parts{engine: e, by: d}
	if err := e.detachRows(d, &out); err != nil {
		return fmt.Errorf("taking attacker %s out of %s: %w", d.Attacker, d.Old, err)
	}
	left, err := e.leave(d, out.next != nil)
	if err != nil {
		return err
	}
	err = e.unsettle(d.Old, d.By, func(u *unsettled) {
		if left {
			u.Out++
		}
		u.RowsOut += out.rows
	})
	if err != nil {
		return err
	}
	if out.next != nil {
		out.flush(false)
		e.send(e.task, d.Old, appendDetach(e.buf.cmd, &detach{By: d.By, Attacker: d.Attacker, Old: d.Old, New: d.New, From: out.next}))
		return nil
	}
	out.flush(true)
	return nil
}

// comesLate reports whether a later round of the event has taken this detach's place:
// each of its steps goes behind what the later round has sent meanwhile, and may even
// come when the event is over.
func (e *Engine) comesLate(d *detach) (bool, error) {
	if u, marked := e.unsettled[string(d.Old)]; marked && u.Version == d.By.Version {
		return u.Round > d.By.Round, nil
	}
	id, _, err := e.getIdentity(d.Old)
	return id.Told >= d.By.Version, err
}

// leave takes an attacker's name off the identity, when all of its
// contributions have left, and reports whether it was there. In a later round
// of the event it may not be.
func (e *Engine) leave(d *detach, more bool) (left bool, err error) {
	if more {
		return false, nil
	}
	id, known, err := e.getIdentity(d.Old)
	if err != nil {
		return false, err
	}
	if known && bytes.Equal(id.Own, d.Attacker) {
		id.Own = nil
		e.putIdentity(d.Old, id)
		left = true
	}
	_, there, err := e.getMember(d.Old, d.Attacker)
	if err == nil && there {
		e.store.Delete(idsKey(nil, kindMember, d.Old, d.Attacker))
		err = e.countMember(d.Old, -1)
	}
	if left = left || there; left && d.By.Type == attribution.Merged {
		e.store.Put(idsKey(nil, kindLeft, d.Old, d.Attacker), []byte{1})
	}
	return left, err
}

// parts packs the records that leave an identity into attach commands.
type parts struct {
	engine *Engine
	by     *detach
	list   []byte
	sent   int    // bytes in earlier commands of this step
	rows   uint64 // rows that lost a contribution
	next   []byte // where to go on, if the step is full
}

func (p *parts) add(t partType, primitive, name, record []byte) {
	if len(p.list) > 0 && len(p.list)+len(record) > partsLimit {
		p.flush(false)
	}
	p.list = appendPart(p.list, t, primitive, name, record)
}

func (p *parts) flush(last bool) {
	if len(p.list) == 0 && !last {
		return
	}
	e, d := p.engine, p.by
	e.send(e.identityHome(d.New), d.New, appendAttach(e.buf.cmd, &attach{
		By: d.By, Attacker: d.Attacker, Old: d.Old, New: d.New, Last: last, Parts: p.list,
	}))
	p.sent += len(p.list)
	p.list = p.list[:0]
}

func (e *Engine) detachRows(d *detach, out *parts) error {
	if primitives, ok, err := e.rowsToLeave(d); err != nil || ok {
		for i := 0; i < len(primitives) && err == nil; i++ {
			if out.sent+len(out.list) > detachStep {
				out.next = rowKey(nil, kindRow, d.Old, primitives[i])
				break
			}
			err = e.detachRow(d, primitives[i], out)
		}
		return err
	}
	if len(d.From) == 0 && e.rowsOf.wait(d.Old, d.Attacker) {
		out.next = []byte{}
		return nil
	}
	var primitives [][]byte
	err := scan(e.store, idKey(nil, kindRow, d.Old), d.From, func(rest, _ []byte) error {
		primitive, _, err := cutPrimitive(rest)
		if err == nil && len(primitives) == detachRows {
			out.next, err = rowKey(nil, kindRow, d.Old, primitive), errStop
		} else {
			primitives = append(primitives, bytes.Clone(primitive))
		}
		return err
	})
	if err != nil {
		return err
	}
	for i, primitive := range primitives {
		if out.sent+len(out.list) > detachStep {
			out.next = rowKey(nil, kindRow, d.Old, primitive)
			primitives = primitives[:i]
			break
		}
		if err := e.detachRow(d, primitive, out); err != nil {
			return err
		}
	}
	return e.listLeft(d, primitives, out.next)
}

// rowsToLeave returns the rows that an attacker may have contributed to, if that is known
// without a look at all rows of the identity. ok: it is.
func (e *Engine) rowsToLeave(d *detach) (primitives [][]byte, ok bool, err error) {
	if len(d.From) > 0 || e.rowsOf.identity != string(d.Old) {
		return nil, false, nil
	}
	id, _, err := e.getIdentity(d.Old)
	if err != nil || bytes.Equal(id.Own, d.Attacker) { // its contributions may be in the rows' records
		return nil, false, err
	}
	listed, ok := e.rowsOf.list(d.Old, d.Attacker, e.out.Now())
	for _, primitive := range listed {
		record, err := e.store.Get(seriesKey(nil, kindContribution, d.Old, primitive, d.Attacker))
		if err != nil {
			return nil, false, fmt.Errorf("reading whether %s has contributed to %s: %w", d.Attacker, primitive, err)
		}
		if record != nil {
			primitives = append(primitives, primitive)
		}
	}
	return primitives, ok, nil
}

// listLeft notes whose the rows are that an attacker has just left, all from d.From up to
// next, if the identity has many, for those who leave it after this one.
func (e *Engine) listLeft(d *detach, primitives [][]byte, next []byte) error {
	now := e.out.Now()
	if len(d.From) == 0 {
		if len(primitives) <= rowsOfFrom || !e.rowsOf.begins(d.Old, d.Attacker, now) {
			return nil
		}
	} else if e.rowsOf.identity != string(d.Old) || !bytes.Equal(e.rowsOf.next, d.From) {
		return nil
	}
	if err := e.listRows(d.Old, primitives); err != nil {
		return err
	}
	e.rowsOf.next, e.rowsOf.asked, e.rowsOf.waits = bytes.Clone(next), now, 0
	return nil
}

func (e *Engine) detachRow(d *detach, primitive []byte, out *parts) error {
	if old, err := e.isForgotten(d.Old, primitive); err != nil || old {
		return err
	}
	if _, err := e.openRow(d.Old, primitive); err != nil {
		return err
	}
	s := series{Series: e.contrib}
	found, err := e.loadContribution(&s, d.Old, primitive, d.Attacker)
	e.contrib = s.Series
	if err != nil || !found {
		return err
	}
	if err := e.unionLeft(d.Old, primitive, d.Attacker, s); err != nil {
		return err
	}
	// Large values and pushed-out values go as they are stored.
	if hasLarge(&s) {
		if err := e.detachLarge(d, primitive, s, out); err != nil {
			return err
		}
	}
	if s.Elsewhere > 0 {
		if err := e.detachGone(d, primitive, out); err != nil {
			return err
		}
	}
	out.add(partContribution, primitive, nil, appendContribution(nil, &s, byte(e.cfg.RecordVersion), nil))
	for i := range s.long {
		e.store.Delete(append(seriesKey(nil, kindLong, d.Old, primitive, d.Attacker), s.long[i].digest[:]...))
	}
	e.store.Delete(seriesKey(nil, kindContribution, d.Old, primitive, d.Attacker))
	e.markDirty(d.Old, primitive)
	out.rows++
	return nil
}

// detachLarge takes the large values of a series away.
func (e *Engine) detachLarge(d *detach, primitive []byte, s series, out *parts) error {
	s.Gone = slices.Clip(s.Gone)
	if err := e.loadWhole(&s, d.Old, primitive, d.Attacker); err != nil {
		return err
	}
	taken := make(map[string]bool)
	take := func(v attribution.Value) error {
		if !isLarge(v) || taken[string(v)] {
			return nil
		}
		taken[string(v)] = true
		key := e.largeKey(v, d.Old, primitive, d.Attacker)
		record, err := e.store.Get(key)
		if err != nil {
			return fmt.Errorf("reading a large value of %s in %s of %s: %w", d.Attacker, primitive, d.Old, err)
		}
		if record == nil {
			return nil // lost with a command; who shows the value says so
		}
		out.add(partLarge, primitive, v[1:], record)
		e.store.Delete(key)
		return nil
	}
	for i := range s.Entries {
		if err := take(s.Entries[i].Value); err != nil {
			return err
		}
	}
	for i := range s.Gone {
		if err := take(s.Gone[i].Value); err != nil {
			return err
		}
	}
	return nil
}

// detachGone takes the values away that were pushed out of a series and are records of
// their own.
func (e *Engine) detachGone(d *detach, primitive []byte, out *parts) error {
	prefix := seriesKey(nil, kindGone, d.Old, primitive, d.Attacker)
	var names [][]byte
	err := scan(e.store, prefix, nil, func(name, record []byte) error {
		out.add(partGone, primitive, name, record)
		names = append(names, bytes.Clone(name))
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		e.store.Delete(append(prefix[:len(prefix):len(prefix)], name...))
	}
	return nil
}
