//go:build unix

package state

import "golang.org/x/sys/unix"

// newRegion returns memory that is not of Go's heap; of it, if there is no
// other. It is all zeros, and begins where a page does.
func newRegion(size int) []byte {
	region, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]byte, size)
	}
	return region
}

// freeRegion gives a region back; nothing of it must be used any more.
func freeRegion(region []byte) {
	// One of Go's heap, which may be here, it refuses: the collector has that.
	_ = unix.Munmap(region)
}

// forget gives the memory of a chunk back until it is used again. What is read
// then is not defined: zeros on Linux, what was there before on others.
func forget(chunk []byte) {
	// Of memory of Go's heap, which may be here, the system may refuse it.
	_ = unix.Madvise(chunk, unix.MADV_DONTNEED)
}
