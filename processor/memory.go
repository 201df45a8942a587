package processor

import "github.com/twmb/franz-go/pkg/kgo"

// batchMemory is what the records of one batch, or of a piece of it, are made
// of. It is handed out bit by bit and taken back all at once, when the brokers
// have the records.
type batchMemory struct {
	records [][]kgo.Record
	used    int // records handed out
	bytes   int // copied, and referred to by what was emitted

	blocks [][]byte
	block  int    // the next of blocks
	free   []byte // the rest of the one before
}

const (
	recordChunk = 256
	blockSize   = 256 << 10
	// maxBlocks bounds how much of one batch is kept for the next.
	maxBlocks = 128
)

// record returns a zero record that is valid until reset.
func (m *batchMemory) record() *kgo.Record {
	chunk, i := m.used/recordChunk, m.used%recordChunk
	if chunk == len(m.records) {
		m.records = append(m.records, make([]kgo.Record, recordChunk))
	}
	m.used++
	r := &m.records[chunk][i]
	*r = kgo.Record{}
	return r
}

// copy returns a copy of b, nil for nil, that is valid until reset.
func (m *batchMemory) copy(b []byte) []byte {
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
		if m.block == len(m.blocks) {
			m.blocks = append(m.blocks, make([]byte, blockSize))
		}
		m.free = m.blocks[m.block]
		m.block++
	}
	c := m.free[:n:n]
	m.free = m.free[n:]
	copy(c, b)
	return c
}

// reset takes everything back. Only call it when the client has let go of the
// records: each was acknowledged, or a flush ended well.
func (m *batchMemory) reset() {
	m.used, m.bytes, m.block, m.free = 0, 0, 0, nil
	if len(m.blocks) > maxBlocks {
		clear(m.blocks[maxBlocks:])
		m.blocks = m.blocks[:maxBlocks]
	}
}
