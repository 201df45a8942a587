package attribution

// HoldHeads sets how many heads a union holds at least, for a test.
func HoldHeads(n int) (restore func()) {
	was := minHeads
	minHeads = n
	return func() { minHeads = was }
}

// LoseHeads leaves the union the newest head alone, as do observations that take the
// others away one by one.
func LoseHeads(u *Union) {
	h := &u.heads
	if h.list.count > 1 {
		h.list.dropFirst(h.list.count - 1)
		h.some, h.least = true, h.list.min()
	}
}
