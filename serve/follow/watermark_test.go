package follow

import "testing"

// The watermark is a time when everything that the event topics had then was read, of
// the partition that is furthest behind.
func TestTheWatermarkIsOfTheOldestPartition(t *testing.T) {
	at := func(zero, one int64) eventPositions { return eventPositions{"t": {0: zero, 1: one}} }
	var w watermark
	w.reset(at(5, 0), 0)
	step := func(what string, asked float64, starts, ends eventPositions, want float64) {
		t.Helper()
		if got := w.measured(asked, starts, ends); got != want {
			t.Fatalf("%s: %v, want %v", what, got, want)
		}
	}
	begin := at(0, 0)
	step("one partition is not read", 10, begin, at(5, 3), 0)
	w.read("t", 1, 2)
	step("not to its end", 11, begin, at(5, 9), 0)
	w.read("t", 1, 3)
	step("it has reached the end that was asked for first", 12, begin, at(5, 9), 10)
	w.read("t", 1, 9)
	step("both are read", 20, begin, at(5, 9), 20)
	step("the leader of one is away", 30, begin, eventPositions{"t": {0: 5}}, 20)
	step("an open transaction is in the end", 40, begin, at(6, 9), 30)
	w.read("t", 0, 6)
	step("it is over", 41, begin, at(6, 9), 41)
	step("what was not read is deleted", 50, at(8, 0), at(8, 9), 50)
	step("a topic that was made anew is not read", 60, begin, at(2, 9), 50)

	w.reset(nil, 7)
	if w.asOf != 7 {
		t.Errorf("what was kept is %v", w.asOf)
	}
	w.reset(at(0, 0), 7)
	step("it stands until all is read", 70, begin, at(1, 0), 7)
}
