package attribution

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"handprint/internal/canonical"
)

// Explained is how a merger came to what it concluded last.
type Explained struct {
	Merger     string // categorical, numeric or hash
	Conclusion Conclusion
	Older      []ExplainedEntry // the older window, oldest first
	Recent     []ExplainedEntry // the recent window, oldest first
	Facts      Facts
	Steps      []Step // the questions in their order, up to the one that decides

	series Series // what was merged, as far as it counts
}

// ExplainedEntry is an observation of a window, and the series that it is from.
type ExplainedEntry struct {
	Entry
	Source int
}

// Facts are the numbers that the rules look at. Those of other mergers are nil.
type Facts struct {
	N          int64 `json:"n"`           // observations in all
	RecentSize int   `json:"recent_size"` // of them, in the recent window
	OlderSize  int   `json:"older_size"`

	Top           *Value `json:"top,omitempty"` // categorical: the most frequent value of the recent window
	TopCount      *int   `json:"top_count,omitempty"`
	Clear         *bool  `json:"clear,omitempty"`
	Distinct      *int   `json:"distinct,omitempty"` // of a hash: within its window
	Flips         *int   `json:"flips,omitempty"`
	Repeats       *int   `json:"repeats,omitempty"`
	OlderTop      *Value `json:"older_top,omitempty"`
	OlderTopCount *int   `json:"older_top_count,omitempty"`
	OlderClear    *bool  `json:"older_clear,omitempty"`

	EWMA      *float64 `json:"ewma,omitempty"`
	OlderEWMA *float64 `json:"older_ewma,omitempty"`
	CV        *float64 `json:"cv,omitempty"`
	Shift     *float64 `json:"shift,omitempty"`

	Rotations *int        `json:"rotations,omitempty"`
	Values    []HashValue `json:"values,omitempty"` // of a hash: within its window, the newest first, at most 20
}

// HashValue is a value within the window of a hash. FirstTS is that of the
// oldest observation of it among the newest ones; nil if none of them has it.
type HashValue struct {
	Value   Value    `json:"value"`
	FirstTS *float64 `json:"first_ts"`
	LastTS  float64  `json:"last_ts"`
}

// maxHashValues is how many values of a hash an explanation lists.
const maxHashValues = 20

// Step is one question that a merger asks.
type Step struct {
	Rule    string `json:"rule"`
	Text    string `json:"text"`
	Holds   bool   `json:"holds"`
	Decides bool   `json:"decides,omitempty"` // the state follows from it
}

// Explain says how the merger came to what it concluded last. What it returns is
// a copy.
func (m *Merger) Explain(c Conclusion) Explained {
	c.Value = bytes.Clone(c.Value)
	e := Explained{Conclusion: c, series: Series{Count: m.count}}
	older, recent := m.windows()
	copied := func(window []tailEntry) (list []ExplainedEntry) {
		for i := range window {
			entry := window[i].Entry
			entry.Value = bytes.Clone(entry.Value)
			list = append(list, ExplainedEntry{entry, window[i].source})
			e.series.Entries = append(e.series.Entries, entry)
		}
		return list
	}
	e.Older, e.Recent = copied(older), copied(recent)
	for _, g := range m.seen {
		e.series.Gone = append(e.series.Gone, Gone{bytes.Clone(g.Value), g.TS})
	}
	e.Facts = Facts{N: m.count, RecentSize: len(recent), OlderSize: len(older)}
	switch m.kind {
	case Hash:
		e.Merger = "hash"
		m.explainHash(&e)
	case Numeric:
		e.Merger = "numeric"
		m.explainNumeric(&e, older, recent)
	default:
		e.Merger = "categorical"
		m.explainCategorical(&e, older, recent)
	}
	if n := len(e.Steps); n > 0 {
		e.Steps[n-1].Decides = true
	}
	return e
}

func (e *Explained) step(rule string, holds bool, format string, args ...any) {
	e.Steps = append(e.Steps, Step{Rule: rule, Holds: holds, Text: fmt.Sprintf(format, args...)})
}

// enough asks whether there are observations enough for a state.
func (m *Merger) enough(e *Explained) bool {
	enough := m.count >= int64(m.t.MinObservations)
	e.step("enough", enough, "%d observations, at least %d needed", m.count, m.t.MinObservations)
	return enough
}

func ptr[T any](v T) *T { return &v }

func (m *Merger) explainCategorical(e *Explained, older, recent []tailEntry) {
	if len(recent) > 0 {
		first, count := mostFrequent(recent)
		flips := 0
		for i := 1; i < len(recent); i++ {
			if !bytes.Equal(recent[i].Value, recent[i-1].Value) {
				flips++
			}
		}
		e.Facts.Top, e.Facts.TopCount, e.Facts.Clear = ptr(Value(bytes.Clone(recent[first].Value))), &count, ptr(m.clear(recent, count))
		e.Facts.Distinct, e.Facts.Flips, e.Facts.Repeats = ptr(distinct(recent)), &flips, ptr(len(recent)-1-flips)
	}
	if !m.enough(e) {
		return
	}
	f := &e.Facts
	needed := min(m.t.CategoricalMajority, len(recent))
	e.step("recent_clear", *f.Clear, "most frequent value %d of %d, at least %d needed", *f.TopCount, len(recent), needed)
	if !*f.Clear {
		two := len(recent) >= 4 && *f.Distinct == 2
		e.step("two_values", two, "%d values in a window of %d; exactly 2 in at least 4 needed", *f.Distinct, len(recent))
		if two {
			e.step("alternates", *f.Flips >= 2*max(*f.Repeats, 1), "flips: %d, repeats: %d; at least %d flips needed", *f.Flips, *f.Repeats, 2*max(*f.Repeats, 1))
		}
		return
	}
	e.step("older_window", len(older) > 0, "%d observations before the recent window", len(older))
	if len(older) == 0 {
		return
	}
	first, count := mostFrequent(older)
	f.OlderTop, f.OlderTopCount, f.OlderClear = ptr(Value(bytes.Clone(older[first].Value))), &count, ptr(m.clear(older, count))
	e.step("older_clear", *f.OlderClear, "most frequent value %d of the %d before, at least %d needed", count, len(older), min(m.t.CategoricalMajority, len(older)))
	if *f.OlderClear {
		same := bytes.Equal(*f.OlderTop, *f.Top)
		word := "another"
		if same {
			word = "the same"
		}
		e.step("same_value", same, "the most frequent value before is %s", word)
	}
}

func (m *Merger) explainNumeric(e *Explained, older, recent []tailEntry) {
	if !m.enough(e) || len(recent) == 0 {
		return
	}
	values := make([]float64, 0, len(older)+len(recent))
	for _, window := range [][]tailEntry{older, recent} {
		for i := range window {
			f, _ := number(window[i].Value) // it has been concluded from
			values = append(values, f)
		}
	}
	up := raise(values)
	was, now := values[:len(older)], values[len(older):]
	mean := m.ewma(now)
	cv := variation(now, mean)
	e.Facts.EWMA, e.Facts.CV = ptr(mean/up), &cv
	e.step("spread", cv <= m.t.ConflictCV, "coefficient of variation %.3g, at most %.3g allowed", cv, m.t.ConflictCV)
	if cv > m.t.ConflictCV {
		return
	}
	e.step("older_window", len(older) > 0, "%d observations before the recent window", len(older))
	if len(older) == 0 {
		return
	}
	before := m.ewma(was)
	e.Facts.OlderEWMA = ptr(before / up)
	if before == 0 {
		mean /= up
	}
	moved := shift(mean, before)
	e.Facts.Shift = ptr(min(moved, math.MaxFloat64))
	e.step("shift", moved < m.t.DriftMeanShift, "the mean moved by %.3g, drift begins at %.3g", moved, m.t.DriftMeanShift)
}

func (m *Merger) explainHash(e *Explained) {
	if m.count == 0 || len(m.tail) == 0 {
		e.step("enough", false, "no observation")
		return
	}
	from := e.Conclusion.LastTS - m.t.HashWindow
	for i := range m.seen {
		if g := &m.seen[i]; g.TS >= from {
			e.Facts.Values = append(e.Facts.Values, HashValue{Value: bytes.Clone(g.Value), LastTS: g.TS})
		}
	}
	values := e.Facts.Values
	slices.SortFunc(values, func(a, b HashValue) int {
		if a.LastTS != b.LastTS {
			if a.LastTS > b.LastTS {
				return -1
			}
			return 1
		}
		return bytes.Compare(a.Value, b.Value)
	})
	n := len(values)
	values = values[:min(n, maxHashValues)]
	for i := range values {
		for j := range m.tail {
			if t := &m.tail[j]; t.TS >= from && bytes.Equal(t.Value, values[i].Value) {
				values[i].FirstTS = ptr(t.TS)
				break
			}
		}
	}
	e.Facts.Values = values
	rotations := max(0, n-1)
	e.Facts.Distinct, e.Facts.Rotations = &n, &rotations
	e.step("one_value", rotations == 0, "%d values within %.4g h before the newest", n, m.t.HashWindow/3600)
	if rotations > 0 {
		e.step("few_rotations", rotations <= m.t.HashDriftMaxRotation, "%d rotations, at most %d are drift", rotations, m.t.HashDriftMaxRotation)
	}
}

// Outcome is what would be concluded if one more observation came.
type Outcome struct {
	NextValue  Value   `json:"next_value"`
	State      State   `json:"-"`
	Confidence float64 `json:"confidence"`
}

// maxOutcomes bounds the values that are tried.
const maxOutcomes = 6

// maxTime is the arrival of an observation that is made up: after all others.
const maxTime = math.MaxInt64

// WouldChange says what would be concluded if an observation of one of these
// values came next, at the time of the newest one. It concludes with m. The
// values are the ones that the windows have, the newest first, and then others,
// at most 6 in all.
func (m *Merger) WouldChange(e *Explained, kind Kind, others ...Value) (list []Outcome) {
	var values []Value
	try := func(v Value) {
		if len(values) < maxOutcomes && !slices.ContainsFunc(values, func(w Value) bool { return bytes.Equal(v, w) }) {
			values = append(values, v)
		}
	}
	for _, window := range [][]ExplainedEntry{e.Recent, e.Older} {
		for i := len(window) - 1; i >= 0; i-- {
			if len(values) < maxOutcomes-min(len(others), 1) {
				try(window[i].Value)
			}
		}
	}
	for _, v := range others {
		try(v)
	}
	for _, v := range values {
		next := Series{Count: e.series.Count + 1, Entries: slices.Clone(e.series.Entries), Gone: e.series.Gone}
		next.Entries = append(next.Entries, Entry{TS: e.Conclusion.LastTS, Value: v, Place: Arrival{Time: maxTime}, Confidence: -1})
		c, err := m.Conclude(kind, &next)
		if err != nil {
			c = m.EndCategorical()
		}
		list = append(list, Outcome{NextValue: v, State: c.State, Confidence: c.Confidence})
	}
	return list
}

// Unseen returns a value of a primitive that a series does not have: one that
// its list allows, a number twice the mean, or a text that nobody sends.
func (e *Explained) Unseen(kind Kind, allowed []string) Value {
	seen := func(v Value) bool {
		return slices.ContainsFunc(e.series.Entries, func(x Entry) bool { return bytes.Equal(x.Value, v) })
	}
	switch kind {
	case Numeric:
		if e.Facts.EWMA == nil || *e.Facts.EWMA == 0 || math.Abs(*e.Facts.EWMA) > math.MaxFloat64/2 {
			return Value("1")
		}
		return canonical.AppendFloat(nil, 2**e.Facts.EWMA)
	case Bool:
		for _, v := range []Value{Value("true"), Value("false")} {
			if !seen(v) {
				return v
			}
		}
		return Null
	case Array:
		return Value(`["(another)"]`)
	}
	for _, text := range allowed {
		if v := Value(canonical.AppendString(nil, text)); !seen(v) {
			return v
		}
	}
	return Value(`"(another value)"`)
}
