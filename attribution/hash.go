package attribution

// hash is the merger of fingerprints (docs/attribution.md, "Hash merger"). One
// observation is enough for a state.
func (m *Merger) hash(c *Conclusion) {
	if m.count == 0 || len(m.tail) == 0 {
		return
	}
	m.last(c)
	from := c.LastTS - m.t.HashWindow
	values := m.elsewhere
	if m.union != nil {
		values = m.union.since(from)
	}
	for i := range m.seen {
		if m.seen[i].TS >= from {
			values++
		}
	}
	rotations := max(0, values-1)
	c.Confidence = 1 / float64(1+rotations)
	switch {
	case rotations == 0:
		c.State = Stable
	case rotations <= m.t.HashDriftMaxRotation:
		c.State = Drifting
	default:
		c.State = Conflicted
	}
}
