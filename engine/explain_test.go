package engine

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"handprint/attribution"
	"handprint/internal/vectors"
)

// checkExplanations holds that the explanation of every row agrees with it.
func checkExplanations(t fataler, c *cluster, registry *attribution.Registry, thresholds *attribution.Thresholds) {
	cfg := Config{Thresholds: *thresholds, Registry: registry}
	for _, row := range c.rows {
		home := attribution.IdentityPartition(row.Identity, int32(len(c.tasks)))
		x, found, err := Explain(c.stores[home], &cfg, row.Identity, row.Primitive)
		if err != nil || !found {
			t.Fatalf("%s/%s: %v, found %v", row.Identity, row.Primitive, err, found)
		}
		decided := 0
		for _, s := range x.Steps {
			if s.Decides {
				decided++
			}
		}
		text, err := json.Marshal(&x)
		if err != nil || !x.Agrees || x.Row.State != row.State || !vectors.SameValue(json.RawMessage(x.Row.Value), row.Value) || decided != 1 || len(x.WouldChange) == 0 ||
			int64(len(x.Window.Recent)+len(x.Window.Older)) > x.Window.Kept || x.Window.Kept+x.Window.PushedOut != row.Count || x.Contributions == 0 {
			t.Fatalf("row %+v is explained as %s, %v", row, text, err)
		}
	}
}

// TestExplanationsAgree explains every row at the end of every scenario, and
// then lets one of the values come that it says what they would do.
func TestExplanationsAgree(t *testing.T) {
	outcomes := map[string]int{}
	for _, file := range []string{"scenarios.jsonl", "scenarios-hard.jsonl", "scenarios-previous.jsonl"} {
		for _, s := range vectors.Scenarios(t, file) {
			thresholds := attribution.DefaultThresholds()
			c := newCluster(t, 3, s.Registry, rand.New(rand.NewPCG(uint64(s.Number), 9)))
			for i := range s.Steps {
				if s.Steps[i].Op == "sweep" {
					c.tick()
				} else {
					c.input(&s.Steps[i], int64(i))
				}
				c.settle()
			}
			checkExplanations(t, c, s.Registry, &thresholds)
			for n, row := range s.Rows {
				try(t, c, &s, row, n, outcomes)
			}
		}
	}
	for _, state := range []string{"unknown", "stable", "drifting", "conflicted", "multi_actor"} {
		if outcomes[state] == 0 {
			t.Errorf("no outcome is %s: %v", state, outcomes)
		}
	}
}

// try lets one of the values come that the explanation of a row lists.
func try(t *testing.T, c *cluster, s *vectors.Scenario, row vectors.Row, n int, outcomes map[string]int) {
	home := attribution.IdentityPartition(row.Identity, 3)
	cfg := Config{Thresholds: attribution.DefaultThresholds(), Registry: s.Registry}
	x, found, err := Explain(c.stores[home], &cfg, row.Identity, row.Primitive)
	if err != nil || !found {
		t.Fatalf("%s: %+v: %v", s.Where(), row, err)
	}
	next := x.WouldChange[n%len(x.WouldChange)]
	if len(next.NextValue) == 0 || len(x.Window.Recent) == 0 {
		return // of a value that is not kept any more
	}
	newest := x.Window.Recent[len(x.Window.Recent)-1]
	c.input(&vectors.Step{Topic: "attacker.observation", Key: newest.Attacker, Record: fmt.Appendf(nil,
		`{"attacker_uuid":%q,"primitive":%q,"value":%s,"ts":%v,"evidence_ref":"what would change %d"}`,
		newest.Attacker, row.Primitive, next.NextValue, newest.TS, n)}, int64(1000+n))
	c.dead = nil
	c.settle()
	got := c.rows[row.Identity+"/"+row.Primitive]
	if len(c.dead) > 0 || got.State != next.State || got.Confidence != next.Confidence {
		t.Fatalf("%s: after %s the row is %+v, the explanation says %+v; dead letters %v", s.Where(), next.NextValue, got, next, c.dead)
	}
	outcomes[next.State]++
}
