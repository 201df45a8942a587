package engine

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"handprint/attribution"
)

// Commands that tell tasks what to do are lost at random. Another round of the
// changes under way gives what the model gives.
func TestRandomHistoriesWithLostCommands(t *testing.T) {
	smallSteps(t)
	lost := 0
	rapid.Check(t, func(t *rapid.T) {
		c, m, thresholds := playHistory(t, wordsLost)
		checkAtRest(t, c, m, thresholds)
		lost += c.lost
	})
	if lost == 0 {
		t.Error("nothing was lost")
	}
}

// Whatever is lost, every change comes to its end, every row counts no more than
// was observed, and every transition follows from the one before.
func TestRandomHistoriesWithLostContributions(t *testing.T) {
	smallSteps(t)
	lost := 0
	rapid.Check(t, func(t *rapid.T) {
		c, m, _ := playHistory(t, allLost) // which ends at rest
		total := int64(0)
		for _, r := range c.rows {
			total += r.Count
		}
		if most := int64(m.accepted); total > most {
			t.Fatalf("the rows count %d observations, %d were accepted", total, most)
		}
		checkChain(t, c)
		lost += c.lost
	})
	if lost == 0 {
		t.Error("nothing was lost")
	}
}

// TestAStepOfAnEarlierRoundThatComesWhenItsEventIsOverDoesNothing lets everything
// else overtake a detach of an event's first round. It has waited for the list of rows
// that another detach made, and the one of the second round had no need to.
func TestAStepOfAnEarlierRoundThatComesWhenItsEventIsOverDoesNothing(t *testing.T) {
	smallSteps(t)
	for _, when := range []string{"before the next event", "during the next event", "after the next event"} {
		t.Run(when, func(t *testing.T) {
			f := &feed{cluster: newCluster(t, 2, nil, nil)}
			home := f.tasks[0].identityHome
			old, next := nameAt("old", 1, home), nameAt("next", 0, home)
			first, waits := nameAt("first", 1, f.tasks[0].attackerHome), nameAt("waits", 1, f.tasks[0].attackerHome)
			all := []string{first, waits}
			f.event(attribution.IdentityEvent{Type: attribution.Formed, Identity: old, Attackers: all}, 1)
			f.settle()
			for i, attacker := range []string{first, waits, waits} { // more rows than one step looks at
				f.observe(attacker, fmt.Sprint("x.", i), `"v"`, 1, "session")
			}
			f.settle()

			itself := [2]int{1, 1}
			until := func(queued int) {
				for len(f.network[itself]) != queued && f.step() {
				}
			}
			f.event(attribution.IdentityEvent{Type: attribution.Formed, Identity: next, Attackers: all}, 2)
			until(2)
			f.step() // the first detach has another step to go, behind the second
			f.post(1, CoordinatorTask, appendLost(nil, &lost{}))
			until(4) // with those of the next round
			until(1)
			late := f.network[itself]
			if len(late) != 1 {
				t.Fatalf("%d commands are left, want one", len(late))
			}
			in := reader{b: late[0][2:]}
			if d := in.detach(); d.By.Round != 0 || string(d.Attacker) != waits {
				t.Fatalf("%+v is left, want the detach of %s in the first round", d, waits)
			}
			f.network[itself] = nil
			f.settle()

			comes := func() {
				box := &box{cluster: f.cluster, from: 1}
				if err := f.tasks[1].Process(&Record{Source: Commands, Partition: 1, Offset: f.read[1], Value: late[0]}, f.stores[1], box); err != nil {
					t.Fatal(err)
				}
				box.deliver()
			}
			if when == "before the next event" {
				comes()
			}
			f.event(attribution.IdentityEvent{Type: attribution.Formed, Identity: old, Attackers: all}, 3)
			if when == "during the next event" {
				for len(f.tasks[1].unsettled) == 0 && f.step() {
				}
				comes()
			}
			f.settle()
			if when == "after the next event" {
				comes()
				f.settle()
			}
			for i := range 3 {
				if r := f.rows[fmt.Sprint(old, "/x.", i)]; r.Count != 1 || len(f.rows) != 3 {
					t.Errorf("rows %+v, want three of %s", f.rows, old)
				}
			}
		})
	}
}

// nameAt returns a name that is at home in a task.
func nameAt(name string, task int32, home func([]byte) int32) string {
	for i := 0; ; i++ {
		if n := fmt.Sprint(name, "-", i); home([]byte(n)) == task {
			return n
		}
	}
}
