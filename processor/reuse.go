//go:build !race

package processor

// reused is told of memory that is about to be used again.
func reused([]byte) {}
