package engine

import (
	"fmt"
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

// Changes that have nothing in common begin beside each other up to a bound of their
// number and of what they touch, not all in one step, and each is over in the end.
func TestManyChangesRunBesideEachOther(t *testing.T) {
	c := newCluster(t, 2, attribution.DefaultRegistry(), nil)
	g := &c.tasks[0].cfg.Counters.Changes
	const events = maxInProgress + 50
	for i := range events {
		e := attribution.IdentityEvent{Type: attribution.Formed, Identity: fmt.Sprintf("identity-%d", i), Attackers: []string{fmt.Sprintf("a-%d", i)}}
		c.input(&vectors.Step{Topic: "identity.events", Record: schemas.AppendIdentityEvent(nil, &e)}, 0)
	}
	for range events {
		if !c.step() {
			t.Fatal("an event was not read")
		}
	}
	if n := g.InProgress.Load(); n != maxInProgress {
		t.Errorf("%d changes are in progress, want %d", n, maxInProgress)
	}
	if n := g.Waiting.Load(); n != 50 {
		t.Errorf("%d changes wait, want 50", n)
	}
	c.settle()
	if in, wait := g.InProgress.Load(), g.Waiting.Load(); in != 0 || wait != 0 || g.Oldest.Load() != 0 {
		t.Errorf("at rest %d are in progress, %d wait, the oldest is of %d", in, wait, g.Oldest.Load())
	}
}

// Changes that have nothing to do, such as a merge that is sent again and again, end as
// they begin: what waited for one change begins in bounded steps too, in order.
func TestChangesThatDoNothingBeginInBoundedSteps(t *testing.T) {
	c := newCluster(t, 2, attribution.DefaultRegistry(), nil)
	event := func(e attribution.IdentityEvent) {
		c.input(&vectors.Step{Topic: "identity.events", Record: schemas.AppendIdentityEvent(nil, &e)}, 0)
		if !c.step() { // inputs come first
			t.Fatal("the event was not read")
		}
	}
	g := &c.tasks[0].cfg.Counters.Changes
	events := 3*maxBegun + 7
	event(attribution.IdentityEvent{Type: attribution.Merged, Identity: "x", Loser: "y", Attackers: []string{"a"}})
	for range events {
		event(attribution.IdentityEvent{Type: attribution.Merged, Identity: "x", Loser: "y"})
	}
	waiting, steps := g.Waiting.Load(), 0
	if waiting != int64(events) {
		t.Fatalf("%d changes wait, want %d", waiting, events)
	}
	for c.step() {
		now := g.Waiting.Load()
		if waiting-now > int64(maxBegun) {
			t.Errorf("%d changes begin in one step, want %d at most", waiting-now, maxBegun)
		}
		if now < waiting {
			steps++
		}
		waiting = now
	}
	if waiting != 0 || g.InProgress.Load() != 0 || steps < 4 {
		t.Errorf("at rest %d wait and %d are in progress, after %d steps", waiting, g.InProgress.Load(), steps)
	}
}

func TestWhatChangesTouchIsBounded(t *testing.T) {
	s := schedule{busy: map[string]struct{}{}, times: map[uint64]int64{}}
	large := func(version uint64) *identityChange {
		a := &identityChange{Winner: fmt.Appendf(nil, "winner-%d", version)}
		a.By.Version, a.By.Time = version, int64(version)
		for i := range maxTouched / 500 { // an attacker and its stub are some 200 bytes
			a.Attackers = append(a.Attackers, fmt.Appendf(nil, "%d-%d", version, i))
		}
		return a
	}
	for v := uint64(1); v <= 2; v++ {
		if !s.fits(large(v)) {
			t.Fatalf("change %d does not fit", v)
		}
		s.add(large(v))
	}
	if s.fits(large(3)) {
		t.Errorf("a third fits, with %d touched", len(s.busy))
	}
	s.remove(large(1))
	if !s.fits(large(3)) {
		t.Error("a third does not fit after the first")
	}
	if s.oldest() != 2 {
		t.Errorf("the oldest is of %d, want 2", s.oldest())
	}
	s.remove(large(2))
	if s.oldest() != 0 || !s.fits(large(3)) {
		t.Error("when none is under way, one fits")
	}
}
