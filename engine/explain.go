package engine

import (
	"bytes"
	"fmt"

	"handprint/attribution"
)

// Explanation is why a row says what it says: what the merger has seen, the
// questions that it asked, and what would change the answer. It is the object of
// the HTTP API and of `handprint explain --json`.
type Explanation struct {
	Identity  string       `json:"identity_uuid"`
	Primitive string       `json:"primitive"`
	Kind      string       `json:"kind"`
	Merger    string       `json:"merger"`
	Row       ExplainedRow `json:"row"`
	// Agrees says that the merger gives what the row says. It does not while an
	// identity event is not over (Unsettled), or if thresholds have changed
	// since. Otherwise it is a fault.
	Agrees        bool                `json:"agrees"`
	Unsettled     bool                `json:"unsettled,omitempty"`
	Contributions int                 `json:"contributions"` // attackers that have observations here
	Window        ExplainedWindow     `json:"window"`
	Facts         attribution.Facts   `json:"facts"`
	Thresholds    ExplainedThresholds `json:"thresholds"`
	Steps         []attribution.Step  `json:"steps"`
	WouldChange   []ExplainedWouldBe  `json:"would_change"`
	// EndsAfter is how many more observations of the newest value lead to another
	// state; 0: as many as a series keeps do not.
	EndsAfter int `json:"ends_after" doc:"How many more observations of the newest value lead to another state; 0: as many as are kept do not."`
}

// ExplainedRow is the row as it was published last.
type ExplainedRow struct {
	State             string            `json:"state"`
	Confidence        float64           `json:"confidence"`
	Value             attribution.Value `json:"current_value"`
	Count             int64             `json:"observation_count"`
	LastChangeTS      float64           `json:"last_change_ts"`
	LastObservationTS float64           `json:"last_observation_ts"`
	Returns           bool              `json:"returns,omitempty"`
}

// ExplainedWindow is the observations that decide.
type ExplainedWindow struct {
	Size      int              `json:"size"`   // of the recent window and of the older one
	Recent    []ExplainedEntry `json:"recent"` // oldest first
	Older     []ExplainedEntry `json:"older"`
	Kept      int64            `json:"kept"`       // observations that are kept, of all contributions
	PushedOut int64            `json:"pushed_out"` // observations that are only counted
}

// ExplainedEntry is an observation of a window. The store has a hash of its
// evidence_ref only, so whoever wants it reads the input record At.
type ExplainedEntry struct {
	TS         float64           `json:"ts"`
	Value      attribution.Value `json:"value"` // null for a large one that is not kept any more
	Attacker   string            `json:"attacker_uuid"`
	Confidence *float64          `json:"confidence"`   // the sensor's; null: none
	Evidence   *string           `json:"evidence_ref"` // filled by those who read the input topic
	Source     string            `json:"source,omitempty"`
	Gone       string            `json:"evidence,omitempty"` // why evidence_ref is null
	At         ExplainedPlace    `json:"at"`
}

// ExplainedPlace is where an input record stands in attacker.observation.
type ExplainedPlace struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

// ExplainedThresholds are the thresholds that the rules of the row look at.
type ExplainedThresholds struct {
	Window               int     `json:"window"`
	MinObservations      int     `json:"min_observations"`
	CategoricalMajority  int     `json:"categorical_majority"`
	EWMAAlpha            float64 `json:"numeric_ewma_alpha"`
	DriftMeanShift       float64 `json:"numeric_drift_mean_shift"`
	ConflictCV           float64 `json:"numeric_conflict_cv"`
	HashWindow           float64 `json:"hash_window"` // seconds
	HashDriftMaxRotation int     `json:"hash_drift_max_rotations"`
	MultiActorCap        float64 `json:"multi_actor_confidence_cap"`
}

// ExplainedWouldBe is what would be concluded if a value came next.
type ExplainedWouldBe struct {
	NextValue  attribution.Value `json:"next_value"`
	State      string            `json:"state"`
	Confidence float64           `json:"confidence"`
}

// Explain explains a row, from the task that is its identity's home. It reads
// what the engine reads and concludes with the engine's merger. found is false
// if there is no such row. Of cfg it needs Thresholds and Registry (nil: the
// built-in one).
func Explain(from Reader, cfg *Config, identity, primitive string) (x Explanation, found bool, err error) {
	x, found, err = explain(from, cfg, []byte(identity), []byte(primitive))
	if err != nil {
		err = fmt.Errorf("explaining %s of identity %s: %w", primitive, identity, err)
	}
	return x, found, err
}

func explain(from Reader, cfg *Config, identity, primitive []byte) (x Explanation, found bool, err error) {
	var r row
	var values values
	key := rowKey(nil, kindRow, identity, primitive)
	values.long.at(from, key)
	r, found, err = get(from, key, func(b []byte) (r row, err error) {
		err = decodeRow(b, &r, &values)
		return r, err
	})
	if err != nil || !found || !r.published {
		return x, false, err
	}
	registry := cfg.Registry
	if registry == nil {
		registry = attribution.DefaultRegistry()
	}
	kind := registry.Kind(primitive)
	merger := attribution.NewMerger(&cfg.Thresholds)
	attackers, kept, err := mergeAll(from, merger, kind, &r, identity, primitive)
	if err != nil {
		return x, false, err
	}
	c, err := merger.End()
	if err != nil {
		c = merger.EndCategorical() // as the engine does: the registry has given it another kind
	}
	e := merger.Explain(c)
	c = e.Conclusion
	t := &cfg.Thresholds
	x = Explanation{
		Identity: string(identity), Primitive: string(primitive), Kind: kind.String(), Merger: e.Merger,
		Row: ExplainedRow{
			State: r.was.State.String(), Confidence: r.was.Confidence, Count: r.was.Count,
			LastChangeTS: r.was.LastChangeTS, LastObservationTS: r.was.LastObservationTS, Returns: r.was.Returns,
		},
		Agrees: c.State == r.was.State && bytes.Equal(c.Value, r.was.Value) && c.Confidence == r.was.Confidence &&
			c.Count == r.was.Count && c.LastTS == r.was.LastObservationTS,
		Contributions: len(attackers),
		Window:        ExplainedWindow{Size: t.Window, Kept: kept, PushedOut: c.Count - kept},
		Facts:         e.Facts,
		Steps:         e.Steps,
		Thresholds: ExplainedThresholds{
			Window: t.Window, MinObservations: t.MinObservations, CategoricalMajority: t.CategoricalMajority, EWMAAlpha: t.EWMAAlpha,
			DriftMeanShift: t.DriftMeanShift, ConflictCV: t.ConflictCV, HashWindow: t.HashWindow, HashDriftMaxRotation: t.HashDriftMaxRotation, MultiActorCap: t.MultiActorCap,
		},
	}
	if _, x.Unsettled, err = get(from, idKey(nil, kindUnsettled, identity), decodeUnsettled); err != nil {
		return x, true, err
	}
	text := texts(from, identity, primitive)
	if x.Row.Value, err = text(r.was.Value); err != nil {
		return x, true, err
	}
	for _, w := range []struct {
		from []attribution.ExplainedEntry
		into *[]ExplainedEntry
	}{{e.Recent, &x.Window.Recent}, {e.Older, &x.Window.Older}} {
		*w.into = make([]ExplainedEntry, len(w.from))
		for i := range w.from {
			if err := shownEntry(&(*w.into)[i], &w.from[i], attackers, text); err != nil {
				return x, true, err
			}
		}
	}
	var allowed []string
	if p := registry.Lookup(primitive); p != nil {
		allowed = p.Values
	}
	for _, o := range merger.WouldChange(&e, kind, e.Unseen(kind, allowed)) {
		v, err := text(o.NextValue)
		if err != nil {
			return x, true, err
		}
		x.WouldChange = append(x.WouldChange, ExplainedWouldBe{v, o.State.String(), o.Confidence})
	}
	x.EndsAfter = merger.EndsAfter(&e, kind, t)
	return x, true, x.showFacts(text)
}

// showFacts spells the values of the facts out.
func (x *Explanation) showFacts(text func(attribution.Value) (attribution.Value, error)) (err error) {
	for _, v := range []*attribution.Value{x.Facts.Top, x.Facts.OlderTop} {
		if v != nil && err == nil {
			*v, err = text(*v)
		}
	}
	for i := range x.Facts.Values {
		if err == nil {
			x.Facts.Values[i].Value, err = text(x.Facts.Values[i].Value)
		}
	}
	return err
}

func shownEntry(into *ExplainedEntry, e *attribution.ExplainedEntry, attackers []string, text func(attribution.Value) (attribution.Value, error)) (err error) {
	*into = ExplainedEntry{TS: e.TS, Attacker: attackers[e.Source], At: ExplainedPlace{e.Latest.Partition, e.Latest.Offset}}
	if e.Confidence >= 0 {
		confidence := e.Confidence
		into.Confidence = &confidence
	}
	into.Value, err = text(e.Value)
	return err
}

// texts returns what spells out the large values of a row, each read once.
func texts(from Reader, identity, primitive []byte) func(attribution.Value) (attribution.Value, error) {
	var known map[string]attribution.Value
	return func(v attribution.Value) (attribution.Value, error) {
		if !isLarge(v) {
			return bytes.Clone(v), nil
		}
		if text, read := known[string(v)]; read {
			return text, nil
		}
		text, err := largeText(from, v, identity, primitive)
		if err != nil {
			return nil, fmt.Errorf("reading its large values: %w", err)
		}
		if known == nil {
			known = make(map[string]attribution.Value)
		}
		known[string(v)] = text
		return text, nil
	}
}

// mergeAll gives all contributions to a row to the merger. It returns whose they
// are, by their sources, and how many observations they keep.
func mergeAll(from Reader, m *attribution.Merger, kind attribution.Kind, r *row, identity, primitive []byte) (attackers []string, kept int64, err error) {
	m.Begin(kind)
	err = eachSeries(from, r, identity, primitive, func(s *attribution.Series, attacker string) {
		m.Add(s, len(attackers))
		attackers, kept = append(attackers, attacker), kept+int64(len(s.Entries))
	})
	return attackers, kept, err
}

// eachSeries reads the series of all attackers of a row, with the values that
// were pushed out. What use is given lasts until it returns.
func eachSeries(from Reader, r *row, identity, primitive []byte, use func(s *attribution.Series, attacker string)) error {
	add := func(s *series, attacker []byte) error {
		if s.Elsewhere > 0 {
			gone, err := goneValues(from, identity, primitive, attacker)
			if err != nil {
				return err
			}
			s.Gone, s.Elsewhere = append(s.Gone, gone...), 0
		}
		use(&s.Series, string(attacker))
		return nil
	}
	if r.inline {
		id, _, err := get(from, idKey(nil, kindIdentity, identity), decodeIdentity)
		if err == nil {
			err = add(&r.series, id.Own)
		}
		return err
	}
	type contribution struct{ attacker, record []byte }
	var spilled []contribution // read when the scan is over
	take := func(c contribution, during bool) error {
		var s series
		var values values
		values.long.at(from, seriesKey(nil, kindContribution, identity, primitive, c.attacker))
		if err := decodeContribution(c.record, &s, &values); err != nil {
			return err
		}
		if s.Elsewhere > 0 && during {
			spilled = append(spilled, contribution{c.attacker, bytes.Clone(c.record)})
			return nil
		}
		return add(&s, c.attacker)
	}
	err := scan(from, rowKey(nil, kindContribution, identity, primitive), nil, func(rest, value []byte) error {
		attacker, _, err := cutID(rest)
		if err != nil {
			return err
		}
		return take(contribution{bytes.Clone(attacker), value}, true)
	})
	for i := range spilled {
		if err == nil {
			err = take(spilled[i], false)
		}
	}
	return err
}

// goneValues reads the values of a series that are records of their own.
func goneValues(from Reader, identity, primitive, attacker []byte) (all []attribution.Gone, err error) {
	err = scan(from, seriesKey(nil, kindGone, identity, primitive, attacker), nil, func(name, record []byte) error {
		g, err := decodeGone(bytes.Clone(name), record, &values{})
		all = append(all, g)
		return err
	})
	return all, err
}

// ConcernsRow reports whether a record of the store belongs to what Explain
// reads of a row, or to what it and ExplainSuspicion read of all rows of the
// identity if primitive is empty.
func ConcernsRow(key []byte, identity, primitive string) bool {
	if len(key) == 0 {
		return false
	}
	id := appendID(nil, []byte(identity))
	switch key[0] {
	case kindIdentity, kindUnsettled, kindSuspicion:
		return bytes.Equal(key[1:], id)
	case kindFlagged, kindFlagCount, kindReturning:
		return bytes.HasPrefix(key[1:], id)
	case kindRow, kindContribution, kindGone, kindLarge, kindLong:
		if primitive != "" {
			id = appendCutPrimitive(id, key[0], []byte(primitive))
		}
		return bytes.HasPrefix(key[1:], id)
	}
	return false
}
