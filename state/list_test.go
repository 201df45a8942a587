package state

import (
	"reflect"
	"testing"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What lists are of must be without pointers, which the collector would not
// find there, and of the size that chunks are divided by.
func TestElementsHaveNoPointers(t *testing.T) {
	var pointerless func(reflect.Type) bool
	pointerless = func(typ reflect.Type) bool {
		switch k := typ.Kind(); k {
		case reflect.Struct:
			for i := range typ.NumField() {
				if !pointerless(typ.Field(i).Type) {
					return false
				}
			}
			return true
		case reflect.Array:
			return pointerless(typ.Elem())
		default:
			return k >= reflect.Bool && k <= reflect.Complex128 && k != reflect.Uintptr
		}
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[entry](), reflect.TypeFor[edit]()} {
		if !pointerless(typ) {
			t.Errorf("%v has pointers", typ)
		}
		if typ.Size() != elementSize {
			t.Errorf("%v has %d bytes, want %d", typ, typ.Size(), elementSize)
		}
	}
	if n := unsafe.Sizeof(buffer{}); n != 8 {
		t.Errorf("a buffer has %d bytes, want 8", n)
	}
}

func TestAListIsWhatWasPushed(t *testing.T) {
	before := taken.Load()
	var l list[edit]
	for round := range 2 { // the second time in chunks that are not empty
		var first *edit
		const n = 3*elements + 1
		for i := range n {
			l.push(edit{entry: int32(i + round)})
			if i == 0 {
				first = l.at(0)
			}
		}
		if l.len() != n || first != l.at(0) {
			t.Fatalf("%d elements, want %d; the first has moved: %t", l.len(), n, first != l.at(0))
		}
		for i := range n {
			if got, want := *l.at(i), (edit{entry: int32(i + round)}); got != want {
				t.Fatalf("element %d is %v, want %v", i, got, want)
			}
		}
		if got := taken.Load() - before; got != 4*chunkSize {
			t.Fatalf("%d bytes are taken, want 4 chunks", got)
		}
		l.reset()
		if got := taken.Load() - before; l.len() != 0 || got != 0 {
			t.Fatalf("after reset there are %d elements, and %d bytes taken", l.len(), got)
		}
	}
}

// What the collector does not look after is given back: by a transaction that
// holds when it is closed or abandoned, by another whenever it is empty.
func TestMemoryIsGivenBack(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	s.writeBacks.bytes = 2 << 20 // for the clock to go round as well
	before := taken.Load()
	var key []byte
	offset := int64(0)
	fill := func(tx *Txn, keys int) {
		t.Helper()
		value := make([]byte, chunkSize+1)
		for i := range keys {
			tx.Savepoint()
			key = benchKey(key[:0], i)
			size := i % 100
			if i%500 == 0 {
				size = chunkSize - 1 + i/500%3
			}
			tx.Put(key, value[:size])
			if i%7 == 0 {
				tx.Put(key, value[:size/2])
				tx.RollbackToSavepoint()
			}
			if i%1000 == 999 && tx.writeBack != nil {
				offset++
				check(t, tx.Commit(Checkpoint{Offset: offset}))
			}
		}
		if taken.Load() == before {
			t.Fatal("nothing is taken: this tests nothing")
		}
	}
	given := func(by string) {
		t.Helper()
		if n := taken.Load() - before; n != 0 {
			t.Fatalf("%s leaves %d bytes taken", by, n)
		}
	}
	tx := s.Partition(0).Begin()
	for _, keys := range []int{100, heapPlaces} {
		fill(tx, keys)
		tx.Discard()
		given("Discard")
		fill(tx, keys)
		check(t, tx.Commit(Checkpoint{Offset: 1}))
		given("Commit")
		held := s.Partition(1).WriteBack()
		fill(held, keys)
		check(t, held.Close())
		given("Close")
		held = s.Partition(1).WriteBack()
		fill(held, keys)
		held.Abandon()
		given("Abandon")
	}
	fill(tx, keptEntries+1)
	tx.Discard()
	given("Discard of many keys")
	tx.Put([]byte("k"), []byte("v"))
	check(t, s.Close())
	if err := tx.Commit(Checkpoint{Offset: 2}); err == nil {
		t.Fatal("a transaction of a closed store can be committed")
	}
	tx.Discard()
	given("Discard after the store was closed")
}
