package attribution

// LoseHeads leaves the union the newest head alone, as do observations that take the
// others away one by one.
func LoseHeads(u *Union) {
	h := &u.heads
	if h.list.count > 1 {
		h.list.dropFirst(h.list.count - 1)
		h.some, h.least = true, h.list.min()
		h.names = len(h.least.attacker)
	}
}
