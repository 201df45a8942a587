package state

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
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

// What is read of a small store does not fill a large cache, and a flush looks how large
// the store is.
func TestASmallStoreLeavesTheBlockCacheSmall(t *testing.T) {
	const room = 4 << 20
	s, err := Open("dir", Options{FS: vfs.NewMem(), CacheBytes: room, MemtableBytes: 64 << 10, BulkBytes: 1, Logger: slog.New(slog.DiscardHandler)})
	check(t, err)
	defer func() { check(t, s.Close()) }()
	s.cache.min = 256 << 10
	s.fitBlocks()
	tx := s.Partition(0).WriteBack()
	value := make([]byte, 1000)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		for j := range value {
			value[j] = byte(rnd.Uint32())
		}
		tx.Put(fmt.Append(nil, "key ", i), value)
	}
	check(t, tx.Commit(Checkpoint{Offset: 1, At: time.Unix(1_700_000_000, 0)}))
	check(t, tx.Close())
	read := func() int64 {
		snap := s.Partition(0).Snapshot()
		defer snap.Close()
		check(t, snap.Scan(nil, nil, func(_, _ []byte) bool { return true }))
		return s.Metrics().CacheBytes
	}
	if got := read(); got > 1<<20 {
		t.Errorf("%d bytes of blocks of a store of 3 MB are kept, with room for %d", got, s.cache.room())
	}
	s.cache.min = room
	again := s.Partition(0).WriteBack()
	again.Put([]byte("key"), value)
	check(t, again.Commit(Checkpoint{Offset: 2, At: time.Unix(1_700_000_001, 0)}))
	check(t, again.Close()) // the flush looks
	if got := read(); got < 2<<20 {
		t.Errorf("%d bytes of blocks are kept, with room for %d", got, s.cache.room())
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
