package query

import (
	"fmt"

	"handprint/serve/history"
)

// TimelineQuery says which entries of an identity are asked for.
type TimelineQuery struct {
	Identity  string
	Primitive string
	From, To  float64 // Unix seconds; To 0: no end
	Kinds     []string
	Limit     int // 1 to 500; 0: 100
	Cursor    string
}

// Timeline returns what happened to an identity, the latest first.
func (r *Reader) Timeline(q TimelineQuery) (*Timeline, error) {
	question := fmt.Sprintf("timeline %q %q %q %v %v", q.Identity, q.Primitive, q.Kinds, q.From, q.To)
	at, err := decodeCursor(question, q.Cursor)
	if err != nil {
		return nil, err
	}
	v, s, err := r.view(q.Identity)
	if err != nil {
		return nil, err
	}
	hq := history.Query{Identity: q.Identity, Primitive: q.Primitive, From: q.From, To: q.To, Limit: min(q.Limit, 500)}
	if hq.Limit <= 0 {
		hq.Limit = 100
	}
	for _, k := range q.Kinds {
		hq.Kinds = append(hq.Kinds, history.Kind(k))
	}
	if at != nil {
		hq.After = history.Place(at.text)
	}
	page, next, err := r.History.Timeline(hq)
	if err != nil {
		return nil, fault(err)
	}
	begins := r.History.Begins()
	to := &Timeline{Identity: q.Identity, Begins: finite(begins), Items: []Happening{}, AsOf: s.asOf, Complete: true}
	for i := range v.Rows { // all that was written before the history begins is not in it
		if row := &v.Rows[i]; (q.Primitive == "" || row.Primitive == q.Primitive) && row.Row.UpdatedAt < begins {
			to.Complete = false
		}
	}
	for i := range page {
		to.Items = append(to.Items, HappeningOf(&page[i]))
	}
	if next != nil {
		to.Next = encodeCursor(question, cursor{text: string(next)})
	}
	return to, nil
}

// HappeningOf returns an entry of the history as timelines have it.
func HappeningOf(e *history.Entry) Happening {
	return Happening{
		TS: e.TS, Recorded: e.Recorded, Kind: string(e.Kind), Primitive: e.Primitive, OldState: optional(e.OldState), NewState: e.NewState,
		Value: e.Value, Previous: e.Previous, Confidence: e.Confidence, EventID: e.EventID, Status: e.Status, Record: e.Record, Sampled: e.Sampled,
		At: Position{e.Partition, e.Offset},
	}
}
