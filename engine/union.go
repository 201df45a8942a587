package engine

import (
	"bytes"
	"fmt"
	"slices"

	"handprint/attribution"
)

// A union of a row with several contributions is held from the row's first
// contribution on, or from when a row with at least unionFrom of them, or with
// one whose values are records of their own, was added up. How many are held follows
// from the memory that they may take: see [UnionMemory].

var unionFrom = 8 // tests hold unions of small rows too

// unions holds the unions of rows, by the key of the row.
type unions struct {
	rows  map[string]*attribution.Union
	share *unionShare
	tried int     // times that a union was asked for while the memory was used up
	owed  bool    // the union of the row was held, and has to be made anew
	asked bool    // for one of them, since the last tick
	since float64 // the first tick after they were asked for, by the wall clock in Unix seconds
}

// maxUnionRest is how long, in seconds, a task keeps unions that it does not ask for.
const maxUnionRest = 300

func newUnions(of *UnionMemory) unions {
	return unions{rows: make(map[string]*attribution.Union), share: of.share()}
}

// admitOne is how often a union is made while the memory is used up, and no union that
// is held can do with less: once in admitOne times that one is missing. Making one takes
// longer than concluding without it, and it takes the place of another one. So most rows
// that are observed once in a while leave those in place that are observed all the time.
const admitOne = 8

// admits reports whether the union of a row that is added up is to be held.
func (u *unions) admits() bool {
	owed := u.owed
	u.owed = false
	if owed || !u.share.full() || u.shrinkAny() {
		return true
	}
	u.tried++
	return u.tried%admitOne == 0
}

func (u *unions) hold(key []byte, union *attribution.Union) {
	u.drop(key)
	if u.share.full() {
		union.Shrink()
	}
	u.rows[string(key)], u.asked = union, true
	u.grew(union.Size())
}

// tick gives up all unions that were not asked for since a tick that is maxUnionRest ago,
// if other tasks might do with their memory.
func (u *unions) tick(now float64) {
	if u.asked || now < u.since {
		u.asked, u.since = false, now
		return
	}
	if now-u.since < maxUnionRest || !u.share.crowded() {
		return
	}
	for key := range u.rows {
		u.drop([]byte(key))
	}
}

func (u *unions) drop(key []byte) {
	if union := u.rows[string(key)]; union != nil {
		u.share.add(-union.Size())
		delete(u.rows, string(key))
	}
}

// grew is told by how many bytes the unions take more, or less. They remember less, or
// some are dropped, when they take too much: one that is dropped is built again when it
// is needed.
func (u *unions) grew(more int) {
	u.share.add(more)
	for u.share.over() && len(u.rows) > 0 {
		if !u.shrinkAny() {
			u.dropAny()
		}
	}
}

// maxLooks is how many unions are asked to remember less before one is dropped.
const maxLooks = 16

// shrinkAny has some union remember less, and reports whether there was one that could.
func (u *unions) shrinkAny() bool {
	looks := 0
	for _, union := range u.rows {
		if less := union.Shrink(); less > 0 {
			u.share.add(-less)
			return true
		}
		if looks++; looks == maxLooks {
			break
		}
	}
	return false
}

func (u *unions) dropAny() {
	for key := range u.rows {
		u.drop([]byte(key))
		return
	}
}

// holdUnion keeps the union of a row that was just added up.
func (e *Engine) holdUnion(identity, primitive []byte, u *attribution.Union) {
	e.setRowKey(identity, primitive)
	e.unions.hold(e.keys.row, u)
}

// union returns the union of a row, if it is held.
func (e *Engine) union(identity, primitive []byte) *attribution.Union {
	if len(e.unions.rows) == 0 {
		return nil
	}
	e.setRowKey(identity, primitive)
	u := e.unions.rows[string(e.keys.row)]
	e.unions.asked = e.unions.asked || u != nil
	return u
}

func (e *Engine) dropUnion(identity, primitive []byte) {
	if len(e.unions.rows) > 0 {
		e.setRowKey(identity, primitive)
		e.unions.drop(e.keys.row)
	}
}

// unionJoined adds what an attacker brings along to the union of a row.
func (e *Engine) unionJoined(identity, primitive, attacker, contribution []byte) error {
	u := e.union(identity, primitive)
	if u == nil {
		return nil
	}
	s := series{Series: e.contrib}
	err := decodeContribution(contribution, &s, &e.buf.contribValues)
	if err == nil {
		err = e.loadWhole(&s, identity, primitive, attacker)
	}
	e.contrib = s.Series
	if err != nil {
		return fmt.Errorf("contribution to %s: %w", primitive, err)
	}
	before := u.Size()
	u.Add(&s.Series, attacker)
	e.unions.grew(u.Size() - before)
	e.unionReturns(identity, primitive, attacker, &s.Series)
	return nil
}

// unionLeft takes the contribution of an attacker out of the union of a row, while the
// values that were pushed out of it are still there.
func (e *Engine) unionLeft(identity, primitive, attacker []byte, s series) error {
	u := e.union(identity, primitive)
	if u == nil {
		return nil
	}
	s.Gone = slices.Clip(s.Gone)
	if err := e.loadWhole(&s, identity, primitive, attacker); err != nil {
		return err
	}
	before := u.Size()
	u.Leave(&s.Series, attacker)
	e.unions.grew(u.Size() - before)
	return nil
}

// filledUnion returns the union of a row, if one is held that can be concluded from,
// after it has read what is missing from the contributions of a few attackers.
func (e *Engine) filledUnion(identity, primitive []byte) (*attribution.Union, error) {
	u := e.union(identity, primitive)
	if u == nil || u.Enough() && !u.Empty() {
		return u, nil
	}
	if u.Empty() { // the row goes
		e.dropUnion(identity, primitive)
		return nil, nil
	}
	from := contributions{e, identity, primitive}
	before := u.Size()
	var err error
	if u.KnowsValues() {
		err = from.fill(u)
	}
	e.setRowKey(identity, primitive)
	e.unions.grew(u.Size() - before)
	if err != nil {
		return nil, fmt.Errorf("contributions to %s of %s: %w", primitive, identity, err)
	}
	if !u.Enough() {
		e.dropUnion(identity, primitive)
		e.unions.owed = true
		return nil, nil
	}
	return u, nil
}

// unionSaw gives the merger the values that a HASH row which was concluded from its
// union may have drifted from: those but the current one that were seen last, within
// the window. A row that drifts has few.
func (e *Engine) unionSaw(identity, primitive []byte, c *attribution.Conclusion) error {
	u := e.union(identity, primitive)
	if u == nil { // there is no room for it
		if _, err := e.addUp(e.catalog.of(primitive).kind, identity, primitive); err != nil {
			return err
		}
		_, err := e.merger.End()
		return err
	}
	from := c.LastTS - e.cfg.Thresholds.HashWindow
	for seen := range u.NewestValues() {
		if seen.TS < from {
			break
		}
		if seen.Is(c.Value) {
			continue
		}
		v, err := e.seenValue(&seen, identity, primitive)
		if err != nil {
			return fmt.Errorf("contribution of %s to %s of %s: %w", seen.Attacker, primitive, identity, err)
		}
		e.merger.AlsoSeen(attribution.Gone{Value: bytes.Clone(v), TS: seen.TS})
		from = seen.TS // others were seen at the same time, or before
	}
	return nil
}

// seenValue returns the text of a value that an attacker has in a row.
func (e *Engine) seenValue(seen *attribution.Seen, identity, primitive []byte) (v attribution.Value, err error) {
	attacker := []byte(seen.Attacker)
	s := series{Series: e.contrib}
	_, err = e.loadContribution(&s, identity, primitive, attacker)
	e.contrib = s.Series
	if err != nil {
		return nil, err
	}
	for i := range s.Entries {
		if at := &s.Entries[i]; at.TS == seen.TS && seen.Is(at.Value) {
			return at.Value, nil
		}
	}
	for i := range s.Gone {
		if at := &s.Gone[i]; at.TS == seen.TS && seen.Is(at.Value) {
			return at.Value, nil
		}
	}
	t := e.tree(&s, identity, primitive, attacker)
	t.since(s.root, seen.TS, func(g attribution.Gone) bool {
		if g.TS == seen.TS && seen.Is(g.Value) {
			v = g.Value
		}
		return v == nil
	})
	if t.err == nil && v == nil {
		t.err = fmt.Errorf("no value was seen last at %v as the union of the row has it", seen.TS)
	}
	return v, t.err
}

// contributions are the contributions to a row, as the union of the row reads them:
// their long values are read when they are asked for, as few are.
type contributions struct {
	engine              *Engine
	identity, primitive []byte
}

// fill reads what the union of the row has too few of: its newest entries.
func (c *contributions) fill(u *attribution.Union) error {
	enough, err := u.Refill(c)
	if err != nil || enough {
		return err
	}
	if err = c.heads(u); err == nil {
		_, err = u.Refill(c)
	}
	return err
}

// heads tells the union of the row which entry is the newest of each contribution.
func (c *contributions) heads(u *attribution.Union) error {
	e := c.engine
	u.ForgetHeads(!e.unions.share.full())
	s := series{Series: e.contrib}
	e.buf.contribValues.long.at(nil, nil)
	err := scan(e.store, rowKey(nil, kindContribution, c.identity, c.primitive), nil, func(rest, value []byte) error {
		e.added++
		attacker, _, err := cutID(rest)
		if err == nil {
			err = decodeContribution(value, &s, &e.buf.contribValues)
		}
		if err == nil {
			u.AddHead(attacker, attribution.HeadOf(&s.Series))
		}
		return err
	})
	e.contrib = s.Series
	return err
}

// Entries implements attribution.UnionSource.
func (c *contributions) Entries(attacker []byte) ([]attribution.Entry, error) {
	e := c.engine
	s := series{Series: e.contrib}
	e.added++
	_, err := e.loadContributionBy(nil, &s, c.identity, c.primitive, attacker)
	e.contrib = s.Series
	return s.Entries, err
}

// Text implements attribution.UnionSource.
func (c *contributions) Text(attacker []byte, v attribution.Value) (attribution.Value, error) {
	if !isLong(v) {
		return v, nil
	}
	e := c.engine
	key := append(seriesKey(e.keys.part[:0], kindLong, c.identity, c.primitive, attacker), v[1:]...)
	e.keys.part = key
	b, err := e.store.Get(key)
	if err == nil && b == nil {
		err = fmt.Errorf("the long value %x of %s is not in the store", v[1:], attacker)
	}
	return b, err
}

// unionReturns tells the union of a row whether the series of an attacker
// returns, of a primitive that can.
func (e *Engine) unionReturns(identity, primitive, attacker []byte, s *attribution.Series) {
	if len(e.unions.rows) == 0 || !e.catalog.of(primitive).returning {
		return
	}
	if u := e.union(identity, primitive); u != nil {
		before := u.Size()
		u.SetReturns(string(attacker), attribution.Returns(s, &e.cfg.Thresholds))
		e.unions.grew(u.Size() - before)
	}
}
