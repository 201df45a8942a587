package api

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// letters are Operations that have dead letters and identity events.
type letters struct {
	Operations
	all    []DeadLetter
	events map[int64]int64 // timestamps by offset
	err    error
	read   int
}

func (l *letters) DeadLetters(context.Context, int) ([]DeadLetter, error) {
	l.read++
	return l.all, l.err
}

func (l *letters) EventMillis(_ context.Context, offset int64) (int64, error) {
	if millis, ok := l.events[offset]; ok {
		return millis, nil
	}
	return 0, ErrNotFound
}

// An event was refused if its own dead letter says so, and not that of an event which had
// the offset in a topic of before.
func TestARefusalIsOfTheEventItself(t *testing.T) {
	const topic = "identity.events"
	l := &letters{events: map[int64]int64{3: 5000, 4: 5000}, all: []DeadLetter{
		{Topic: topic, At: 3, SourceMillis: 4000, Reason: "of before"}, {Topic: topic, At: 4, SourceMillis: 4000, Reason: "of before"},
		{Topic: topic, At: 4, SourceMillis: 5000, Reason: "its own"}, {Topic: "other", At: 3, SourceMillis: 5000, Reason: "other topic"}, {Topic: topic, At: 9, SourceMillis: 5000, Reason: "not there"},
	}}
	var r refusals
	c := &Config{Operations: l, IdentityEvents: topic, Now: func() time.Time { return time.Unix(10, 0) }}
	for offset, want := range map[int64]string{3: "", 4: "its own", 5: "", 9: ""} {
		for range 2 { // the second is remembered
			if got := r.reason(t.Context(), c, offset); got != want {
				t.Errorf("offset %d: %q, want %q", offset, got, want)
			}
		}
	}
}

// However many ask, the dead letters are read once a second, with brokers and
// without them.
func TestTheDeadLettersAreReadOnceForAll(t *testing.T) {
	for _, err := range []error{nil, errors.New("no broker")} {
		l, now := &letters{err: err}, time.Unix(10, 0)
		var r refusals
		c := &Config{Operations: l, Now: func() time.Time { return now }}
		flood := func() {
			var all sync.WaitGroup
			for n := range 64 {
				all.Go(func() { r.reason(t.Context(), c, int64(n)) })
			}
			all.Wait()
		}
		if flood(); l.read != 1 {
			t.Errorf("read %d times", l.read)
		}
		now = now.Add(refusalKept)
		if flood(); l.read != 2 {
			t.Errorf("read %d times later on", l.read)
		}
	}
}
