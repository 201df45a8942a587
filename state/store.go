package state

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Store is the state of all tasks of one process: one Pebble database in one
// directory. Its methods may be called by several goroutines at the same time.
type Store struct {
	db     *pebble.DB
	lock   *pebble.Lock
	cache  *blockCache
	fs     vfs.FS
	dir    string
	logger *slog.Logger
	inUse  atomic.Bool // neither being opened nor being closed
	frozen bool        // opened for reading
	owner  string      // what the file owner must say

	bulkBytes int                   // see Options
	tables    sstable.WriterOptions // of what writeBulk makes

	writeBacks writeBacks

	stalls                   atomic.Int64
	recordHits, recordMisses atomic.Int64

	// fault is why the store can no longer be used: ErrCorrupt or ErrClosed.
	fault atomic.Pointer[error]

	mu      sync.Mutex
	readers int        // open snapshots
	left    *sync.Cond // readers went down
	closed  bool
}

// ErrClosed is the error of everything that is asked of a closed store.
var ErrClosed = errors.New("the store is closed")

// ErrCorrupt means that the disk gave back something else than was written.
// Nothing more can be read or written: close the store and open it again, which
// sets the damaged directory aside and begins an empty one.
var ErrCorrupt = errors.New("the store is damaged")

// Partition returns a task's share of the store, which need not hold anything
// yet. p is the partition's number; it panics if that is negative.
func (s *Store) Partition(p int32) *Partition {
	return &Partition{s: s, number: p, record: makeHead(p, tagRecord), meta: makeHead(p, tagCheckpoint)}
}

// Partitions returns the numbers of the partitions that hold anything, in
// ascending order.
func (s *Store) Partitions() ([]int32, error) {
	if err := s.usable(); err != nil {
		return nil, fmt.Errorf("listing the partitions of the store: %w", err)
	}
	it, err := s.db.NewIter(nil)
	if err != nil {
		return nil, fmt.Errorf("listing the partitions of the store: %w", s.readError(err))
	}
	defer func() { _ = it.Close() }()
	var list []int32
	for valid := it.First(); valid; {
		p, ok := partitionOf(it.Key())
		if !ok {
			valid = it.Next()
			continue
		}
		list = append(list, p)
		end := makeHead(p, tagEnd)
		valid = it.SeekGE(end[:])
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("listing the partitions of the store: %w", s.readError(err))
	}
	return list, nil
}

// Dir returns the directory that the store was opened in.
func (s *Store) Dir() string { return s.dir }

// Err returns nil as long as the store can be used, then an error that is
// [ErrCorrupt] or [ErrClosed]. Damage may be found in the background as well,
// so a process that is idle should ask now and then.
func (s *Store) Err() error { return s.usable() }

// Close waits until all snapshots are closed, then writes what is still in
// memory and gives the directory free. Transactions must be committed or
// discarded before. A second call returns ErrClosed.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.closed = true
	for s.readers > 0 {
		s.left.Wait()
	}
	s.mu.Unlock()
	closed := ErrClosed
	s.fault.CompareAndSwap(nil, &closed)

	s.inUse.Store(false)
	err := s.db.Close()
	s.cache.Unref()
	if lerr := s.lock.Close(); err == nil {
		err = lerr
	}
	if err != nil {
		return fmt.Errorf("closing the store in %s: %s", s.dir, oneLine(err))
	}
	return nil
}

// enter counts a snapshot in, unless the store is closed.
func (s *Store) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.readers++
	return true
}

func (s *Store) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers--
	s.left.Signal()
}

// fitBlocks gives the block cache the room that the store on the disk needs.
func (s *Store) fitBlocks() { s.cache.fit(s.db.Metrics().DiskSpaceUsage()) }

func (s *Store) usable() error {
	if err := s.fault.Load(); err != nil {
		return *err
	}
	return nil
}

// readError returns err as callers are to see it, and takes note of damage.
func (s *Store) readError(err error) error {
	if !pebble.IsCorruptionError(err) {
		return err
	}
	s.damaged(err)
	return fmt.Errorf("%w: %s", ErrCorrupt, oneLine(err))
}

// damaged stops the use of the store, and leaves a note for the next Open,
// because Pebble finds damage in a table when it reads it, not when it opens.
// It is called by Pebble too, while reading.
func (s *Store) damaged(cause error) {
	fault := fmt.Errorf("%w: %s", ErrCorrupt, oneLine(cause))
	if !s.fault.CompareAndSwap(nil, &fault) || s.frozen {
		return
	}
	s.logger.Error("the store is damaged; it will be set aside at the next start and restored from the changelog",
		"dir", s.dir, "error", oneLine(cause))
	if err := writeFile(s.fs, s.dir, damagedFile, oneLine(cause)+"\n"); err != nil {
		s.logger.Error("cannot mark the store as damaged; move its directory away before the next start",
			"dir", s.dir, "error", err)
	}
}

// oneLine returns the message of err, which with Pebble may have several lines.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' }), "; ")
}
