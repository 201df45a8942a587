package attribution

// HoldHeads sets how many heads a union holds at least, for a test.
func HoldHeads(n int) (restore func()) {
	was := minHeads
	minHeads = n
	return func() { minHeads = was }
}
