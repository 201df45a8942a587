package state

import (
	"testing"

	"pgregory.net/rapid"
)

func TestTheBlockCacheFitsTheStore(t *testing.T) {
	c := newBlockCache(100<<20, 4<<20)
	defer c.Unref()
	for _, tt := range []struct {
		disk uint64
		room int64
	}{
		{0, minBlocks},
		{100 << 20, minBlocks},
		{512 << 20, 32 << 20},
		{520 << 20, 32 << 20}, // less than a step
		{1 << 30, 64 << 20},
		{10 << 30, 100 << 20},
		{1 << 20, minBlocks},
	} {
		c.fit(tt.disk)
		if got := c.room(); got != tt.room {
			t.Errorf("a store of %d MiB has room for %d MiB of blocks, want %d", tt.disk>>20, got>>20, tt.room>>20)
		}
	}
	small := newBlockCache(1<<20, 4<<20)
	defer small.Unref()
	if got := small.room(); got != 1<<20 {
		t.Errorf("a cache of 1 MiB has room for %d bytes", got)
	}
}

func TestTheRoomForBlocksIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.Int64Range(1<<20, 200<<20).Draw(t, "most")
		c := newBlockCache(most, 1<<20)
		defer c.Unref()
		for range rapid.IntRange(1, 10).Draw(t, "times") {
			disk := rapid.Uint64Range(0, 8<<30).Draw(t, "disk")
			c.fit(disk)
			want := min(most, max(minBlocks, int64(disk/blockShare)))
			if got := c.room(); got > most || max(got-want, want-got) >= blockStep {
				t.Fatalf("room for %d bytes, want %d within a step", got, want)
			}
		}
	})
}
