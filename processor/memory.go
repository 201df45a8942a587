package processor

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// memory is what records that are sent are made of. It is handed out bit by bit
// and taken back all at once, when the brokers have the records.
type memory struct {
	pool *memoryPool // nil: of its own

	records [][]kgo.Record // taken from the pool; the last one is being handed out
	used    int            // records handed out
	others  int            // records of other memory that are sent with these
	bytes   int            // copied, and of those records

	blocks [][]byte // taken from the pool
	free   []byte   // the rest of the last one
}

const (
	recordChunk = 256
	blockSize   = 256 << 10
	// maxBlocks and maxRecords bound how much a pool keeps for the next use.
	maxBlocks  = 16
	maxRecords = 1 << 14 / recordChunk
)

// memoryPool is the memory that nobody uses of all send buffers of a session. What one
// turn puts out is in one buffer and may be several times as much as others hold, so
// buffers that kept their memory would all grow to the size of the largest.
type memoryPool struct {
	mu      sync.Mutex
	records [][]kgo.Record // all zero
	blocks  [][]byte
}

// takeRecords returns recordChunk zero records.
func (p *memoryPool) takeRecords() []kgo.Record {
	if r := takeLast(&p.mu, &p.records); r != nil {
		return r
	}
	return make([]kgo.Record, recordChunk)
}

// takeBlock returns blockSize bytes, whose content is undefined.
func (p *memoryPool) takeBlock() []byte {
	if b := takeLast(&p.mu, &p.blocks); b != nil {
		return b
	}
	return make([]byte, blockSize)
}

// takeLast takes the last slice off a list, and returns nil if the list is empty.
func takeLast[T any](mu *sync.Mutex, list *[][]T) []T {
	mu.Lock()
	defer mu.Unlock()
	last := len(*list) - 1
	if last < 0 {
		return nil
	}
	taken := (*list)[last]
	(*list)[last], *list = nil, (*list)[:last]
	return taken
}

// put takes records, which are zero, and blocks back.
func (p *memoryPool) put(records [][]kgo.Record, blocks [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.records = append(p.records, records[:min(len(records), maxRecords-len(p.records))]...)
	p.blocks = append(p.blocks, blocks[:min(len(blocks), maxBlocks-len(p.blocks))]...)
}

// record returns a zero record that is valid until reset.
func (m *memory) record() *kgo.Record {
	chunk, i := m.used/recordChunk, m.used%recordChunk
	if chunk == len(m.records) {
		m.records = append(m.records, m.shared().takeRecords())
	}
	m.used++
	return &m.records[chunk][i]
}

// copy returns a copy of b, nil for nil, that is valid until reset.
func (m *memory) copy(b []byte) []byte {
	n := len(b)
	m.bytes += n
	switch {
	case b == nil:
		return nil
	case n == 0:
		return []byte{} // a value that is there, unlike nil
	case n > blockSize/8:
		return append([]byte(nil), b...)
	case n > len(m.free):
		m.free = m.shared().takeBlock()
		m.blocks = append(m.blocks, m.free)
	}
	c := m.free[:n:n]
	m.free = m.free[n:]
	copy(c, b)
	return c
}

// reset gives everything back. Only call it when the client has let go of the
// records: each was acknowledged, or a flush ended well.
func (m *memory) reset() {
	for _, block := range m.blocks {
		reused(block)
	}
	for at := 0; at < m.used; at += recordChunk {
		clear(m.records[at/recordChunk][:min(m.used-at, recordChunk)])
	}
	m.shared().put(m.records, m.blocks)
	clear(m.records)
	clear(m.blocks)
	m.records, m.blocks = m.records[:0], m.blocks[:0]
	m.used, m.others, m.bytes, m.free = 0, 0, 0, nil
}

// shared returns the pool.
func (m *memory) shared() *memoryPool {
	if m.pool == nil {
		m.pool = new(memoryPool)
	}
	return m.pool
}
