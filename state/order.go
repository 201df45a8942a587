package state

import (
	"math/bits"
	"slices"
)

// numbered is what is sorted by a number first, and then by what the number is taken from.
type numbered interface {
	row | freshKey
	number() uint64
}

func (r row) number() uint64      { return r.first }
func (k freshKey) number() uint64 { return k.first }

const (
	minSpread = 64      // fewer are sorted by comparing alone
	maxPlaces = 1 << 14 // of a spread
)

// order sorts a list in place by compare, which compares numbers first. It returns the
// scratch it was given, which may have grown.
//
// Numbers are the first bytes of keys, and most of these are of UUIDs, which are spread
// evenly. So each goes at once to about the place that it has if all are, and the few that
// meet there are sorted. Where many meet, as keys of one kind do, they are spread once more.
// Each time the numbers that meet are at least 16 times closer, so it is done in 16 rounds,
// whatever keys somebody chooses.
func order[T numbered](list []T, compare func(a, b T) int, scratch []uint32) []uint32 {
	if len(list) < minSpread {
		slices.SortFunc(list, compare)
		return scratch
	}
	lo, hi := list[0].number(), list[0].number()
	for i := range list {
		n := list[i].number()
		lo, hi = min(lo, n), max(hi, n)
	}
	places := min(1<<(bits.Len(uint(len(list)))-3), maxPlaces)
	shift := max(0, bits.Len64(hi-lo)-bits.TrailingZeros(uint(places)))
	if lo == hi {
		slices.SortFunc(list, compare)
		return scratch
	}
	scratch = slices.Grow(scratch[:0], 2*places)
	next, end := scratch[:places:places], scratch[places:2*places:2*places]
	clear(end)
	for i := range list {
		end[(list[i].number()-lo)>>shift]++
	}
	at := uint32(0)
	for p, n := range end {
		next[p] = at
		at += n
		end[p] = at
	}
	for p := range next {
		for next[p] < end[p] {
			v := list[next[p]]
			for {
				home := (v.number() - lo) >> shift
				to := next[home]
				next[home]++
				if home == uint64(p) {
					list[to] = v
					break
				}
				v, list[to] = list[to], v
			}
		}
	}
	rest := scratch[2*places : 2*places]
	from := uint32(0)
	for _, to := range end {
		if to-from > 1 {
			rest = order(list[from:to], compare, rest)
		}
		from = to
	}
	return scratch[:0]
}
