package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// rowsWith returns rows that have these keys, in their order.
func rowsWith(keys [][]byte) rows {
	o := new(table)
	o.init(makeHead(0, tagRecord))
	for _, k := range keys {
		o.put(k, []byte("v"))
	}
	return o.rowsOf(len(keys), func(yield func(*entry)) {
		for _, k := range keys {
			yield(o.lookup(k))
		}
	})
}

// Whatever the keys are, rows are in the order of their keys: spread evenly, all alike in
// their first bytes, far apart, or shorter than a number.
func TestRowsAreSortedByTheirKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var keys [][]byte
		for i := range rapid.IntRange(1, 4).Draw(t, "kinds") {
			kind := rapid.SampledFrom([]string{"r\x01", "i\x01", "a\x02", "", "\xff\xff\xff\xff\xff\xff\xff\xff"}).Draw(t, "kind")
			alike := rapid.IntRange(0, 16).Draw(t, "bytes that are the same")
			// From 60 on lists are spread; each has some hundred, so that what meets is too.
			r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), uint64(i)))
			far := rapid.Bool().Draw(t, "each number half of the one before")
			for range rapid.IntRange(0, 700).Draw(t, "keys") {
				id := make([]byte, 16)
				binary.BigEndian.PutUint64(id, r.Uint64())
				binary.BigEndian.PutUint64(id[8:], r.Uint64())
				clear(id[:alike])
				if far {
					binary.BigEndian.PutUint64(id, uint64(1)<<r.IntN(64))
				}
				keys = append(keys, fmt.Appendf(nil, "%s%s%d", kind, id[:r.IntN(17)], r.IntN(3)))
			}
		}
		slices.SortFunc(keys, bytes.Compare)
		keys = slices.CompactFunc(keys, bytes.Equal)
		want := slices.Clone(keys)
		rand.New(rand.NewPCG(5, 6)).Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		r := rowsWith(keys)
		defer r.free()
		r.sort()
		if len(r.list) != len(want) {
			t.Fatalf("%d rows, want %d", len(r.list), len(want))
		}
		for i := range want {
			if got := r.bytes(r.list[i].key)[headLen:]; !bytes.Equal(got, want[i]) {
				t.Fatalf("row %d is %q, want %q", i, got, want[i])
			}
		}
	})
}

func BenchmarkSortRows(b *testing.B) {
	const many = 190_000
	for _, each := range []int{1, 13} {
		r := rand.New(rand.NewPCG(1, 2))
		var keys [][]byte
		for len(keys) < many {
			id := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, r.Uint64()>>1), r.Uint64())
			for i := range each {
				keys = append(keys, fmt.Appendf(nil, "r\x01%sprimitive.%d\x00", id, i))
			}
			keys = append(keys, fmt.Appendf(nil, "i\x01%s", id))
		}
		r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		rows := rowsWith(keys)
		was := slices.Clone(rows.list)
		b.Run(fmt.Sprintf("%d rows of each identity", each), func(b *testing.B) {
			for b.Loop() {
				copy(rows.list, was)
				rows.sort()
			}
		})
		rows.free()
	}
}
