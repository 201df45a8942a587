package api

import (
	"context"
	"testing"
)

// asked is a Waiter that takes down what it is asked for, and has all of it.
type asked map[int64]int64

func (a asked) AwaitEvent(_ context.Context, offset, millis int64) error {
	a[offset] = millis
	return nil
}

// What after= waits for is the event that the topic has now, even without a wait; one that
// the topic does not have any more is known by its offset alone.
func TestAfterIsOfTheEventThatTheTopicHas(t *testing.T) {
	waiter := asked{}
	s := &server{Config: Config{Waiter: waiter, Operations: &letters{events: map[int64]int64{3: 5000}}, IdentityEvents: "identity.events"}}
	for _, after := range []string{"identity.events:0:3", "identity.events:0:4"} {
		if err := s.meet(context.Background(), &Fresh{After: after}); err != nil {
			t.Fatal(err)
		}
	}
	if waiter[3] != 5000 || waiter[4] != -1 {
		t.Errorf("waited for %v", waiter)
	}
}
