package state

import (
	"encoding/binary"
	"io"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The sizes of a row that holds a short series.
const (
	benchKeys  = 100_000
	benchValue = 400
)

// benchStore returns a partition of benchKeys rows, most of them in tables.
func benchStore(b *testing.B) *Partition {
	s, err := Open(b.TempDir(), Options{CacheBytes: 128 << 20, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	check(b, err)
	b.Cleanup(func() { check(b, s.Close()) })
	p := s.Partition(3)
	tx := p.Begin()
	value := make([]byte, benchValue)
	for i := range benchKeys {
		tx.Put(benchKey(nil, i), value)
		if tx.Len() == 5000 {
			check(b, tx.Commit(Checkpoint{Offset: int64(i)}))
		}
	}
	check(b, tx.Commit(Checkpoint{Offset: benchKeys}))
	check(b, s.db.Flush())
	return p
}

// benchKey appends a key of 17 bytes, in an order of its own.
func benchKey(dst []byte, i int) []byte {
	h := uint64(i) * 0x9e3779b97f4a7c15
	dst = append(dst, 'r')
	dst = binary.BigEndian.AppendUint64(dst, h)
	return binary.BigEndian.AppendUint64(dst, uint64(i))
}

// BenchmarkTxnRecord is what an observation costs: a savepoint, a point read,
// a write, and its share of a commit every 2000.
func BenchmarkTxnRecord(b *testing.B) {
	p := benchStore(b)
	tx := p.Begin()
	value := make([]byte, benchValue)
	var key []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		key = benchKey(key[:0], i*7919%benchKeys)
		tx.Savepoint()
		if _, err := tx.Get(key); err != nil {
			b.Fatal(err)
		}
		tx.Put(key, value)
		if tx.Len() == 2000 {
			check(b, tx.Commit(Checkpoint{Offset: int64(i)}))
		}
	}
	tx.Discard()
}

func BenchmarkTxnPut(b *testing.B) {
	s := openIn(b, vfs.NewMem(), "dir")
	tx := s.Partition(3).Begin()
	value := make([]byte, benchValue)
	var key []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		key = benchKey(key[:0], i)
		tx.Savepoint()
		tx.Put(key, value)
		if tx.Len() == 2000 {
			tx.Discard()
		}
	}
}

func BenchmarkTxnGet(b *testing.B) {
	p := benchStore(b)
	for _, c := range []struct {
		name  string
		first int
		every int // keys between two Discards: 1 never finds one in the overlay
	}{{"committed", 0, 1}, {"absent", benchKeys, 1}, {"overlay", 0, 0}} {
		b.Run(c.name, func(b *testing.B) {
			tx := p.Begin()
			defer tx.Discard()
			var key []byte
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				n := i % 1000
				if c.every > 0 {
					n = i * 7919 % benchKeys
				}
				key = benchKey(key[:0], c.first+n)
				if _, err := tx.Get(key); err != nil {
					b.Fatal(err)
				}
				if c.every > 0 && i%2000 == 1999 {
					tx.Discard()
				}
			}
		})
	}
}

// BenchmarkTxnHeld is a task whose keys are all in memory: reads, reads of keys
// that are not there, writes with their share of a commit every 2000, and keys
// that are new, with what the table costs that grows by them.
func BenchmarkTxnHeld(b *testing.B) {
	const keys = 300_000
	s := openIn(b, vfs.NewMem(), "dir")
	s.writeBacks.bytes = 1 << 30
	value := make([]byte, 120)
	var key []byte
	var commits int64
	fill := func(b *testing.B, tx *Txn, i int) {
		tx.Savepoint()
		key = benchKey(key[:0], i)
		tx.Put(key, value)
		if tx.Len() == 2000 {
			commits++
			check(b, tx.Commit(Checkpoint{Offset: commits}))
		}
	}
	tx := s.Partition(0).WriteBack()
	for i := range keys {
		fill(b, tx, i)
	}
	b.Run("get", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			key = benchKey(key[:0], i*7919%keys)
			if _, err := tx.Get(key); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("absent", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			key = benchKey(key[:0], keys+i*7919%keys)
			if tx.lookup(key) != nil {
				b.Fatal("found")
			}
		}
	})
	b.Run("put", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			fill(b, tx, i*7919%keys)
		}
	})
	tx.Abandon()
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		tx := s.Partition(1).WriteBack()
		for i := 0; b.Loop(); i++ {
			if i%keys == keys-1 {
				tx.Abandon()
				tx = s.Partition(1).WriteBack()
			}
			fill(b, tx, i%keys)
		}
		tx.Abandon()
	})
}

// BenchmarkTxnScan reads one identity's rows, a few of them not committed, in
// a transaction that goes on growing.
func BenchmarkTxnScan(b *testing.B) {
	p := benchStore(b)
	tx := p.Begin()
	var key []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		key = benchKey(key[:0], i*7919%benchKeys)
		tx.Savepoint()
		tx.Put(key, key)
		if err := tx.Scan(key[:3], nil, func(_, _ []byte) bool { return true }); err != nil {
			b.Fatal(err)
		}
		if tx.Len() == 2000 {
			tx.Discard()
		}
	}
	tx.Discard()
}

// BenchmarkTxnCommit is a commit of 1000 changes; divide by that for one.
func BenchmarkTxnCommit(b *testing.B) {
	p := benchStore(b)
	tx := p.Begin()
	value := make([]byte, benchValue)
	var key []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for j := range 1000 {
			key = benchKey(key[:0], (i*1000+j)%benchKeys)
			tx.Put(key, value)
		}
		check(b, tx.Commit(Checkpoint{Offset: int64(i)}))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/change")
}

// BenchmarkRestore is what a record of a changelog costs that is written to an
// empty store, 20000 of them in a batch: a key of 17 bytes, a value of 120.
func BenchmarkRestore(b *testing.B) {
	s, err := Open(b.TempDir(), Options{CacheBytes: 128 << 20, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	check(b, err)
	b.Cleanup(func() { check(b, s.Close()) })
	p := s.Partition(3)
	const batch = 20_000
	before := cpuTime(b)
	value := make([]byte, 120)
	b.ReportAllocs()
	for begin := 0; begin < b.N; begin += batch {
		var key []byte
		check(b, p.Restore(func(yield func(k, v []byte) bool) {
			for i := begin; i < min(begin+batch, b.N); i++ {
				key = benchKey(key[:0], i)
				if !yield(key, value) {
					return
				}
			}
		}, Checkpoint{Offset: int64(begin)}))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// cpuTime returns what this process has had of the machine's processors, which
// says more than the time on a machine that does other things besides.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
