package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"

	"handprint/attribution"
	"handprint/internal/canonical"
)

// observation is the part of the envelope that the job needs.
type observation struct {
	Attacker  string          `json:"attacker_uuid"`
	Primitive string          `json:"primitive"`
	Value     json.RawMessage `json:"value"`
	Evidence  string          `json:"evidence_ref"`
	TS        *float64        `json:"ts"`
}

// transition is an event; stateRow a record of the state topic.
type transition struct {
	EventID    string          `json:"event_id"`
	Identity   string          `json:"identity_uuid"`
	Primitive  string          `json:"primitive"`
	Old        *string         `json:"old_state"`
	New        string          `json:"new_state"`
	Value      json.RawMessage `json:"current_value"`
	Confidence float64         `json:"confidence"`
	Count      int64           `json:"observation_count"`
	TS         float64         `json:"ts"`
}

type stateRow struct {
	Identity        string          `json:"identity_uuid"`
	Primitive       string          `json:"primitive"`
	Value           json.RawMessage `json:"current_value"`
	State           string          `json:"state"`
	Confidence      float64         `json:"confidence"`
	Count           int64           `json:"observation_count"`
	LastChange      float64         `json:"last_change_ts"`
	LastObservation float64         `json:"last_observation_ts"`
	SchemaVersion   int             `json:"schema_version"`
	UpdatedAt       float64         `json:"updated_at"`
}

// rowKey names a row.
type rowKey struct{ identity, primitive string }

// row is what the map holds: a series for each attacker, and what was
// concluded last.
type row struct {
	last   *attribution.Row
	series map[string]*attribution.Series
}

// rows is the map, and what is needed to conclude. It is for one goroutine.
type rows struct {
	registry   *attribution.Registry
	thresholds attribution.Thresholds
	merger     *attribution.Merger
	links      map[string]string // attacker to identity
	rows       map[rowKey]*row
}

func newRows() *rows {
	r := &rows{registry: attribution.DefaultRegistry(), thresholds: attribution.DefaultThresholds(),
		links: map[string]string{}, rows: map[rowKey]*row{}}
	r.thresholds.SuspicionRule = attribution.RulePrimitives // a peer does less: it has no suspicions, and no rows that return
	r.merger = attribution.NewMerger(&r.thresholds)
	return r
}

// take takes a record and returns the row as it is now, and the transition if
// there is one.
func (r *rows) take(record []byte, at attribution.Arrival) (*stateRow, *transition, error) {
	var o observation
	if err := json.Unmarshal(record, &o); err != nil {
		return nil, nil, err
	}
	if o.Attacker == "" || o.Primitive == "" || o.Evidence == "" || len(o.Value) == 0 || o.TS == nil || *o.TS < 0 {
		return nil, nil, fmt.Errorf("a required field is missing")
	}
	value, _, err := canonical.Append(nil, o.Value)
	if err != nil {
		return nil, nil, err
	}
	kind, fit := r.registry.Check([]byte(o.Primitive), value)
	if fit == attribution.Misfit {
		return nil, nil, fmt.Errorf("value does not fit %s", o.Primitive)
	}
	identity, linked := r.links[o.Attacker]
	if !linked {
		identity = attribution.Stub([]byte(o.Attacker)).String()
	}
	key := rowKey{identity, o.Primitive}
	w := r.rows[key]
	if w == nil {
		w = &row{series: map[string]*attribution.Series{}}
		r.rows[key] = w
	}
	c, err := r.conclude(w, o.Attacker, kind, attribution.Entry{
		TS: *o.TS, Value: value, Evidence: xxhash.Sum64String(o.Evidence), Place: at, Latest: at,
	})
	if err != nil {
		return nil, nil, err
	}
	before := w.last
	after, change := attribution.Advance(before, &c, float64(time.Now().UnixMilli())/1000)
	if change == attribution.Same {
		return nil, nil, nil
	}
	after.Value = append(attribution.Value(nil), after.Value...)
	w.last = &after
	out := &stateRow{Identity: identity, Primitive: o.Primitive, Value: json.RawMessage(after.Value), State: after.State.String(),
		Confidence: after.Confidence, Count: after.Count, LastChange: after.LastChangeTS, LastObservation: after.LastObservationTS,
		SchemaVersion: 1, UpdatedAt: after.UpdatedAt}
	if change != attribution.Moved {
		return out, nil, nil
	}
	t := &transition{EventID: uuid.NewString(), Identity: identity, Primitive: o.Primitive, New: after.State.String(),
		Value: out.Value, Confidence: after.Confidence, Count: after.Count, TS: after.LastObservationTS}
	if before != nil {
		old := before.State.String()
		t.Old = &old
	}
	return out, t, nil
}

// conclude takes an entry into the series of its attacker and asks the mergers.
func (r *rows) conclude(w *row, attacker string, kind attribution.Kind, e attribution.Entry) (attribution.Conclusion, error) {
	s := w.series[attacker]
	if s == nil {
		s = new(attribution.Series)
		w.series[attacker] = s
	}
	s.Take(e, kind, &r.thresholds)
	if len(w.series) == 1 {
		return r.merger.Conclude(kind, s)
	}
	r.merger.Begin(kind)
	for _, s := range w.series {
		r.merger.Add(s, 0)
	}
	return r.merger.End()
}

// link takes an identity event.
func (r *rows) link(record []byte) error {
	var e struct {
		Type      string   `json:"type"`
		Identity  string   `json:"identity_uuid"`
		Attacker  string   `json:"observation_uuid"`
		Attackers []string `json:"observation_uuids"`
	}
	if err := json.Unmarshal(record, &e); err != nil {
		return err
	}
	switch e.Type {
	case "identity.formed":
		for _, a := range e.Attackers {
			r.links[a] = e.Identity
		}
	case "identity.observation.linked":
		r.links[e.Attacker] = e.Identity
	}
	return nil
}
