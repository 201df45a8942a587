package processor

import "github.com/twmb/franz-go/pkg/kgo"

// memory is what records that are sent are made of. It is handed out bit by bit
// and taken back all at once, when the brokers have the records.
type memory struct {
	records [][]kgo.Record
	used    int // records handed out
	others  int // records of other memory that are sent with these
	bytes   int // copied, and of those records

	blocks [][]byte
	block  int    // the next of blocks
	free   []byte // the rest of the one before
}

const (
	recordChunk = 256
	blockSize   = 256 << 10
	// maxBlocks and maxRecords bound how much is kept for the next use.
	maxBlocks  = 16
	maxRecords = 1 << 14 / recordChunk
)

// record returns a zero record that is valid until reset.
func (m *memory) record() *kgo.Record {
	chunk, i := m.used/recordChunk, m.used%recordChunk
	if chunk == len(m.records) {
		m.records = append(m.records, make([]kgo.Record, recordChunk))
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
func (m *memory) reset() {
	for _, block := range m.blocks[:m.block] {
		reused(block)
	}
	for at := 0; at < m.used; at += recordChunk {
		clear(m.records[at/recordChunk][:min(m.used-at, recordChunk)])
	}
	m.used, m.others, m.bytes, m.block, m.free = 0, 0, 0, 0, nil
	if len(m.blocks) > maxBlocks {
		clear(m.blocks[maxBlocks:])
		m.blocks = m.blocks[:maxBlocks]
	}
	if len(m.records) > maxRecords {
		clear(m.records[maxRecords:])
		m.records = m.records[:maxRecords]
	}
}
