//go:build !race

package processor

// pieceRecords is how many records a piece of memory has room for, as a rule:
// those that one turn puts out share one, however many they are.
const pieceRecords = 1000

// reused is told of memory that is about to be used again.
func reused([]byte) {}
