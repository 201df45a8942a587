package attribution

import "bytes"

// categorical is the merger of values that are equal or not
// (docs/attribution.md, "Categorical merger").
func (m *Merger) categorical(c *Conclusion) {
	m.last(c)
	if m.count < int64(m.t.MinObservations) {
		return
	}
	older, recent := m.windows()
	top, count := mostFrequent(recent)
	c.Confidence = float64(count) / float64(len(recent))
	if !m.clear(recent, count) {
		c.State = Conflicted
		if m.alternates(recent) {
			c.State = MultiActor
			c.Confidence = min(c.Confidence, m.t.MultiActorStateCap)
		}
		return
	}
	c.Value, c.Source = recent[top].Value, recent[top].source
	c.State = Stable
	if len(older) == 0 {
		return
	}
	olderTop, olderCount := mostFrequent(older)
	if !m.clear(older, olderCount) || !bytes.Equal(older[olderTop].Value, c.Value) {
		c.State = Drifting
	}
}

// clear reports whether count of a window make it clear.
func (m *Merger) clear(window []tailEntry, count int) bool {
	return count >= min(m.t.CategoricalMajority, len(window))
}

// mostFrequent returns where the most frequent value first stands, and how
// often it does; of equally frequent ones the value seen first.
func mostFrequent(window []tailEntry) (first, count int) {
	for i := range window {
		n := 0
		for j := range window {
			if bytes.Equal(window[i].Value, window[j].Value) {
				n++
			}
		}
		if n > count {
			first, count = i, n
		}
	}
	return first, count
}

// alternates reports whether two values take turns so often that two people
// are a better explanation than one who changes.
func (m *Merger) alternates(recent []tailEntry) bool {
	if len(recent) < 4 || distinct(recent) != 2 {
		return false
	}
	flips := 0
	for i := 1; i < len(recent); i++ {
		if !bytes.Equal(recent[i].Value, recent[i-1].Value) {
			flips++
		}
	}
	repeats := len(recent) - 1 - flips
	return flips >= 2*max(repeats, 1)
}

func distinct(window []tailEntry) int {
	n := 0
next:
	for i := range window {
		for j := range i {
			if bytes.Equal(window[i].Value, window[j].Value) {
				continue next
			}
		}
		n++
	}
	return n
}
