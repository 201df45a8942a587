package state

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A transaction that changes each of its rows several times has each value in memory once,
// and what it has committed before only as far as the database does not have that. What is
// undone is as before all the same.
func TestChangesAreInMemoryOnce(t *testing.T) {
	const keys, size = 200, 1000
	s := openIn(t, vfs.NewMem(), "dir")
	tx := s.Partition(0).WriteBack()
	defer tx.Abandon()
	key := func(i int) []byte { return fmt.Appendf(nil, "k%03d", i) }
	value := func(i, round int) []byte { return bytes.Repeat([]byte{byte(i), byte(round)}, size/2) }
	cp := Checkpoint{Offset: 1, At: time.Unix(1000, 0)}
	for i := range keys {
		tx.Savepoint()
		tx.Put(key(i), value(i, 0))
	}
	write := func() {
		t.Helper()
		check(t, tx.Commit(cp))
		cp.Offset, cp.At = cp.Offset+1, cp.At.Add(time.Minute)
		if tx.writeBack.flight != nil {
			<-tx.writeBack.flight.done
		}
		check(t, tx.Land())
	}
	write()
	cp.At = cp.At.Add(time.Minute)
	tx.Put(key(0), value(0, 0))
	write()
	once := tx.arena.size
	for round := range 3 {
		for i := range keys {
			tx.Savepoint()
			tx.Put(key(i), value(i, round+1))
		}
	}
	tx.Savepoint()
	if tx.arena.size > once+once/10 {
		t.Errorf("%d bytes for changes of rows that took %d", tx.arena.size, once)
	}
	tx.Put(key(7), value(7, 9))
	tx.RollbackToSavepoint()
	want := func(i, round int) {
		t.Helper()
		if v, err := tx.Get(key(i)); err != nil || !bytes.Equal(v, value(i, round)) {
			t.Fatalf("key %d: %d bytes, %v, want those of round %d", i, len(v), err, round)
		}
	}
	want(7, 3)
	tx.Discard()
	for i := range keys {
		want(i, 0)
	}
}
