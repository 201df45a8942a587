package state

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

func TestGetPrefetchReadsNeighboursOnce(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	tx := s.Partition(3).Begin()
	const n = 20
	for i := range n {
		tx.Put(fmt.Appendf(nil, "a%02d", i), []byte("value"))
		tx.Put(fmt.Appendf(nil, "b%03d", i), []byte("value"))
	}
	check(t, tx.Commit(Checkpoint{}))
	for i := range 2 * n {
		key := fmt.Appendf(nil, "a%02d", i)
		v, err := tx.GetPrefetch(key, 1)
		check(t, err)
		if (v != nil) != (i < n) {
			t.Fatalf("%s is %q", key, v)
		}
	}
	if got := tx.prefixes["a"]; got != prefixLoaded {
		t.Errorf("the neighbours are in state %d, want %d", got, prefixLoaded)
	}
	if got := tx.entries.len(); got != n {
		t.Errorf("%d keys were read, want %d", got, n)
	}
	tx.Discard()
}

func TestGetPrefetchLeavesManyNeighboursAlone(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	tx := s.Partition(3).Begin()
	const n = maxPrefetch + 1
	for i := range n {
		tx.Put(fmt.Appendf(nil, "a%04d", i), []byte("value"))
	}
	check(t, tx.Commit(Checkpoint{}))
	for i := range n + 10 {
		key := fmt.Appendf(nil, "a%04d", i)
		v, err := tx.GetPrefetch(key, 1)
		check(t, err)
		if (v != nil) != (i < n) {
			t.Fatalf("%s is %q", key, v)
		}
	}
	if got := tx.prefixes["a"]; got != prefixTooLarge {
		t.Errorf("the neighbours are in state %d, want %d", got, prefixTooLarge)
	}
	tx.Discard()
}

// A group is read at the first miss, and one that is not there is answered by the
// filters of the tables, those of the last level too.
func TestGroupsAreAnsweredByFilters(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	tx := s.Partition(3).Begin()
	group := func(i int) []byte { return fmt.Appendf(nil, "r%017d", 2*i) }
	const n = 2000
	for i := range n {
		for _, name := range []string{"x", "y", "z"} {
			tx.Put(append(group(i), name...), []byte("value"))
		}
		tx.Put(fmt.Appendf(nil, "a%06d", 2*i), []byte("value"))
	}
	check(t, tx.Commit(Checkpoint{}))
	check(t, s.db.Flush())
	check(t, s.db.Compact(t.Context(), []byte{0}, []byte{255}, false))

	if v, err := tx.GetPrefetch(append(group(7), "y"...), groupLen); err != nil || v == nil {
		t.Fatalf("%q, %v", v, err)
	}
	if got := tx.prefixes[string(group(7))]; got != prefixLoaded || tx.entries.len() != 3 {
		t.Errorf("after one miss the group is in state %d, with %d keys", got, tx.entries.len())
	}
	before := s.Metrics()
	for i := range n {
		absent := fmt.Appendf(nil, "r%017d", 2*i+1)
		if v, err := tx.GetPrefetch(append(absent, "x"...), groupLen); err != nil || v != nil {
			t.Fatalf("%q, %v", v, err)
		}
		if v, err := tx.GetRare(fmt.Appendf(nil, "a%06d", 2*i+1)); err != nil || v != nil {
			t.Fatalf("%q, %v", v, err)
		}
	}
	tx.Discard() // what its iterators have counted counts from here on
	after := s.Metrics()
	if spared := after.FilterHits - before.FilterHits; spared < 2*n*9/10 {
		t.Errorf("filters have spared %d of %d reads", spared, 2*n)
	}
}

// The order of the database's keys is that of their bytes, whatever they are:
// groups must not change it.
func TestGroupsKeepTheOrderOfKeys(t *testing.T) {
	c := newComparer()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.Custom(func(t *rapid.T) []byte {
			k := append(slices.Clone(rapid.SampledFrom([][]byte{{0, 0, 0, 1, tagRecord}, {0, 0, 0, 1, tagCheckpoint}, {0, 0, 0, 2, tagRecord}}).Draw(t, "head")),
				rapid.SampledFrom([]string{"r", "m", "a", ""}).Draw(t, "kind")...)
			return append(k, rapid.SliceOfN(rapid.ByteRange(0, 1), 0, 20).Draw(t, "rest")...)
		})
		a, b := key.Draw(t, "a"), key.Draw(t, "b")
		byGroup := bytes.Compare(a[:c.Split(a)], b[:c.Split(b)])
		if byGroup == 0 {
			byGroup = c.ComparePointSuffixes(a[c.Split(a):], b[c.Split(b):])
		}
		if byGroup != bytes.Compare(a, b) || byGroup != c.Compare(a, b) {
			t.Fatalf("%x and %x: %d by group and rest", a, b, byGroup)
		}
	})
}
