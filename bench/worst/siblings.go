package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// manyKinds are inputs of one identity of many attackers: in each order of time, of
// each kind of value, with new evidence or with evidence that comes again, so that
// each observation replaces one.
func manyKinds() (list []kind) {
	const start = 1_700_000_000
	shuffled := rand.New(rand.NewPCG(1, 2)).Perm(1 << 18)
	orders := []struct {
		name string
		ts   func(n int) float64
	}{
		{"forward", func(n int) float64 { return start + float64(n)/10 }},
		{"backward", func(n int) float64 { return start - float64(n) }},
		{"shuffled", func(n int) float64 { return start + float64(shuffled[n%len(shuffled)]) }},
	}
	values := []struct {
		name, primitive string
		value           func(n int) string
	}{
		{"fingerprints", hash, func(n int) string { return fmt.Sprintf(`"%032x"`, n%5000) }},
		{"long fingerprints", hash, func(n int) string { return fmt.Sprintf(`"%0250x"`, n%5000) }},
		{"texts", text, func(n int) string { return fmt.Sprintf(`"%s%d"`, strings.Repeat("w", 64), n%5000) }},
		{"numbers", "toolchain.c2.beacon_interval_ms", func(n int) string { return fmt.Sprint(n % 5000) }},
		{"sets", "temporal.circadian.hour_histogram", func(n int) string { return fmt.Sprintf("[%d,%d,%d]", n%24, n%7, n%5) }},
	}
	for _, attackers := range []int{3, 7, 100, 1000, 10_000} {
		for _, v := range values {
			for _, order := range orders {
				for _, sessions := range []int{7, 1 << 30} {
					if attackers == 10_000 && sessions > 7 && v.primitive != hash {
						continue // takes long, and tells nothing that fewer do not
					}
					list = append(list, kind{
						name:      fmt.Sprintf("%s of an identity of %d attackers, time %s", v.name, attackers, order.name),
						attackers: attackers, before: 10 * attackers,
						observe:  func(n int) (string, string, string) { return address(n % attackers), v.primitive, v.value(n) },
						ts:       order.ts,
						evidence: func(n int) int { return n % sessions },
					})
				}
			}
		}
	}
	for _, attackers := range []int{20, 50} {
		list = append(list, kind{
			name: fmt.Sprintf("5000 primitives of an identity of %d attackers", attackers), attackers: attackers, before: 5000 * attackers,
			observe: func(n int) (string, string, string) {
				return address(n / 5000 % attackers), fmt.Sprintf("worst.p%d", n%5000), fmt.Sprintf(`"%d"`, n%7)
			},
		})
	}
	for _, primitives := range []int{50, 200, 5000} {
		list = append(list, flaggedKind(primitives, 0, 0))
	}
	for _, length := range []int{129, 400, 900} {
		for _, attackers := range []int{0, 2} {
			list = append(list, flaggedKind(2000, length, attackers))
		}
	}
	for _, attackers := range []int{20, 1000} {
		list = append(list, flippingKind(attackers))
	}
	for _, attackers := range []int{100, 1000, 10_000} {
		for _, width := range []int{32, 250, 400} {
			list = append(list, driftingKind(attackers, width))
		}
	}
	return list
}

// driftingKind is an old entry of one attacker that gets a value which nobody else has,
// and loses it again: each second observation makes the row drift, from a value that
// only this attacker has.
func driftingKind(attackers, width int) kind {
	before := 10 * attackers
	k := kind{name: fmt.Sprintf("a row of %d attackers that drifts with each second observation", attackers), attackers: attackers, before: before}
	late := func(n int) bool { return n >= before }
	k.observe = func(n int) (string, string, string) {
		switch {
		case !late(n):
			return address(n % attackers), hash, `"the usual one"`
		case n%2 == 0:
			return address(0), hash, `"the usual one"`
		}
		return address(0), hash, fmt.Sprintf(`"%s%d"`, strings.Repeat("w", width), n)
	}
	k.ts = func(n int) float64 {
		if late(n) {
			return 1_700_000_000
		}
		return 1_700_000_000 + float64(n)/10
	}
	k.evidence = func(n int) int {
		if late(n) {
			return -1
		}
		return n
	}
	return k
}

// valueKinds are inputs of one attacker, whose values have one length. So
// many of them are different.
func valueKinds() (list []kind) {
	for _, v := range []struct{ name, primitive string }{{"fingerprints", hash}, {"texts", text}} {
		for _, length := range []int{33, 41, 48, 64, 80, 90, 96, 128, 256, 300, 512} {
			for _, different := range []int{17, 33, 40, 100, 500, 4096} {
				list = append(list, kind{
					name:   fmt.Sprintf("%s of %d characters, 17 to 4096 different", v.name, length),
					before: different + 100,
					observe: func(n int) (string, string, string) {
						return "10.0.0.1", v.primitive, fmt.Sprintf(`"%s%04d"`, strings.Repeat("w", length-4), n%different)
					},
				})
			}
		}
	}
	return list
}

// namedKinds are inputs of a primitive that somebody made up, with a long name: each key
// of its records has it.
func namedKinds() (list []kind) {
	for _, length := range []int{3 << 10, 30 << 10} {
		name := "worst." + strings.Repeat("x", length)
		list = append(list, kind{
			name:      fmt.Sprintf("a primitive of an identity of two, with a name of %d KiB", length>>10),
			attackers: 2, before: 60,
			observe: func(n int) (string, string, string) { return address(n % 2), name, fmt.Sprintf(`"%d"`, n) },
		})
	}
	for _, length := range []int{400, 600, 800} {
		for _, width := range []int{33, 60, 97, 260} {
			for _, attackers := range []int{0, 2, 20} {
				if length+width > 960 {
					continue // a record of more than 1 KiB
				}
				k := kind{
					name:      fmt.Sprintf("all values of %d characters different, of a primitive with a name of %d", width, length),
					attackers: attackers, before: 200 * max(attackers, 1),
				}
				name := "worst." + strings.Repeat("x", length-len("worst."))
				k.observe = func(n int) (string, string, string) {
					attacker := "10.0.0.1"
					if attackers > 0 {
						attacker = address(n % attackers)
					}
					return attacker, name, fmt.Sprintf(`"%s%08d"`, strings.Repeat("w", width-8), n)
				}
				list = append(list, k)
			}
		}
	}
	return list
}

// flippingKind is a row of many attackers with many large values, whose state changes
// with each observation, so that the value before is told.
func flippingKind(attackers int) kind {
	before := 40 * attackers
	k := kind{name: fmt.Sprintf("a row of %d attackers with 32 large values each that flips", attackers), attackers: attackers, before: before}
	k.observe = func(n int) (string, string, string) {
		if n < before {
			return address(n % attackers), text, fmt.Sprintf(`"%s%d"`, strings.Repeat("w", 300), n)
		}
		v := []int{1, 1, 1, 1, 1, 2, 3, 4, 5, 6}[n%10]
		return address(attackers - 1), text, fmt.Sprintf(`"%s%d"`, strings.Repeat("w", 300), v*attackers)
	}
	k.ts = func(n int) float64 { return 1_700_000_000 + float64(n) }
	k.evidence = func(n int) int { return n }
	return k
}

// flaggedKind is one attacker whose primitives are all multi_actor, and which are not
// and are again by turns: the third of five observations is replaced. So each
// observation changes the set of the primitives that are. Their names have a length, if
// it is not 0, and begin alike. The observations are those of an identity of so many
// attackers, one of whom is observed, if that is not 0.
func flaggedKind(primitives, length, attackers int) kind {
	before := 5 * primitives
	k := kind{name: fmt.Sprintf("%d primitives of one attacker that are multi_actor and then not", primitives), attackers: attackers, before: before}
	if length > 0 {
		k.name = fmt.Sprintf("%d primitives with names of %d characters that are multi_actor and then not", primitives, length)
	}
	long := strings.Repeat("x", max(length-len("worst.p0000"), 0))
	nth := func(n int) int { // of the five
		if n < before {
			return n / primitives
		}
		return 2
	}
	k.observe = func(n int) (string, string, string) {
		v := nth(n) % 2
		if n >= before {
			v = 1 - (n-before)/primitives%2
		}
		attacker := "10.0.0.1"
		if attackers > 0 {
			attacker = address(0)
		}
		return attacker, fmt.Sprintf("worst.%sp%04d", long, n%primitives), fmt.Sprintf(`"%d"`, v)
	}
	k.ts = func(n int) float64 { return 1_700_000_000 + float64(nth(n)) }
	k.evidence = nth
	return k
}
