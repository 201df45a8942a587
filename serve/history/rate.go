package history

// ByMinute returns how many transitions were recorded in each of the minutes up to
// the one of a time, the oldest first.
func (h *History) ByMinute(until float64, minutes int) []int {
	out := make([]int, minutes)
	last := minuteOf(max(0, until))
	h.tally.mu.Lock()
	defer h.tally.mu.Unlock()
	for i := range out {
		if c := h.tally.minutes[last-int64(minutes-1-i)]; c != nil {
			out[i] = c.Total()
		}
	}
	return out
}
