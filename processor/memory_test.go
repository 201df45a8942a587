package processor

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func TestBatchMemoryKeepsWhatItHandedOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m memory
		for range rapid.IntRange(1, 3).Draw(t, "batches") {
			var want, got [][]byte
			for i := range rapid.IntRange(0, 40).Draw(t, "copies") {
				n := rapid.SampledFrom([]int{0, 1, 100, blockSize/8 - 1, blockSize / 8, blockSize/8 + 1, blockSize}).Draw(t, "size")
				b := bytes.Repeat([]byte{byte(i)}, n)
				c := m.copy(b)
				if c == nil {
					t.Fatalf("a copy of %d bytes is nil", n)
				}
				// Nobody's append may reach what comes after.
				_ = append(c, 0xff)
				want, got = append(want, b), append(got, c)
				r := m.record()
				if r.Topic != "" || r.Value != nil {
					t.Fatalf("a record that was not zero: %v", r)
				}
				r.Topic, r.Value = "topic", c
			}
			for i := range want {
				if !bytes.Equal(want[i], got[i]) {
					t.Fatalf("copy %d has changed", i)
				}
			}
			m.reset()
		}
		if m.copy(nil) != nil {
			t.Fatal("a copy of nil is not nil")
		}
	})
}
