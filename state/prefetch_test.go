package state

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestGetNearReadsNeighboursOnce(t *testing.T) {
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

func TestGetNearLeavesManyNeighboursAlone(t *testing.T) {
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
