package engine

import (
	"testing"

	"pgregory.net/rapid"
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
