package engine

import (
	"strings"
	"testing"
	"time"

	"handprint/attribution"
	"handprint/internal/vectors"
	"handprint/schemas"
)

// What the coordinator does can be seen: how many changes are in progress and
// wait, since when, and that no task answers.
func TestChangesInProgressAreShown(t *testing.T) {
	c := newCluster(t, 2, attribution.DefaultRegistry(), nil)
	event := func(identity string, attackers ...string) {
		e := attribution.IdentityEvent{Type: attribution.Formed, Identity: identity, Attackers: attackers}
		c.input(&vectors.Step{Topic: "identity.events", Record: schemas.AppendIdentityEvent(nil, &e)}, 0)
		if !c.step() { // inputs come first
			t.Fatal("the event was not read")
		}
	}
	g := &c.tasks[0].cfg.Counters.Changes
	want := func(inProgress, waiting int64) {
		t.Helper()
		if g.InProgress.Load() != inProgress || g.Waiting.Load() != waiting {
			t.Fatalf("%d in progress and %d waiting, want %d and %d", g.InProgress.Load(), g.Waiting.Load(), inProgress, waiting)
		}
	}
	event("identity-x", "a")
	first := c.clock
	event("identity-x", "b") // waits for the first, and so does the third
	event("identity-y", "c")
	want(1, 2)
	if g.Oldest.Load() != first {
		t.Errorf("the oldest is of %d, want %d", g.Oldest.Load(), first)
	}
	if err := c.tasks[0].Reload(c.stores[0]); err != nil {
		t.Fatal(err)
	}
	want(1, 2)

	now := time.UnixMilli(c.clock)
	if why := g.Stuck(now.Add(time.Minute), 2*time.Minute); why != "" {
		t.Errorf("stuck before its time: %s", why)
	}
	why := g.Stuck(now.Add(3*time.Minute), 2*time.Minute)
	for _, part := range []string{"1 identity changes are in progress and 2 wait", "2023-11-14T22:13:20Z", "3m0s"} {
		if !strings.Contains(why, part) {
			t.Errorf("%q does not say %q", why, part)
		}
	}
	c.settle()
	want(0, 0)
	if why := g.Stuck(now.Add(time.Hour), time.Minute); why != "" || g.Oldest.Load() != 0 {
		t.Errorf("at rest it is stuck: %q, oldest %d", why, g.Oldest.Load())
	}
}
