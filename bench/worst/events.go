package main

import (
	"fmt"
	"strings"
	"time"

	"handprint/attribution"
	"handprint/engine"
	"handprint/schemas"
)

// eventKind is identity events that are expensive: what comes before them, and how many
// there are.
type eventKind struct {
	name   string
	before func(t *task) error
	events []attribution.IdentityEvent
}

const (
	first  = "018f0000-0000-7000-8000-000000000001"
	second = "018f0000-0000-7000-8000-000000000002"
)

// eventKinds are identity events that were expensive once.
func eventKinds() (list []eventKind) {
	names := func(from, to int) (attackers []string) {
		for i := from; i < to; i++ {
			attackers = append(attackers, address(i))
		}
		return attackers
	}
	const made = 50_000
	madeUp := func(t *task) error { // 101 attackers with one row each; one has made up very many more
		if err := t.event(attribution.IdentityEvent{Type: attribution.Formed, Identity: first, Attackers: names(0, 101)}); err != nil {
			return err
		}
		var in input
		in.make(&kind{observe: func(n int) (string, string, string) {
			if n < 101 {
				return address(n), text, `"v"`
			}
			return address(0), fmt.Sprintf("worst.p%d", n), `"v"`
		}}, 0, 101+made)
		return in.process(t)
	}
	list = append(list, eventKind{
		name:   fmt.Sprintf("a merge of 101 attackers with one row each, one of whom has made up %d primitives besides", made),
		before: madeUp,
		events: []attribution.IdentityEvent{{Type: attribution.Merged, Identity: second, Loser: first}},
	})
	links := eventKind{name: fmt.Sprintf("100 links of attackers with one row each out of an identity of one who has made up %d primitives", made), before: madeUp}
	for i := 1; i <= 100; i++ {
		links.events = append(links.events, attribution.IdentityEvent{Type: attribution.Linked, Identity: second, Attackers: names(i, i+1)})
	}
	list = append(list, links)
	long := eventKind{name: fmt.Sprintf("5000 attackers in an identity whose id has %d bytes", attribution.MaxIdentityID), before: func(*task) error { return nil }}
	for from := 0; from < 5000; from += 2500 {
		long.events = append(long.events, attribution.IdentityEvent{
			Type: attribution.Formed, Identity: strings.Repeat("i", attribution.MaxIdentityID), Attackers: names(from, from+2500),
		})
	}
	return append(list, long)
}

// measure carries the events out, and returns how many steps that takes and what they cost.
func (k *eventKind) measure() (steps int, all, longest time.Duration, err error) {
	t, end, err := newTask()
	if err != nil {
		return 0, 0, 0, err
	}
	defer end()
	if err := k.before(t); err != nil {
		return 0, 0, 0, err
	}
	if err := t.flush(); err != nil {
		return 0, 0, 0, err
	}
	t.stepped = func(d time.Duration) { steps, all, longest = steps+1, all+d, max(longest, d) }
	for i := range k.events {
		if err := t.event(k.events[i]); err != nil {
			return 0, 0, 0, err
		}
	}
	return steps, all, longest, t.flush()
}

// event carries an identity event out, to its end.
func (t *task) event(e attribution.IdentityEvent) error {
	if err := t.process(&engine.Record{Source: engine.IdentityEvents, Value: schemas.AppendIdentityEvent(nil, &e)}); err != nil {
		return err
	}
	return t.commit()
}
