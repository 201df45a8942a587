package query

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"handprint/serve/catalog"
	"handprint/serve/follow"
	"handprint/serve/history"
)

// fixed is a source that stands still.
type fixed struct {
	events, changelog float64
	catalog           *catalog.Catalog // complete; nil: an empty one that is being built
}

func (f *fixed) Catalog() (*catalog.Catalog, follow.Phase) {
	if f.catalog == nil {
		return catalog.New(), follow.Phase{}
	}
	return f.catalog, follow.Phase{Ready: true}
}

func (f *fixed) Freshness(int32) follow.Freshness { return follow.Freshness{AsOf: f.changelog} }
func (f *fixed) IdentitiesWithheld() bool         { return false }
func (f *fixed) MissingTopics() []string          { return nil }
func (f *fixed) EventsAsOf() float64              { return f.events }

// A range of events ends where all are known, so that daily windows and parts lose none
// that comes late; while nobody knows how far they are, there is none.
func TestARangeOfEventsEndsWhereItIsComplete(t *testing.T) {
	h, err := history.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	add := func(recorded ...float64) {
		t.Helper()
		for _, at := range recorded {
			e := history.Entry{Identity: "a", Kind: history.State, Source: history.Transitions, Recorded: at, Offset: int64(at), EventID: fmt.Sprint(at)}
			if err := h.Add([]history.Entry{e}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	source := new(fixed)
	r := New(Config{Source: source, History: h})
	ask := func(q EventQuery, limit int) (string, *Events) {
		t.Helper()
		found, err := r.Events(context.Background(), q, limit)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		if err := errors.Join(found.Each(context.Background(), func(e *Event) error { ids = append(ids, e.EventID); return nil }), found.Close()); err != nil {
			t.Fatal(err)
		}
		return strings.Join(ids, " "), found
	}
	state := []string{"state"}
	add(10, 90)
	var p *Problem
	if _, err := r.Events(context.Background(), EventQuery{Kinds: state}, 10); !errors.As(err, &p) || p.Kind != NotThereYet {
		t.Fatalf("while nobody knows how far the events are: %v", err)
	}
	source.events, source.changelog = 100, 50
	for _, test := range []struct {
		q        EventQuery
		want     string
		asOf, to float64
	}{
		{EventQuery{Kinds: state}, "10", 100, 85},
		{EventQuery{Kinds: state, To: 99}, "10", 100, 85},
		{EventQuery{Kinds: state, To: 10}, "", 100, 10},
		{EventQuery{Kinds: state, To: -5}, "", 100, 0},
		{EventQuery{Kinds: state, From: -9, To: -5}, "", 100, -5},
		{EventQuery{Kinds: state, From: 95, To: 99}, "", 100, 95},
		{EventQuery{Kinds: []string{"state", "value"}}, "10", 50, 35},
	} {
		if got, found := ask(test.q, 10); got != test.want || found.AsOf != test.asOf || found.To != test.to {
			t.Errorf("%+v: %q as of %v to %v, want %+v", test.q, got, found.AsOf, found.To, test)
		}
	}
	// One that arrives late lies behind where the range before ended, and in the next.
	_, found := ask(EventQuery{Kinds: state}, 10)
	add(88)
	source.events = 200
	if got, _ := ask(EventQuery{Kinds: state, From: found.To}, 10); got != "88 90" {
		t.Errorf("the next range has %q", got)
	}
	got, found := ask(EventQuery{Kinds: state}, 1)
	for found.Next != "" {
		var more string
		more, found = ask(EventQuery{Kinds: state, Cursor: found.Next}, 1)
		got += " " + more
	}
	if got != "10 88 90" {
		t.Errorf("the parts have %q", got)
	}
}
