package query

import (
	"context"
	"encoding/json"
	"slices"
	"time"

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
	AsOf    float64 // everything that was written until then is known, Unix seconds
	To      float64 // the end of the range, Unix seconds, not included: nothing that comes later lies before it
	Begins  float64 // everything recorded from then on is in the history; 0: there is none
	Bounded bool    // it ends because too many events had to be looked at: nobody knows whether more match
	entries *history.Range
}

// settled is how long after its making, in seconds, an event may be written: a
// transaction lasts 10 s (transaction-timeout) and a turn before it 1 s at most, and
// clocks differ.
const settled = 15

// Events finds a part of at most limit events. It has to be closed.
func (r *Reader) Events(ctx context.Context, q EventQuery, limit int) (*Events, error) {
	if q.To != 0 && q.From > max(q.To, 0) {
		return nil, problem(BadParameter, "from lies behind to.")
	}
	question, _ := json.Marshal(EventQuery{q.Kinds, q.From, q.To, q.Identity, q.Primitive, q.Domain, q.NewStates, ""}) // no such error: plain fields
	at, err := decodeCursor("events "+string(question), q.Cursor)
	if err != nil {
		return nil, err
	}
	asOf := r.Source.EventsAsOf()
	if slices.Contains(q.Kinds, string(history.Value)) || len(q.Kinds) == 0 { // these come by the changelog
		asOf = min(asOf, r.AsOf())
	}
	if asOf <= 0 {
		p := problem(NotThereYet, "It is not known yet how far the events are: they are read since the start, or brokers do not answer.")
		p.After = time.Second
		return nil, p
	}
	to := asOf - settled
	if q.To != 0 {
		to = min(to, q.To)
	}
	to = history.WholeMillis(max(to, q.From)) // so that the next range can begin where this one says that it ends
	hq := history.RangeQuery{From: q.From, To: to, Identity: q.Identity, Primitive: q.Primitive, Domain: q.Domain, NewStates: q.NewStates, Limit: limit}
	if to == 0 { // an end at the beginning of time, and not none
		hq.To = -1
	}
	for _, k := range q.Kinds {
		hq.Kinds = append(hq.Kinds, history.Kind(k))
	}
	if at != nil {
		hq.After = history.Place(at.text)
	}
	found := &Events{AsOf: asOf, To: to}
	if found.entries, err = r.History.Range(ctx, hq); err != nil {
		return nil, fault(err)
	}
	found.Begins = finite(found.entries.Begins())
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
