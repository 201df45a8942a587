package state

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options says how to open a [Store]. The zero value will do.
type Options struct {
	// FS is the file system; nil is the machine's.
	FS vfs.FS
	// CacheBytes is the size of the block cache, the only one of the process, for a
	// store that is large: it has room for a sixteenth of what is on the disk, and for
	// 16 MiB at least. Values below 1 MiB, zero included, mean 16 MiB. While memtables
	// are not full, blocks use the memory of two as well.
	CacheBytes int64
	// HoldBytes is how much memory all transactions that hold share for what
	// they have committed, and read, lately. Values below 1 MiB, zero included,
	// mean 128 MiB; at most 1 GiB. A transaction of more needs more.
	HoldBytes int
	// MemtableBytes is how much is written before it goes to a table on the
	// disk. Up to 4 times as much memory is used while the disk is behind.
	// Values below 64 KiB, zero included, mean 4 MiB; at most 1 GiB.
	MemtableBytes uint64
	// Logger gets what the operator should know; Pebble's own messages at
	// level debug. nil is slog.Default().
	Logger *slog.Logger
	// BulkBytes is how much a commit must have to be written as a table of its
	// own, for which it waits for the disk. Zero means 1 MiB; less is for tests.
	BulkBytes int
	// ReadOnly opens for reading the directory of an instance that is stopped.
	// Nothing is created, repaired or set aside; writes fail.
	ReadOnly bool
}

const (
	defaultCacheBytes    = 16 << 20
	minCacheBytes        = 1 << 20
	defaultHoldBytes     = 128 << 20
	minHoldBytes         = 1 << 20
	maxHoldBytes         = 1 << 30
	defaultMemtableBytes = 4 << 20
	memtables            = 4 // at most
	minMemtableBytes     = 64 << 10
	maxMemtableBytes     = 1 << 30

	// pebbleFormat is the newest database format that is written. A newer one
	// must not be chosen without a new FormatVersion, so that an older
	// handprint refuses the directory with words of its own.
	pebbleFormat = pebble.FormatTableFormatV6
)

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes < minCacheBytes {
		o.CacheBytes = defaultCacheBytes
	}
	if o.HoldBytes < minHoldBytes {
		o.HoldBytes = defaultHoldBytes
	}
	o.HoldBytes = min(o.HoldBytes, maxHoldBytes)
	if o.MemtableBytes < minMemtableBytes {
		o.MemtableBytes = defaultMemtableBytes
	}
	o.MemtableBytes = min(o.MemtableBytes, maxMemtableBytes)
	if o.BulkBytes == 0 {
		o.BulkBytes = defaultBulkBytes
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// pebbleOptions returns the options of the database of s.
func (o Options) pebbleOptions(s *Store) *pebble.Options {
	po := &pebble.Options{
		FS:                 &logFS{o.FS, s.logFailed},
		Lock:               s.lock,
		Cache:              s.cache.Cache,
		Comparer:           newComparer(),
		FormatMajorVersion: pebbleFormat,
		Logger:             pebbleLogger{o.Logger},
		ReadOnly:           o.ReadOnly,
		MemTableSize:       o.MemtableBytes,
		// Four, so that a burst of writes goes on while the first is written out.
		MemTableStopWritesThreshold: memtables,
		// A restore writes far faster than compactions take away: let level 0
		// grow, with the filters to keep its reads cheap, rather than stop it.
		L0CompactionThreshold: 4,
		L0StopWritesThreshold: 32,
		LBaseMaxBytes:         64 << 20,
		// Partitions given away are to leave the disk soon.
		FlushDelayDeleteRange: 10 * time.Second,
		CompactionConcurrencyRange: func() (int, int) {
			return 1, max(1, runtime.GOMAXPROCS(0)/2)
		},
		EventListener: &pebble.EventListener{
			DataCorruption:  func(info pebble.DataCorruptionInfo) { s.damaged(fmt.Errorf("%s: %w", info.Path, info.Details)) },
			WriteStallBegin: func(pebble.WriteStallBeginInfo) { s.stalls.Add(1) },
		},
	}
	// The keys of a group are not versions of one key: their values stay beside them.
	po.Experimental.SpanPolicyFunc = func([]byte) (pebble.SpanPolicy, []byte, error) {
		return pebble.SpanPolicy{DisableValueSeparationBySuffix: true}, nil, nil
	}
	po.TargetFileSizes[0] = 4 << 20
	last := len(po.Levels) - 1
	for i := range po.Levels {
		// What is not in the last level yet is soon written again. There it is
		// compressed by what takes the least time.
		po.Levels[i].Compression = func() *block.CompressionProfile { return block.NoCompression }
		if i == last {
			po.Levels[i].Compression = func() *block.CompressionProfile { return block.FastestCompression }
		}
		// The last level has a filter as well, for reads of what is mostly not
		// there: see Txn.GetRare and splitKey.
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return po
}

// pebbleLogger passes Pebble's messages on.
type pebbleLogger struct{ l *slog.Logger }

func (p pebbleLogger) Infof(format string, args ...any) {
	if p.l.Enabled(context.Background(), slog.LevelDebug) {
		p.l.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

func (p pebbleLogger) Errorf(format string, args ...any) {
	p.l.Error("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf ends the process, as Pebble needs it to: it calls this when a write to
// its log or manifest has failed (the disk is full, say), after which it does
// not know what it holds. The next start comes up with an earlier commit.
func (p pebbleLogger) Fatalf(format string, args ...any) {
	p.l.Error("the store cannot go on; look at the disk and start again: " + fmt.Sprintf(format, args...))
	os.Exit(1)
}
