package live

import (
	"encoding/json"

	"handprint/serve/history"
)

// Types of events.
const (
	StateChanged = "state_changed"
	Suspected    = "multi_actor_suspected"
	Observation  = "observation"
)

// Encode returns the data of an event: the topic's record, by the names that it has
// there, and when it was recorded.
func Encode(e *history.Entry) []byte {
	if e.Record != nil { // a suspicion or an identity event
		var m map[string]json.RawMessage
		if err := json.Unmarshal(e.Record, &m); err != nil || m == nil {
			return e.Record
		}
		m["recorded"], _ = json.Marshal(e.Recorded) // a finite number
		b, err := json.Marshal(m)
		if err != nil {
			return e.Record
		}
		return b
	}
	var old any
	if e.OldState != "" {
		old = e.OldState
	}
	b, err := json.Marshal(struct {
		EventID    string          `json:"event_id"`
		Identity   string          `json:"identity_uuid"`
		Primitive  string          `json:"primitive"`
		Old        any             `json:"old_state"`
		New        string          `json:"new_state"`
		Value      json.RawMessage `json:"current_value"`
		Previous   json.RawMessage `json:"previous_value"`
		Confidence float64         `json:"confidence"`
		Count      int64           `json:"observation_count"`
		TS         float64         `json:"ts"`
		Recorded   float64         `json:"recorded"`
	}{e.EventID, e.Identity, e.Primitive, old, e.NewState, orNull(e.Value), orNull(e.Previous), e.Confidence, e.Count, e.TS, e.Recorded})
	if err != nil { // a value that is no JSON: of another writer
		return []byte(`{}`)
	}
	return b
}

func orNull(v json.RawMessage) json.RawMessage {
	if len(v) == 0 {
		return json.RawMessage("null")
	}
	return v
}

// Of returns an entry of the history as an event; ok is false for a change of a
// value, which live clients are not told of.
func Of(e *history.Entry) (event Event, ok bool) {
	event = Event{
		ID: ID{int64(e.Recorded*1000 + 0.5), e.Partition, e.Offset}, Identity: e.Identity,
		Primitive: e.Primitive, OldState: e.OldState, NewState: e.NewState, Data: Encode(e),
	}
	switch e.Kind {
	case history.State:
		event.Type = StateChanged
	case history.Suspicion:
		event.Type = Suspected
	case history.Identity:
		event.Type = "identity_" + e.Status
	default:
		return event, false
	}
	return event, true
}
