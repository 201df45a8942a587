package attribution

import (
	"bytes"

	"handprint/internal/canonical"
)

// DriftedFrom returns what a row drifted from, by the series that were concluded
// last as c: the most frequent value of the older window, the older mean of
// numbers, and of a hash the newest other value within its window; nil if there
// is none. It is valid until the merger's next call.
func (m *Merger) DriftedFrom(c *Conclusion) Value {
	older, _ := m.windows()
	switch {
	case m.kind == Hash:
		return m.hashBefore(c)
	case len(older) == 0:
		return nil
	case m.kind == Numeric:
		values := make([]float64, 0, 16)
		for i := range older {
			f, ok := number(older[i].Value)
			if !ok {
				return nil // then there was no conclusion
			}
			values = append(values, f)
		}
		up := raise(values)
		m.was = canonical.AppendFloat(m.was[:0], m.ewma(values)/up)
		return m.was
	}
	first, _ := mostFrequent(older)
	return older[first].Value
}

// AlsoSeen adds a HASH value that was not with the series that were concluded
// last, for DriftedFrom.
func (m *Merger) AlsoSeen(g Gone) { m.seen = append(m.seen, g) }

// Partial reports whether DriftedFrom does not know all values: it concluded
// from the union of a HASH row, which remembers no texts but those of its newest
// entries. If it finds none, AlsoSeen has to tell the newest of the union's values
// (see [Union.NewestValues]), all that were seen last at the same time.
func (m *Merger) Partial() bool { return m.union != nil }

// hashBefore returns the newest value within the window of a hash that is not
// the current one. Of two that were seen last at the same time, and are not
// among the newest entries, it is the greater string.
func (m *Merger) hashBefore(c *Conclusion) (before Value) {
	from := c.LastTS - m.t.HashWindow
	for i := len(m.tail) - 1; i >= 0; i-- {
		e := &m.tail[i].Entry
		if e.TS >= from && !bytes.Equal(e.Value, Null) && !bytes.Equal(e.Value, c.Value) {
			return e.Value
		}
	}
	ts := from
	for i := range m.seen {
		g := &m.seen[i]
		if g.TS < ts || bytes.Equal(g.Value, c.Value) {
			continue
		}
		if g.TS > ts || before == nil || compareText(g.Value, before) > 0 {
			before, ts = g.Value, g.TS
		}
	}
	return before
}
