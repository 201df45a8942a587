package attribution

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A tally counts what a sorted list counts, whatever is added and taken away.
func TestTallyCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var got tally
		var want []float64
		number := rapid.Map(rapid.IntRange(-40, 40), func(n int) float64 { return float64(n) / 4 })
		for range rapid.IntRange(1, 3).Draw(t, "rounds") {
			for range rapid.SampledFrom([]int{1, 10, 3 * maxBlock}).Draw(t, "added") {
				x := number.Draw(t, "x")
				got.add(x)
				want = append(want, x)
			}
			slices.Sort(want)
			for range rapid.IntRange(0, len(want)).Draw(t, "removed") {
				i := rapid.IntRange(0, len(want)-1).Draw(t, "which")
				got.remove(want[i])
				want = slices.Delete(want, i, i+1)
			}
			if got.count != len(want) {
				t.Fatalf("it has %d, want %d", got.count, len(want))
			}
			for range 5 {
				x := number.Draw(t, "from")
				n := 0
				for _, w := range want {
					if w >= x {
						n++
					}
				}
				if got.from(x) != n {
					t.Fatalf("%d are from %v on, want %d", got.from(x), x, n)
				}
			}
			if len(want) > 0 && got.max() != want[len(want)-1] {
				t.Fatalf("the largest is %v, want %v", got.max(), want[len(want)-1])
			}
		}
	})
}
