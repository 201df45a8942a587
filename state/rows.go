package state

import (
	"bytes"
	"cmp"
	"slices"
	"unsafe"
)

// row is a key and what is to be written of it. It has no pointers.
type row struct {
	first    uint64 // by sort: bytes after the head, which all keys have in common
	key, val buffer
	deleted  bool
}

// rows are what is to be written to the database, taken out of a table. They can be
// read by another goroutine while the table's own goes on, as long as their buffers
// are neither released nor moved.
type rows struct {
	list   []row
	chunks [][]byte // those of the arena that the buffers are in, as they were
	size   int      // bytes of the keys and values, and what a batch adds to them
}

// rowsOf takes the entries that each yields, at most count, out of a table.
func (o *table) rowsOf(count int, each func(yield func(*entry))) rows {
	r := rows{list: newRows(count), chunks: slices.Clone(o.arena.list), size: batchSlack}
	each(func(e *entry) {
		r.list = append(r.list, row{key: e.key, val: e.val, deleted: !e.exists})
		r.size += int(e.key.len+e.val.len) + entrySlack
	})
	return r
}

func (r *rows) bytes(b buffer) []byte { return bytesOf(r.chunks, b) }

// sort sorts the rows by their keys. Keys lie all over the memory of the table, so
// what tells most of them apart is taken out first.
func (r *rows) sort() {
	for i := range r.list {
		r.list[i].first = firstBytes(r.bytes(r.list[i].key)[headLen:])
	}
	order(r.list, func(a, b row) int {
		if c := cmp.Compare(a.first, b.first); c != 0 {
			return c
		}
		return bytes.Compare(r.bytes(a.key), r.bytes(b.key))
	}, nil)
}

// free gives the memory of the list back. The rows must not be used any more.
func (r *rows) free() {
	list := r.list[:cap(r.list)]
	*r = rows{}
	if len(list) > heapRows {
		region := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(list))), len(list)*rowSize)
		taken.Add(-int64(len(region)))
		freeRegion(region)
	}
}

const (
	rowSize  = int(unsafe.Sizeof(row{}))
	heldSize = rowSize + 4         // its row, and its number among the held
	heapRows = chunkSize / rowSize // at most, of Go's heap
)

// newRows returns an empty list with room for count rows. A large one is a region of
// its own, as an index is.
func newRows(count int) []row {
	if count <= heapRows {
		return make([]row, 0, count)
	}
	region := newRegion(count * rowSize)
	taken.Add(int64(len(region)))
	return unsafe.Slice((*row)(unsafe.Pointer(unsafe.SliceData(region))), count)[:0]
}
