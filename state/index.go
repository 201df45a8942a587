package state

import "unsafe"

// An index finds the entries of a table: by open addressing, numbers of entries
// plus 1 in a power of two of places; at most half of them are taken. So no number is
// above half of the places, and the bits above a number hold those of the hash that the
// place does not tell: an entry with another hash is not read, as it is seldom in the
// processor's caches.
//
// It is not cut into chunks, which every lookup would have to pay for: a large
// one is a region of its own, a small one of Go's heap.
const (
	minPlaces  = 1 << 8
	heapPlaces = chunkSize/placeSize - 1 // at most, of Go's heap
	placeSize  = 4
)

// newIndex returns an index of so many places, which are empty.
func newIndex(places int) []uint32 {
	if places <= heapPlaces {
		return make([]uint32, places)
	}
	region := newRegion(places * placeSize)
	taken.Add(int64(len(region)))
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(region))), places)
}

// clearIndex empties an index for its next use. A large one it gives back.
func clearIndex(index []uint32) []uint32 {
	if len(index) > heapPlaces {
		freeIndex(index)
		return nil
	}
	clear(index)
	return index
}

// freeIndex takes an index back; it must not be used any more.
func freeIndex(index []uint32) {
	if len(index) <= heapPlaces {
		return
	}
	region := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(index))), len(index)*placeSize)
	taken.Add(-int64(len(region)))
	freeRegion(region)
}

// placed is what an index of so many places has of an entry with a hash.
func placed(i int, hash uint32, places int) uint32 {
	return uint32(i+1) | hash&^numberMask(places)
}

// numberMask are the bits of a place that are a number.
func numberMask(places int) uint32 { return uint32(places - 1) }
