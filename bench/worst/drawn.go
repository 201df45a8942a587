package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

// fingerprints are primitives of the kind HASH.
var fingerprints = []string{
	hash, "toolchain.tls.ja3_client", "toolchain.tls.ja4_client", "motor.digraph_simhash", "toolchain.ssh.hassh_server",
}

// drawn is a kind of input: who observes what, which values, in what order of time.
func drawn(r *rand.Rand) kind {
	attackers := []int{0, 0, 1, 2, 3, 7, 10, 100, 1000, 3000}[r.IntN(10)]
	primitives := []int{1, 1, 1, 1, 2, 5, 50, 5000}[r.IntN(8)]
	registered := []string{hash, hash, "toolchain.tls.ja3_client", "motor.input_modality", "toolchain.c2.beacon_interval_ms", "temporal.circadian.hour_histogram", "environmental.locale", text}[r.IntN(8)]
	distinct := []int{1, 2, 3, 9, 17, 33, 40, 100, 500, 4096, 1 << 30}[r.IntN(11)]
	length := []int{1, 16, 33, 41, 48, 64, 80, 90, 97, 128, 254, 255, 300, 512, 600, 3000, 30_000}[r.IntN(17)]
	shape := []string{"text", "text", "text", "digest", "number", "array", "null", "escaped", "object", "unicode", "precise", "tiny", "middles", "nested"}[r.IntN(14)]
	of := func(int) string { return registered }
	draw := func(n, of int) int { return n % of }
	switch { // what fits the kind of the primitive, or it would be a dead letter
	case primitives > 1 && primitives <= len(fingerprints) && registered == hash:
		of = func(n int) string { return fingerprints[draw(n, primitives)] }
	case primitives > 1:
		registered = text
		of = func(n int) string { return fmt.Sprintf("worst.p%d", draw(n, primitives)) }
	case registered == "toolchain.c2.beacon_interval_ms":
		shape = []string{"number", "precise", "tiny", "middle"}[r.IntN(4)]
	case registered == "temporal.circadian.hour_histogram":
		shape = "array"
	}
	order := []string{"forward", "forward", "equal", "backward", "random", "jumping", "to and fro", "late", "days backward", "far"}[r.IntN(10)]
	before := []int{0, 50, 1000, 6000}[r.IntN(4)]
	sessions := []int{1, 2, 7, 33, 1 << 30, 1 << 30}[r.IntN(6)]
	turns := []int{1, 1, 2, 50}[r.IntN(4)] // observations of a value, before the next
	salt := r.Uint64()
	names := []int{0, 0, 0, 0, 200, 500}[r.IntN(6)] // bytes that the names of attackers have besides
	if registered == text && r.IntN(4) == 0 {
		token := strings.Repeat("p", 200)
		plain := of
		of = func(n int) string { return plain(n) + "." + token }
	}
	draw = func(n, of int) int { // the same for the same observation
		x := (uint64(n) + salt) * 0x9e3779b97f4a7c15
		return int((x ^ x>>29) % uint64(of))
	}
	k := kind{attackers: attackers, before: before + attackers, suffix: strings.Repeat("a", names)}
	k.name = fmt.Sprintf("%d linked attackers, %d primitives like %s, %d different values of %d characters (%s), %d times each, time %s, %d sessions, names of %d bytes more, %d observations before",
		attackers, primitives, registered, distinct, length, shape, turns, order, sessions, names, k.before)
	k.observe = func(n int) (attacker, primitive, value string) {
		attacker = "10.0.0.1"
		if attackers > 0 {
			attacker = address(n%attackers) + k.suffix
		} else if names > 0 {
			attacker = strings.Repeat("a", names) + fmt.Sprint(n%7)
		}
		return attacker, of(n), valueOf(shape, length, draw(n/turns, distinct), n)
	}
	k.ts = func(n int) float64 { return timeOf(order, n, draw) }
	k.evidence = func(n int) int { return n % sessions }
	return k
}

// valueOf is a value of a shape and, about, a length: the same for the same v, as a
// rule.
func valueOf(shape string, length, v, n int) string {
	switch shape {
	case "digest":
		return fmt.Sprintf(`"%0*x"`, min(length, 256), v)
	case "number":
		return fmt.Sprint(v)
	case "array":
		return "[" + strings.Repeat("[1],", min(length, 5000)/4) + fmt.Sprint(v) + "]"
	case "null":
		if n%2 == 0 {
			return fmt.Sprint(`"`, v, `"`)
		}
		return "null"
	case "object": // members in descending order, which canonical text sorts
		b := []byte("{")
		for i := min(length, 3000) / 8; i >= 0; i-- {
			b = fmt.Appendf(b, `"%04x":%d,`, i, v)
		}
		return string(append(b, `"":1}`...))
	case "unicode":
		return `"` + strings.Repeat("\U0001f512", min(length, 5000)/4) + fmt.Sprint(v) + `"`
	case "precise":
		return fmt.Sprintf("%.17g", math.Sqrt(float64(v)+2)*math.Pow(10, float64(v%600-300)))
	case "tiny": // below the normal doubles, as short as can be
		return arrayOf("5e-324", min(length, 5000), v)
	case "middle":
		return middles[v%len(middles)]
	case "middles":
		return arrayOf(middles[v%len(middles)], min(length, 5000), v)
	case "nested": // objects in one another, each to be sorted
		const deep = 90
		return strings.Repeat(`{"b":`, deep) + fmt.Sprintf(`"%s%d"`, strings.Repeat("w", length), v) + strings.Repeat(`,"a":1}`, deep)
	case "escaped":
		return `"` + strings.Repeat(`\u0001`, min(length, 5000)/6) + fmt.Sprint(v) + `"`
	}
	return fmt.Sprintf(`"%s%d"`, strings.Repeat("w", length), v)
}

// timeOf is the ts of an observation, in an order of time.
func timeOf(order string, n int, draw func(n, of int) int) float64 {
	const start, day = 1_700_000_000, 90_000
	switch order {
	case "equal":
		return start
	case "backward":
		return start - float64(n)
	case "random":
		return start + float64(draw(n, 100_000))
	case "jumping":
		return start + float64(n) + math.Floor(float64(n)/100)*day
	case "to and fro":
		return start + float64(n%2*2-1)*float64(n)
	case "late": // every other one is of hours ago
		return start + float64(n)/10 - float64(n%2)*40_000
	case "far": // to the beginning of time and back
		return start*float64(n%2) + float64(n)/10
	case "days backward":
		return start - math.Floor(float64(n)/100)*day
	}
	return start + float64(n)/10
}
