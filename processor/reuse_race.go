//go:build race

package processor

// With the race detector pieces of memory are small, so that tests use them again.
const pieceRecords = 16

// reused overwrites memory, so that what refers to it after its time shows.
func reused(b []byte) {
	for i := range b {
		b[i] = 0xdb
	}
}
