package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// again is how often the inputs nearest to the bounds are measured once more. The
// least CPU of all counts: what else the machine does can only add to it.
const again = 3

// search draws kinds of input at random for so long, or until it is interrupted, and
// measures each. It prints the inputs that come nearest to the bounds, by CPU and by
// changelog bytes; the seed that it prints makes the same one. It returns an error if
// one is above the bounds.
func search(ctx context.Context, long time.Duration, seed uint64, n int) error {
	type found struct {
		seed uint64
		name string
		cost
		micros, bytes float64 // as parts of the bound
	}
	measureSeed := func(seed uint64) (f found, err error) {
		k := drawn(rand.New(rand.NewPCG(seed, 0)))
		c, err := measure(&k, n)
		if err != nil {
			return f, fmt.Errorf("seed %d, %s: %w", seed, k.name, err)
		}
		micros, bytes := bounds(c.record)
		return found{seed, fmt.Sprintf("seed %d: %s", seed, k.name), c, c.micros / micros, c.bytes / bytes}, nil
	}
	var all []found
	above := 0
	end := time.Now().Add(long)
	for ; time.Now().Before(end) && ctx.Err() == nil; seed++ {
		f, err := measureSeed(seed)
		if err != nil {
			return err
		}
		all = append(all, f)
	}
	const shown = 10
	slices.SortFunc(all, func(x, y found) int { return cmp.Compare(y.micros, x.micros) })
	for i := range all[:min(4*shown, len(all))] {
		for range again {
			if ctx.Err() != nil { // what was measured is shown
				break
			}
			f, err := measureSeed(all[i].seed)
			if err != nil {
				return err
			}
			if f.micros < all[i].micros {
				all[i] = f
			}
		}
	}
	for i := range all {
		if all[i].micros > 1 || all[i].bytes > 1 {
			above++
		}
	}
	for _, by := range []struct {
		name string
		of   func(*found) float64
	}{{"CPU", func(f *found) float64 { return f.micros }}, {"changelog", func(f *found) float64 { return f.bytes }}} {
		slices.SortFunc(all, func(x, y found) int { return cmp.Compare(by.of(&y), by.of(&x)) })
		fmt.Printf("of %d kinds of input, by %s:\n", len(all), by.name)
		for i := range all[:min(shown, len(all))] {
			f := &all[i]
			fmt.Printf("  %3.0f %% of the bound: %d B, %.1f us, %.0f B: %s\n", 100*by.of(f), f.record, f.micros*boundMicros(f.record), f.cost.bytes, f.name)
		}
	}
	if above > 0 {
		return fmt.Errorf("%d kinds of input are %w", above, errAbove)
	}
	return nil
}

func boundMicros(record int) float64 {
	micros, _ := bounds(record)
	return micros
}
