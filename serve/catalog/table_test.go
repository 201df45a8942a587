package catalog

import "testing"

// Entries of a table keep their places while it grows, and a small table takes little: an
// attacker can make up any number of primitives.
func TestTables(t *testing.T) {
	var small table[row]
	small.add(row{})
	if n := cap(small.chunks[0]); n > 16 {
		t.Errorf("a table of one row has memory for %d", n)
	}
	var long table[uint32]
	first := (*uint32)(nil)
	const n = 70*chunk + 5
	for i := range uint32(n) {
		if at := long.add(i); at != i {
			t.Fatalf("entry %d is put at %d", i, at)
		}
		if i == 0 {
			first = long.at(0)
		}
	}
	for i := range uint32(n) {
		if *long.at(i) != i {
			t.Fatalf("entry %d is %d", i, *long.at(i))
		}
	}
	if long.at(0) != first {
		t.Error("an entry was moved")
	}
	for i, c := range long.chunks[:len(long.chunks)-1] {
		if len(c) != cap(c) || cap(c) > chunk {
			t.Errorf("chunk %d has %d of %d entries", i, len(c), cap(c))
		}
	}
}
