package attribution_test

import (
	"fmt"

	"handprint/attribution"
)

// A series is what one attacker showed of one primitive; the merger concludes.
// Here two values take turns, as two people at one keyboard would.
func ExampleMerger_Conclude() {
	thresholds := attribution.DefaultThresholds()
	var series attribution.Series
	for i, value := range []string{`"reactive"`, `"deep"`, `"reactive"`, `"deep"`, `"reactive"`} {
		series.Take(attribution.Entry{TS: float64(1000 + 60*i), Value: attribution.Value(value), Evidence: uint64(i)}, attribution.Categorical, &thresholds)
	}
	c, err := attribution.NewMerger(&thresholds).Conclude(attribution.Categorical, &series)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.State, c.Confidence, string(c.Value), c.Count)
	// Output: multi_actor 0.6 "reactive" 5
}
