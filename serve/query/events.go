package query

import (
	"context"
	"encoding/json"

	"handprint/serve/history"
)

// EventQuery says which events of all identities are asked for.
type EventQuery struct {
	Kinds     []string // state, value, suspicion, identity; none: all
	From, To  float64  // when they were recorded, Unix seconds, To not included; To 0: no end
	Identity  string
	Primitive string
	Domain    string
	NewStates []string
	Cursor    string
}

// Event is something that happened to an identity.
type Event struct {
	Identity string `json:"identity_uuid"`
	Happening
}

// Events is a part of the events in the order in which they were recorded, as they were
// at one moment.
type Events struct {
	Next    string  // cursor of the next part; empty: this is the last
	Begins  float64 // everything recorded from then on is in the history; 0: there is none
	Bounded bool    // it ends because too many events had to be looked at: nobody knows whether more match
	entries *history.Range
}

// Events finds a part of at most limit events. It has to be closed.
func (r *Reader) Events(ctx context.Context, q EventQuery, limit int) (*Events, error) {
	if q.To > 0 && q.From > q.To {
		return nil, problem(BadParameter, "from lies behind to.")
	}
	question, _ := json.Marshal(EventQuery{q.Kinds, q.From, q.To, q.Identity, q.Primitive, q.Domain, q.NewStates, ""}) // no such error: plain fields
	at, err := decodeCursor("events "+string(question), q.Cursor)
	if err != nil {
		return nil, err
	}
	hq := history.RangeQuery{From: q.From, To: q.To, Identity: q.Identity, Primitive: q.Primitive, Domain: q.Domain, NewStates: q.NewStates, Limit: limit}
	for _, k := range q.Kinds {
		hq.Kinds = append(hq.Kinds, history.Kind(k))
	}
	if at != nil {
		hq.After = history.Place(at.text)
	}
	found := &Events{Begins: finite(r.History.Begins())}
	if found.entries, err = r.History.Range(ctx, hq); err != nil {
		return nil, fault(err)
	}
	found.Bounded = found.entries.IsBounded()
	if next := found.entries.Next(); next != nil {
		found.Next = encodeCursor("events "+string(question), cursor{text: string(next)})
	}
	return found, nil
}

// Each yields the events of the part.
func (e *Events) Each(ctx context.Context, yield func(*Event) error) error {
	return e.entries.Each(ctx, func(entry *history.Entry) error {
		return yield(&Event{entry.Identity, HappeningOf(entry)})
	})
}

// Close ends the reading.
func (e *Events) Close() error { return e.entries.Close() }
