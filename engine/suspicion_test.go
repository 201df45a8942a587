package engine

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"handprint/attribution"
	"handprint/internal/vectors"
	"handprint/schemas"
)

// A suspicion follows from observations, identity events and ticks alone: not from
// the number of partitions, the order in which tasks hear from each other, crashes
// at any step, restarts, or an attacker's way from one identity to another.
func TestSuspicionsFollowFromObservationsAndTicks(t *testing.T) {
	registry, err := attribution.NewRegistry([]attribution.Primitive{
		{Name: "t.returns", Kind: attribution.Hash, Group: "client", Returning: true},
		{Name: "t.banner", Kind: attribution.Categorical, Group: "client"},
		{Name: "t.tools", Kind: attribution.Categorical, Group: "commands"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func(n int) { unionFrom = n }(unionFrom)
	unionFrom = 2
	seen := make(map[string]int)
	rapid.Check(t, func(t *rapid.T) {
		thresholds := attribution.DefaultThresholds()
		thresholds.SuspicionQuiet = float64(rapid.SampledFrom([]int{0, 100, 1000}).Draw(t, "quiet"))
		thresholds.ReturnLag = float64(rapid.SampledFrom([]int{0, 50}).Draw(t, "lag"))
		steps := drawSuspicionSteps(t)
		cfg := Config{Thresholds: thresholds, Registry: registry, Partitions: 1, Counters: new(Counters)}
		plain := newClusterOf(t, cfg, nil)
		cfg.Partitions, cfg.Counters = rapid.SampledFrom([]int32{2, 3, 8}).Draw(t, "partitions"), new(Counters)
		rough := newClusterOf(t, cfg, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "network"), 1)))
		rough.crash = 0.2
		var ids vectors.Matcher
		for i := range steps {
			for _, c := range []*cluster{plain, rough} {
				c.events = nil
				switch s := &steps[i]; s.Op {
				case "sweep":
					c.tickAt(s.TS)
				default:
					c.input(s, int64(i))
				}
				c.settle()
			}
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				rough.restart()
			}
			if diff := ids.Diff(plain.events, rough.events); diff != "" {
				t.Fatalf("step %d, %s %s: %s", i, steps[i].Op, steps[i].Record, diff)
			}
			for i := range plain.events {
				seen[plain.events[i].Status]++
				checkSuspicionExplained(t, plain, &plain.events[i])
				checkSuspicionExplained(t, rough, &plain.events[i])
			}
		}
		if diff := vectors.DiffRows(plain.allRows(), rough.allRows()); diff != "" {
			t.Fatal(diff)
		}
	})
	if !testing.Short() {
		for _, status := range []attribution.SuspicionStatus{attribution.SuspicionRaised, attribution.SuspicionGrown, attribution.SuspicionCleared} {
			if seen[string(status)] < 5 {
				t.Errorf("%d %s: the test tests nothing", seen[string(status)], status)
			}
		}
	}
}

// checkSuspicionExplained holds that what speaks for a suspicion that has just
// been raised, or was cleared, is explained as the event has it.
func checkSuspicionExplained(t fataler, c *cluster, e *vectors.Event) {
	if e.Status != string(attribution.SuspicionRaised) && e.Status != string(attribution.SuspicionCleared) {
		return
	}
	home := attribution.IdentityPartition(e.Identity, int32(len(c.tasks)))
	x, err := ExplainSuspicion(c.stores[home], &c.cfg, e.Identity)
	if err != nil {
		t.Fatalf("identity %s: %v", e.Identity, err)
	}
	if e.Status == string(attribution.SuspicionCleared) {
		if x.Suspected || x.Confidence != 0 || x.WouldClear != "" {
			t.Fatalf("the suspicion of %s is cleared, and explained as %+v", e.Identity, x)
		}
		return
	}
	if _, err := json.Marshal(&x); err != nil {
		t.Fatalf("the explanation of %s is no JSON: %v", e.Identity, err)
	}
	var named []string
	for _, v := range x.Evidence {
		named = append(named, v.Primitive)
		returning := 0
		for _, w := range v.Returning {
			if w.Returns && w.Times > 0 && len(w.Runs) >= 3 && len(w.Changes) >= 2 && w.EndsAfter > 0 {
				returning++
			}
		}
		if !v.Named || v.Explanation == nil || returning != len(v.Returning) || (v.Kind == attribution.ReasonReturns) != (returning > 0) {
			t.Fatalf("evidence of %s is explained as %+v", e.Identity, v)
		}
	}
	slices.Sort(named)
	if !x.Suspected || x.Confidence != e.Confidence || !slices.Equal(named, e.Primitives) || !slices.Equal(x.Groups, e.Groups) || x.WouldClear == "" {
		t.Fatalf("%+v is explained as %+v", e, x)
	}
}

// drawSuspicionSteps draws observations of few values, so that they alternate and
// return, moves of their attackers, and ticks.
func drawSuspicionSteps(t *rapid.T) (steps []vectors.Step) {
	attackers := []string{"attacker-0", "attacker-1", "attacker-2"}
	identities := []string{"identity-x", "identity-y", attribution.Stub([]byte(attackers[0])).String()}
	primitives := []string{"t.returns", "t.banner", "t.tools", "t.unregistered"}
	now, tick := 1_700_000_000.0, 1_700_000_000.0
	long := strings.Repeat("v", rapid.SampledFrom([]int{0, 120, 300}).Draw(t, "length")) // a record of its own, of either kind
	for i := range rapid.IntRange(20, 120).Draw(t, "steps") {
		switch rapid.IntRange(0, 15).Draw(t, "step") {
		case 0:
			e := attribution.IdentityEvent{Type: attribution.Linked, Identity: rapid.SampledFrom(identities).Draw(t, "identity")}
			e.Attackers = []string{rapid.SampledFrom(attackers).Draw(t, "attacker")}
			if rapid.IntRange(0, 2).Draw(t, "type") == 0 {
				e.Type, e.Loser = attribution.Merged, rapid.SampledFrom(identities).Draw(t, "loser")
			}
			if e.Loser == e.Identity {
				continue
			}
			steps = append(steps, vectors.Step{Op: "identity", Topic: "identity.events", Record: schemas.AppendIdentityEvent(nil, &e)})
		case 1, 2, 3:
			tick += float64(rapid.IntRange(-20, 300).Draw(t, "later"))
			steps = append(steps, vectors.Step{Op: "sweep", TS: tick})
		default:
			now += float64(rapid.IntRange(-10, 60).Draw(t, "ts"))
			attacker := rapid.SampledFrom(attackers).Draw(t, "attacker")
			p := rapid.SampledFrom(primitives).Draw(t, "primitive")
			value := fmt.Sprint("value-", (i/2)%2)
			if rapid.IntRange(0, 3).Draw(t, "other") == 0 {
				value = fmt.Sprint("value-", rapid.IntRange(0, 2).Draw(t, "value"))
			}
			value += long
			steps = append(steps, vectors.Step{Op: "observe", Topic: "attacker.observation", Key: attacker, Record: fmt.Appendf(nil,
				`{"attacker_uuid":%q,"primitive":%q,"value":%q,"ts":%v,"evidence_ref":"%d"}`, attacker, p, value, now, rapid.IntRange(0, 200).Draw(t, "evidence"))})
		}
	}
	return steps
}

// After a change of the rule the first sweep goes by what the new rule remembers:
// what is open rests meanwhile, and is taken up again.
func TestEachRuleRemembersItsOwn(t *testing.T) {
	f := newFeed(t)
	f.alternate("a", "x.a")
	f.alternate("a", "x.b")
	f.settle()
	sweep := func(rule attribution.SuspicionRule) []vectors.Event {
		t.Helper()
		f.cfg.Thresholds.SuspicionRule = rule
		f.cfg.Partitions = int32(len(f.tasks))
		f.restart()
		f.events = nil
		f.tick()
		f.settle()
		return f.events
	}
	raised := sweep(attribution.RuleEvidence)
	if len(raised) != 1 || raised[0].Status != "raised" {
		t.Fatalf("%+v, want a suspicion that is raised", raised)
	}
	if got := sweep(attribution.RulePrimitives); len(got) != 1 || got[0].Status != "" || got[0].Summary != "2 primitives flagged multi_actor" {
		t.Fatalf("%+v, want one of the rule primitives", got)
	}
	if got := sweep(attribution.RuleEvidence); len(got) != 0 {
		t.Fatalf("%+v, want nothing: it is open", got)
	}
	if got := sweep(attribution.RulePrimitives); len(got) != 0 {
		t.Fatalf("%+v, want nothing: it was sent", got)
	}
}
