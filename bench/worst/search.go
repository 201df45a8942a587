package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
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

// drawn is a kind of input: who observes what, which values, in what order of time.
func drawn(r *rand.Rand) kind {
	attackers := []int{0, 0, 1, 2, 10, 100, 1000}[r.IntN(7)]
	primitives := []int{1, 1, 1, 2, 50, 5000}[r.IntN(6)]
	registered := []string{"toolchain.ssh.hassh_client", "toolchain.tls.ja3_client", "motor.input_modality", "toolchain.c2.beacon_interval_ms", "temporal.circadian.hour_histogram", "environmental.locale", "worst.text"}[r.IntN(7)]
	distinct := []int{1, 2, 3, 9, 33, 40, 500, 5000, 1 << 30}[r.IntN(9)]
	length := []int{1, 16, 90, 97, 254, 255, 600, 3000, 30_000}[r.IntN(9)]
	shape := []string{"text", "text", "digest", "number", "array", "null", "escaped", "object", "unicode", "precise"}[r.IntN(10)]
	switch { // what fits the kind of the primitive, or it would be a dead letter
	case primitives > 1:
	case registered == "toolchain.c2.beacon_interval_ms":
		shape = []string{"number", "precise"}[r.IntN(2)]
	case registered == "temporal.circadian.hour_histogram":
		shape = "array"
	}
	order := []string{"forward", "forward", "equal", "backward", "random", "jumping"}[r.IntN(6)]
	before := []int{0, 50, 1000, 6000}[r.IntN(4)]
	sessions := []int{1, 7, 1 << 30}[r.IntN(3)]
	salt := r.Uint64()
	names := []int{0, 0, 0, 200}[r.IntN(4)] // bytes that the names of attackers have besides
	draw := func(n, of int) int {           // the same for the same observation
		x := (uint64(n) + salt) * 0x9e3779b97f4a7c15
		return int((x ^ x>>29) % uint64(of))
	}
	k := kind{attackers: attackers, before: before + attackers}
	k.name = fmt.Sprintf("%d linked attackers, %d primitives like %s, %d different values of %d characters (%s), time %s, %d sessions, names of %d bytes more, %d observations before",
		attackers, primitives, registered, distinct, length, shape, order, sessions, names, k.before)
	k.observe = func(n int) (attacker, primitive, value string) {
		attacker, primitive = "10.0.0.1", registered
		if attackers > 0 {
			attacker = address(n % attackers)
		} else if names > 0 {
			attacker = strings.Repeat("a", names) + fmt.Sprint(n%7)
		}
		if primitives > 1 {
			primitive = fmt.Sprintf("worst.p%d", draw(n, primitives))
		}
		v := draw(n, distinct)
		switch shape {
		case "digest":
			value = fmt.Sprintf(`"%0*x"`, min(length, 256), v)
		case "number":
			value = fmt.Sprint(v)
		case "array":
			value = "[" + strings.Repeat("[1],", min(length, 5000)/4) + fmt.Sprint(v) + "]"
		case "null":
			if value = "null"; n%2 == 0 {
				value = fmt.Sprint(`"`, v, `"`)
			}
		case "object": // members in descending order, which canonical text sorts
			b := []byte("{")
			for i := min(length, 3000) / 8; i >= 0; i-- {
				b = fmt.Appendf(b, `"%04x":%d,`, i, v)
			}
			value = string(append(b, `"":1}`...))
		case "unicode":
			value = `"` + strings.Repeat("\U0001f512", min(length, 5000)/4) + fmt.Sprint(v) + `"`
		case "precise":
			value = fmt.Sprintf("%.17g", math.Sqrt(float64(v)+2)*math.Pow(10, float64(v%600-300)))
		case "escaped":
			value = `"` + strings.Repeat(`\u0001`, min(length, 5000)/6) + fmt.Sprint(v) + `"`
		default:
			value = fmt.Sprintf(`"%s%d"`, strings.Repeat("w", length), v)
		}
		return attacker, primitive, value
	}
	k.ts = func(n int) float64 {
		const start = 1_700_000_000
		switch order {
		case "equal":
			return start
		case "backward":
			return start - float64(n)
		case "random":
			return start + float64(draw(n, 100_000))
		case "jumping":
			return start + float64(n) + math.Floor(float64(n)/100)*90_000
		}
		return start + float64(n)/10
	}
	k.evidence = func(n int) int { return n % sessions }
	return k
}
