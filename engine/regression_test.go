package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"handprint/attribution"
	"handprint/internal/vectors"
	"handprint/schemas"
)

// feed puts observations and events into a cluster, one after the other.
type feed struct {
	*cluster
	offset int64
}

func (f *feed) observe(attacker, primitive, value string, ts float64, evidence string) {
	f.t.Helper()
	record, err := json.Marshal(map[string]any{"attacker_uuid": attacker, "primitive": primitive, "value": json.RawMessage(value), "ts": ts, "evidence_ref": evidence})
	if err != nil {
		f.t.Fatal(err)
	}
	f.offset++
	f.input(&vectors.Step{Topic: "attacker.observation", Key: attacker, Record: record}, f.offset)
}

// alternate makes a primitive of an attacker multi_actor.
func (f *feed) alternate(attacker, primitive string) {
	for i := range 5 {
		f.observe(attacker, primitive, fmt.Sprintf(`"v%d"`, i%2), float64(i), fmt.Sprint(primitive, i))
	}
}

func (f *feed) event(e attribution.IdentityEvent, offset int64) {
	f.input(&vectors.Step{Topic: "identity.events", Record: schemas.AppendIdentityEvent(nil, &e)}, offset)
}

func (f *feed) suspicions() (sets [][]string) {
	for _, e := range f.events {
		if e.Type == "multi_actor_suspected" {
			sets = append(sets, e.Primitives)
		}
	}
	return sets
}

func newFeed(t *testing.T) *feed { return &feed{cluster: newCluster(t, 1, nil, nil)} }

// TestEvidenceThatWasMadeToCollide takes two references that a weaker hash
// holds for one.
func TestEvidenceThatWasMadeToCollide(t *testing.T) {
	f := newFeed(t)
	f.observe("a", "x.y", `"one"`, 1, "session-00000001")
	f.observe("a", "x.y", `"two"`, 2, "00001801GU6cbeY!")
	f.settle()
	if r := f.allRows(); len(r) != 1 || r[0].Count != 2 {
		t.Errorf("rows %+v, want one that counts 2", r)
	}
}

// TestALowerThresholdFindsThoseWhoQualifyAlready starts a task anew on its
// store.
func TestALowerThresholdFindsThoseWhoQualifyAlready(t *testing.T) {
	f := newFeed(t)
	f.tasks[0].cfg.Thresholds.MultiActorPrimitives = 3
	f.alternate("a", "x.a")
	f.alternate("a", "x.b")
	f.settle()
	f.tick()
	f.settle()
	if got := f.suspicions(); len(got) > 0 {
		t.Fatalf("suspicions %v before", got)
	}
	cfg := f.tasks[0].cfg
	cfg.Thresholds.MultiActorPrimitives = 2
	var err error
	if f.tasks[0], err = New(cfg, 0, f.stores[0]); err != nil {
		t.Fatal(err)
	}
	f.tick()
	f.settle()
	if got := f.suspicions(); len(got) != 1 {
		t.Errorf("suspicions %v, want one", got)
	}
}

// TestASweepBetweenTheStepsOfAnEventSeesNoneOfThem merges an identity whose
// rows take several steps to compare. Before, two primitives of the winner are
// multi_actor, and after it two others: never one of each.
func TestASweepBetweenTheStepsOfAnEventSeesNoneOfThem(t *testing.T) {
	f := newFeed(t)
	f.tasks[0].cfg.Thresholds.SuspicionRule = attribution.RulePrimitives
	f.alternate("w", "x.a")
	f.alternate("w", "x.z")
	for i := range 5 {
		for _, p := range []string{"x.b", "x.y"} {
			f.observe("w", p, `"v0"`, float64(2*i), fmt.Sprint("even", i))
			f.observe("l", p, `"v1"`, float64(2*i+1), fmt.Sprint("odd", i))
		}
		for _, p := range []string{"x.a", "x.z"} {
			f.observe("l", p, `"v0"`, float64(100+i), fmt.Sprint("calm", i))
		}
	}
	for i := range 2 * settleRows {
		f.observe("l", fmt.Sprintf("x.m%04d", i), `"v"`, 1, "m")
	}
	f.event(attribution.IdentityEvent{Type: attribution.Formed, Identity: "W", Attackers: []string{"w"}}, 1)
	f.settle()
	f.tick()
	f.settle()
	f.events = nil
	f.event(attribution.IdentityEvent{Type: attribution.Merged, Identity: "W", Loser: attribution.Stub([]byte("l")).String()}, 2)
	swept := false
	for f.step() {
		if u, ok := f.tasks[0].unsettled["W"]; ok && u.Settling && !swept {
			swept = true
			f.tick()
		}
	}
	f.tick()
	f.settle()
	if got := f.suspicions(); !swept || len(got) != 1 || !slices.Equal(got[0], []string{"x.b", "x.y"}) {
		t.Errorf("swept in between: %v; suspicions %v, want x.b and x.y once", swept, got)
	}
}

// TestAClaimAndAnEventOfTheSameOffsetGiveTwoEventIDs: the cluster refuses an id
// that comes twice.
func TestAClaimAndAnEventOfTheSameOffsetGiveTwoEventIDs(t *testing.T) {
	f := newFeed(t)
	f.event(attribution.IdentityEvent{Type: attribution.Merged, Identity: "W", Loser: attribution.Stub([]byte("x")).String()}, 1)
	for i := range 3 {
		f.observe("y", "x.p", fmt.Sprintf(`"q%d"`, i), float64(10+i), fmt.Sprint("y", i))
	}
	f.settle()
	claimed := f.read[0] // the offset that the claim will have
	for i := range 3 {
		f.observe("x", "x.p", `"v"`, float64(1+i), fmt.Sprint("x", i))
	}
	f.settle()
	f.clock-- // the event is stamped like the claim
	f.event(attribution.IdentityEvent{Type: attribution.Linked, Identity: "W", Attackers: []string{"y"}}, claimed)
	f.settle()
	if r := f.rows["W/x.p"]; r.Count != 6 {
		t.Errorf("row %+v, want one that counts 6", r)
	}
}

// TestARowWhosePrimitiveChangedItsKindGoesOn takes a row of strings over into a
// registry that calls its primitive a number.
func TestARowWhosePrimitiveChangedItsKindGoesOn(t *testing.T) {
	f := newFeed(t)
	for i := range 5 {
		f.observe("a", "t.p", `"v"`, float64(i), fmt.Sprint(i))
	}
	f.settle()
	cfg := f.tasks[0].cfg
	var err error
	if cfg.Registry, err = attribution.NewRegistry([]attribution.Primitive{{Name: "t.p", Kind: attribution.Numeric}}); err != nil {
		t.Fatal(err)
	}
	if f.tasks[0], err = New(cfg, 0, f.stores[0]); err != nil {
		t.Fatal(err)
	}
	f.observe("a", "t.p", "7", 9, "9")
	f.event(attribution.IdentityEvent{Type: attribution.Linked, Identity: "W", Attackers: []string{"a"}}, 1)
	f.settle()
	if r := f.rows["W/t.p"]; r.Count != 6 || len(f.rows) != 1 {
		t.Errorf("rows %+v, want one that counts 6", f.rows)
	}
}

// TestNoCommandGrowsWithTheIdsOfAttackers merges an identity of attackers whose
// ids are as long as a record can carry.
func TestNoCommandGrowsWithTheIdsOfAttackers(t *testing.T) {
	f := newFeed(t)
	const members = 20
	for i := range members {
		id := fmt.Sprintf("%0200000d", i)
		f.event(attribution.IdentityEvent{Type: attribution.Linked, Identity: "L", Attackers: []string{id}}, int64(i))
	}
	f.settle()
	f.event(attribution.IdentityEvent{Type: attribution.Merged, Identity: "W", Loser: "L"}, members)
	longest := 0
	for f.step() {
		for _, list := range f.network {
			for _, command := range list {
				longest = max(longest, len(command))
			}
		}
	}
	if longest > 1<<20 {
		t.Errorf("a command of %d bytes", longest)
	}
}
