package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"handprint/attribution"
	"handprint/internal/vectors"
	"handprint/schemas"
)

// The rows depend on the observations of each attacker and their order, not on
// how attackers take turns, on the number of tasks or on the order in which
// commands arrive. Only last_change_ts of a row of several attackers, which
// tells when a state was entered, depends on what came when.
func TestRowsDoNotDependOnTurns(t *testing.T) {
	defer func(n int) { unionFrom = n }(unionFrom)
	unionFrom = 2
	registry, err := attribution.NewRegistry(modelPrimitives)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		const attackers, linked, identity = 5, 3, "identity-x"
		var observations [attackers][]vectors.Step
		for i := range observations {
			name := fmt.Sprintf("attacker-%d", i)
			for range rapid.IntRange(0, 20).Draw(t, "observations") {
				o := op{
					Kind: "observe", Attacker: name, Primitive: rapid.SampledFrom(modelPrimitives).Draw(t, "primitive").Name,
					// No two attackers have the same ts, for then arrival decides.
					Value: rapid.IntRange(0, 3).Draw(t, "value"), TS: float64(attackers*1000*rapid.IntRange(0, 50).Draw(t, "ts") + i),
					Evidence: rapid.IntRange(0, 30).Draw(t, "evidence"),
				}
				observations[i] = append(observations[i], o.step())
			}
		}
		formed := attribution.IdentityEvent{Type: attribution.Formed, Identity: identity}
		for i := range linked {
			formed.Attackers = append(formed.Attackers, fmt.Sprintf("attacker-%d", i))
		}
		run := func(partitions int32, seed uint64) *cluster {
			r := rand.New(rand.NewPCG(seed, 3))
			c := newCluster(t, partitions, registry, r)
			c.crash = 0.02
			c.input(&vectors.Step{Topic: "identity.events", Record: schemas.AppendIdentityEvent(nil, &formed)}, 0)
			if r.IntN(2) == 0 { // else the attackers come to it one by one
				c.settle()
			}
			var at [attackers]int
			for offset := int64(1); ; offset++ {
				var left []int
				for i := range observations {
					if at[i] < len(observations[i]) {
						left = append(left, i)
					}
				}
				if len(left) == 0 {
					break
				}
				i := left[r.IntN(len(left))]
				c.input(&observations[i][at[i]], offset)
				at[i]++
				if r.IntN(4) == 0 {
					c.step()
				}
			}
			c.settle()
			for key, row := range c.rows {
				if row.Identity == identity {
					row.LastChangeTS = 0
					c.rows[key] = row
				}
			}
			return c
		}
		want := run(1, 0)
		for _, partitions := range []int32{1, 4} {
			got := run(partitions, rapid.Uint64().Draw(t, "turns"))
			if diff := vectors.DiffRows(want.allRows(), got.allRows()); diff != "" {
				t.Fatalf("with %d partitions: %s", partitions, diff)
			}
		}
	})
}
