package state

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

const (
	// blockShare is the part of the store, one in blockShare, that the block cache has room
	// for: filters and indexes, and some of the rows.
	blockShare = 16
	// minBlocks is how much it has room for in any case, in bytes, if it may.
	minBlocks = 16 << 20
	// blockStep is by how much its room changes, in bytes, at least.
	blockStep = 1 << 20
	// usualMemtables is for how many memtables there is room in it besides the blocks.
	// Pebble takes the memory of memtables out of its cache: more of them, in a burst of
	// writes, take it from the blocks.
	usualMemtables = 2
)

// blockCache is Pebble's cache of blocks. Its room grows with the store. A cache fills up
// whatever its size, so that of a small store would have the blocks that were read, once,
// to bring their rows into the record cache.
type blockCache struct {
	*pebble.Cache
	max int64 // bytes of blocks
	min int64 // minBlocks; less in tests

	mu       sync.Mutex
	reserved int64  // of max: what is no room now
	release  func() // gives back what is reserved; nil: nothing is
}

// newBlockCache returns a cache of at most so many bytes of blocks, besides memtables of a
// size.
func newBlockCache(blocks int64, memtable uint64) *blockCache {
	c := &blockCache{Cache: pebble.NewCache(blocks + usualMemtables*int64(memtable)), max: blocks, min: minBlocks}
	c.fit(0)
	return c
}

// fit gives the cache the room for a store of so many bytes on the disk.
func (c *blockCache) fit(disk uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	reserve := c.max - min(c.max, max(c.min, int64(disk/blockShare)))
	if reserve == c.reserved || reserve != 0 && max(reserve-c.reserved, c.reserved-reserve) < blockStep {
		return
	}
	c.reserved = reserve
	if c.release != nil {
		c.release()
		c.release = nil
	}
	if reserve > 0 {
		c.release = c.Reserve(int(reserve))
	}
}

// room is how many bytes of blocks there is room for now.
func (c *blockCache) room() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.max - c.reserved
}
