package main

import (
	"fmt"
	"slices"
	"strings"
)

// kind is one kind of input: what comes before it is measured, and what is
// measured.
type kind struct {
	name      string
	attackers int    // of one identity; 0: one attacker that no event has named
	suffix    string // of the names of those attackers
	before    int    // observations that come first
	observe   func(n int) (attacker, primitive, value string)
	ts        func(n int) float64 // nil: ten observations a second
	evidence  func(n int) int     // nil: each in a session of its own
	usual     bool                // what the others are compared with
}

const (
	hash = "toolchain.ssh.hassh_client"
	text = "worst.text" // registered nowhere: any value
)

// kinds lists the inputs whose name has only in it. Several with one name are one line
// of the table, which has the worst of them.
func kinds(only string) (list []kind) {
	for _, k := range slices.Concat(knownKinds(), manyKinds(), valueKinds(), namedKinds(), numberKinds()) {
		if strings.Contains(k.name, only) {
			list = append(list, k)
		}
	}
	return list
}

// knownKinds are inputs that were expensive once.
func knownKinds() (list []kind) {
	add := func(k kind) { list = append(list, k) }
	one := func(primitive string, value func(n int) string) func(int) (string, string, string) {
		return func(n int) (string, string, string) { return "10.0.0.1", primitive, value(n) }
	}
	digits := func(width int) func(int) string {
		if width > 64 { // no digest, which is packed
			return func(n int) string { return fmt.Sprintf(`"%s%08x"`, strings.Repeat("w", width-8), n) }
		}
		return func(n int) string { return fmt.Sprintf(`"%0*x"`, width, n) }
	}
	add(kind{name: "the usual one: a fingerprint that changes now and then", before: 100, usual: true, observe: one(hash, func(n int) string { return fmt.Sprintf(`"%032x"`, n/50) })})
	for _, kept := range []int{1000, 4096} {
		for _, width := range []int{32, 254} {
			add(kind{name: fmt.Sprintf("all fingerprints different, of %d characters, %d kept", width, kept), before: kept + 32, observe: one(hash, digits(width))})
		}
	}
	for _, width := range []int{32, 254} {
		add(kind{name: fmt.Sprintf("all values different, of %d characters", width), before: 100, observe: one(text, digits(width))})
	}
	for _, attackers := range []int{1, 50, 800, 10_000} {
		for _, each := range []int{20, 45} {
			add(kind{
				name:      fmt.Sprintf("an identity of %d attackers with %d fingerprints each", attackers, each),
				attackers: attackers, before: attackers * each,
				observe: func(n int) (string, string, string) { return address(n % attackers), hash, digits(32)(n) },
			})
		}
	}
	add(kind{
		name: "an identity of 800 attackers with one fingerprint that all have", attackers: 800, before: 8000,
		observe: func(n int) (string, string, string) { return address(n % 800), hash, `"0123456789abcdef"` },
	})
	add(kind{
		name: "an identity of 100000 attackers with 10 fingerprints each", attackers: 100_000, before: 1_000_000,
		observe: func(n int) (string, string, string) {
			return address(n % 100_000), hash, fmt.Sprintf(`"%032x"`, n%1_000_000)
		},
	})
	add(kind{
		name: "an identity of 100000 attackers observed back in time, in one session each", attackers: 100_000, before: 100_000,
		observe:  func(n int) (string, string, string) { return address(n % 100_000), text, fmt.Sprintf(`"%d"`, n%7) },
		ts:       func(n int) float64 { return 1_700_000_000 - float64(n) },
		evidence: func(int) int { return 0 },
	})
	add(kind{
		name: "an identity of 10000 attackers with 45 fingerprints each of three kinds", attackers: 10_000, before: 3 * 450_000,
		observe: func(n int) (string, string, string) {
			return address(n / 3 % 10_000), fingerprints[n%3], fmt.Sprintf(`"%032x"`, n/3)
		},
	})
	add(kind{
		name: "100000 primitives of one attacker", before: 100_000,
		observe: func(n int) (string, string, string) {
			return "10.0.0.1", fmt.Sprintf("worst.p%d", n*7919%100_000), `"v"`
		},
	})
	add(kind{
		name: "100000 primitives of an identity of two", attackers: 2, before: 100_000,
		observe: func(n int) (string, string, string) {
			return address(n % 2), fmt.Sprintf("worst.p%d", n*7919%100_000), `"v"`
		},
	})
	add(kind{name: "deep values of 800 bytes", before: 100, observe: one(text, func(n int) string {
		deep := strings.Repeat("[", 98) + fmt.Sprint(n) + strings.Repeat("]", 98)
		return "[" + strings.Join([]string{deep, deep, deep, deep}, ",") + "]"
	})})
	for _, size := range []int{16 << 10, 200 << 10} {
		add(kind{name: fmt.Sprintf("different values of %d KiB", size>>10), before: 50, observe: one(text, func(n int) string {
			return fmt.Sprintf(`"%0*d"`, size, n)
		})})
		add(kind{name: fmt.Sprintf("a value of %d KiB that is known", size>>10), before: 50, observe: one(text, func(int) string {
			return fmt.Sprintf(`"%0*d"`, size, 1)
		})})
	}
	add(kind{
		name: "4096 different values of 30 KB of an identity of 3000 attackers, time random", attackers: 3000, before: 9000,
		observe: func(n int) (string, string, string) {
			return address(n % 3000), text, fmt.Sprintf(`"%030000d"`, n/50*7919%4096)
		},
		ts:       func(n int) float64 { return 1_700_000_000 + float64(n*7919%100_000) },
		evidence: func(n int) int { return n % 33 },
	})
	return list
}

func address(n int) string { return fmt.Sprintf("203.%d.%d.%d", n>>16&255, n>>8&255, n&255) }
