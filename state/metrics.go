package state

import "time"

// Metrics is how the store is doing. Counts are since it was opened.
type Metrics struct {
	DiskBytes      uint64 // on the disk, tables, logs and what waits for removal
	MemtableBytes  uint64 // in memory, not yet in tables
	CacheBytes     int64  // in the block cache
	CacheHits      int64
	CacheMisses    int64
	RecordHits     int64 // reads that what transactions hold answered
	RecordMisses   int64
	FilterHits     int64 // table reads that a bloom filter spared
	FilterMisses   int64 // table reads that it did not
	ReadAmp        int   // tables that a read may have to look into, at most
	CompactionDebt uint64
	Compactions    int64
	Flushes        int64
	WALBytes       uint64        // written to the log
	Stalls         int64         // times that writes had to wait for the disk
	CompactionTime time.Duration // spent in compactions
}

// CacheHitRatio returns the share of block reads that the cache answered, in
// [0, 1], and 0 if there were none.
func (m Metrics) CacheHitRatio() float64 {
	if m.CacheHits+m.CacheMisses == 0 {
		return 0
	}
	return float64(m.CacheHits) / float64(m.CacheHits+m.CacheMisses)
}

// Metrics returns how the store is doing now; of a closed store, zeros. It takes
// locks that writes need: ask a few times a minute, not per record.
func (s *Store) Metrics() Metrics {
	if !s.enter() {
		return Metrics{}
	}
	defer s.leave()
	m := s.db.Metrics()
	return Metrics{
		DiskBytes:      m.DiskSpaceUsage(),
		MemtableBytes:  m.MemTable.Size,
		CacheBytes:     m.BlockCache.Size,
		CacheHits:      m.BlockCache.Hits,
		CacheMisses:    m.BlockCache.Misses,
		RecordHits:     s.recordHits.Load(),
		RecordMisses:   s.recordMisses.Load(),
		FilterHits:     m.Filter.Hits,
		FilterMisses:   m.Filter.Misses,
		ReadAmp:        m.ReadAmp(),
		CompactionDebt: m.Compact.EstimatedDebt,
		Compactions:    m.Compact.Count,
		Flushes:        m.Flush.Count,
		WALBytes:       m.WAL.BytesWritten,
		Stalls:         s.stalls.Load(),
		CompactionTime: m.Compact.Duration,
	}
}
