package serve_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"handprint/serve"
	"handprint/serve/query"
	"handprint/serve/servetest"
	"handprint/topology"
)

// TestForgottenIdentityLeavesTheLists has a tick forget two of three identities,
// while the read side follows and for one that is opened later.
func TestForgottenIdentityLeavesTheLists(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t, func(c *topology.Config) { c.Engine.Retention = 48 * time.Hour })
	ticks := func(at time.Time) {
		list := app.Names.Ticks(servetest.Partitions, at)
		for _, r := range list {
			r.Timestamp = at
		}
		app.Send(list...)
		// It goes on by commands of the tasks to themselves.
		if err := app.Rest.Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	some(app)
	ticks(app.Now)
	dir := t.TempDir()
	s, stop := open(t, app, dir)
	caught(t, s)
	checkRows(t, app, s)
	later := app.Now.Add(4 * 24 * time.Hour)
	app.Send(app.Observation("a3", hassh, `"f1"`, float64(later.Unix())))
	ticks(later)
	check := func(s *serve.Side) {
		t.Helper()
		until(t, "the forgotten ones are gone", func() bool {
			list, err := s.Reader.Identities(query.IdentityQuery{Limit: 10})
			return err == nil && list.Total == 1
		})
		checkRows(t, app, s)
		for _, attacker := range []string{"a1", "a2"} {
			_, err := s.Reader.Identity(stub(attacker), true)
			if p := (*query.Problem)(nil); !errors.As(err, &p) || p.Kind != query.UnknownIdentity {
				t.Errorf("the identity of %s: %v, want that there is none", attacker, err)
			}
		}
		if _, err := s.Reader.Identity(stub("a3"), true); err != nil {
			t.Errorf("the identity of a3, which was observed later: %v", err)
		}
	}
	caught(t, s)
	check(s)
	stop()
	s, _ = open(t, app, dir)
	caught(t, s)
	check(s)
	// It comes back as a new one.
	app.Send(app.Observation("a1", hassh, `"f9"`, float64(later.Unix())))
	caught(t, s)
	until(t, "a1 is back", func() bool {
		i, err := s.Reader.Identity(stub("a1"), true)
		return err == nil && len(i.Attackers) == 1
	})
	checkRows(t, app, s)
}
