package attribution

import (
	"bytes"
	"fmt"
	"slices"
)

// Conclusion is what a merger says about the union of the series of all
// attackers of one identity, for one primitive.
type Conclusion struct {
	State      State
	Value      Value   // valid until the merger's next call
	Source     int     // which of the added series the value is from; -1: computed, or none
	Confidence float64 // in [0, 1]
	Count      int64
	LastTS     float64 // 0 if there is no observation
	Returns    bool    // one of the series returns, as the merger was told: see Merger.SetReturns
}

// Merger computes conclusions. It keeps scratch space between calls and is for
// one goroutine.
//
// A row of one attacker is concluded from its series by Conclude. A row of
// several is added up series by series, so that the memory it takes does not
// grow with the number of attackers: Begin, Add for each, End.
type Merger struct {
	t     *Thresholds
	kind  Kind
	count int64
	// returns is Conclusion.Returns of the conclusion to come.
	returns bool
	tail    []tailEntry // newest last, at most two windows
	arena   []byte      // values of tail and of distinct, copied by Add
	seen    []Gone      // HASH: distinct non-null values with their latest ts
	index   map[string]int
	// HASH values that are not in seen: how many lie within the window, of one
	// series, or the values of a union.
	elsewhere int
	union     *unionValues
	text      []byte // the numeric value
	was       []byte // and that before it, of DriftedFrom
}

type tailEntry struct {
	Entry
	source int
}

// NewMerger returns a merger with these thresholds, which must be valid.
func NewMerger(t *Thresholds) *Merger { return &Merger{t: t} }

// Conclude merges the series of a single attacker.
func (m *Merger) Conclude(kind Kind, s *Series) (Conclusion, error) {
	m.reset(kind)
	m.count, m.elsewhere = s.Count, s.Elsewhere
	for _, e := range s.Entries[max(0, len(s.Entries)-2*m.t.Window):] {
		m.tail = append(m.tail, tailEntry{Entry: e})
	}
	if kind == Hash {
		m.window(s, false)
	}
	return m.End()
}

// Union concludes from a union that is up to date. The Source of the conclusion
// is for Union.Attacker.
func (m *Merger) Union(u *Union) (Conclusion, error) {
	m.reset(u.kind)
	m.count, m.returns = u.count, u.Returns()
	for i := max(0, len(u.tail)-2*m.t.Window); i < len(u.tail); i++ {
		m.tail = append(m.tail, tailEntry{Entry: u.entry(i), source: i})
	}
	m.union = u.values
	return m.End()
}

// Begin starts a union of series.
func (m *Merger) Begin(kind Kind) { m.reset(kind) }

// Add adds the series of one more attacker, which must be whole: none of its
// values may be [Series.Elsewhere]. What s refers to may change after
// the call. source is handed back with a value that came from it.
func (m *Merger) Add(s *Series, source int) {
	m.count += s.Count
	for i := len(s.Entries) - 1; i >= 0; i-- {
		if !m.keep(&s.Entries[i], source) {
			break
		}
	}
	if m.kind == Hash {
		m.window(s, true)
	}
}

// SetReturns says that one of the series that are merged returns (see
// [Returns]), which is asked of few primitives.
func (m *Merger) SetReturns() { m.returns = true }

// keep puts e among the newest two windows, if it belongs there.
func (m *Merger) keep(e *Entry, source int) bool {
	at := len(m.tail)
	for at > 0 && e.before(&m.tail[at-1].Entry) {
		at--
	}
	full := len(m.tail) >= 2*m.t.Window
	if full && at == 0 {
		return false
	}
	copied := tailEntry{Entry: *e, source: source}
	copied.Value = m.copied(e.Value)
	if full {
		copy(m.tail, m.tail[1:at])
		m.tail[at-1] = copied
		return true
	}
	m.tail = slices.Insert(m.tail, at, copied)
	return true
}

func (m *Merger) copied(v Value) Value {
	from := len(m.arena)
	m.arena = append(m.arena, v...)
	return Value(m.arena[from:len(m.arena):len(m.arena)])
}

// window collects the distinct values of a HASH series with their latest ts.
// Which of them lie in the window is known when the last ts is.
func (m *Merger) window(s *Series, copies bool) {
	for i := range s.Entries {
		if e := &s.Entries[i]; !bytes.Equal(e.Value, Null) {
			m.see(e.Value, e.TS, copies)
		}
	}
	for i := range s.Gone {
		m.see(s.Gone[i].Value, s.Gone[i].TS, copies)
	}
}

// fewValues is up to where a walk beats a map.
const fewValues = 16

func (m *Merger) see(v Value, ts float64, copies bool) {
	at, known := -1, false
	if len(m.seen) <= fewValues {
		at = slices.IndexFunc(m.seen, func(g Gone) bool { return bytes.Equal(g.Value, v) })
		known = at >= 0
	} else {
		if len(m.index) == 0 {
			if m.index == nil {
				m.index = make(map[string]int)
			}
			for i := range m.seen {
				m.index[string(m.seen[i].Value)] = i
			}
		}
		at, known = m.index[string(v)]
	}
	if known {
		m.seen[at].TS = max(m.seen[at].TS, ts)
		return
	}
	if copies {
		v = m.copied(v)
	}
	if len(m.index) > 0 {
		m.index[string(v)] = len(m.seen)
	}
	m.seen = append(m.seen, Gone{Value: v, TS: ts})
}

// End concludes from all series that were added.
func (m *Merger) End() (Conclusion, error) {
	c := Conclusion{Source: -1, Count: m.count, Value: Null, Returns: m.returns}
	if n := len(m.tail); n > 0 {
		c.LastTS = m.tail[n-1].TS
	}
	var err error
	switch m.kind {
	case Categorical, Bool, FreeString, Array, Unregistered:
		m.categorical(&c)
	case Numeric:
		err = m.numeric(&c)
	case Hash:
		m.hash(&c)
	default:
		err = fmt.Errorf("no merger for value kind %s", m.kind)
	}
	return c, err
}

// EndCategorical concludes from what was added as from values that are equal or
// not, whatever the kind: what End does for most kinds. It is for series with
// values that End refuses.
func (m *Merger) EndCategorical() Conclusion {
	m.kind = Unregistered
	c, _ := m.End() // the categorical merger takes anything
	return c
}

func (m *Merger) reset(kind Kind) {
	m.kind, m.count, m.returns = kind, 0, false
	m.tail, m.arena, m.seen = m.tail[:0], m.arena[:0], m.seen[:0]
	m.elsewhere, m.union = 0, nil
	clear(m.index)
}

// windows returns the last N entries and the up to N before them.
func (m *Merger) windows() (older, recent []tailEntry) {
	at := max(0, len(m.tail)-m.t.Window)
	return m.tail[max(0, at-m.t.Window):at], m.tail[at:]
}

// last is the value of the newest entry.
func (m *Merger) last(c *Conclusion) {
	if n := len(m.tail); n > 0 {
		c.Value, c.Source = m.tail[n-1].Value, m.tail[n-1].source
	}
}
