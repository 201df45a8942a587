package state

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// offsetOf returns the offset of the checkpoint that the database has, or -1.
func offsetOf(t *testing.T, p *Partition) int64 {
	t.Helper()
	cp, ok, err := p.Checkpoint()
	check(t, err)
	if !ok {
		return -1
	}
	return cp.Offset
}

func TestHeldCommitsReachTheDatabaseInTime(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	p := s.Partition(0)
	tx := p.WriteBack()
	start := time.Unix(1_700_000_000, 0).UTC()
	commit := func(offset int64, after time.Duration) {
		t.Helper()
		tx.Put([]byte("k"), fmt.Append(nil, offset))
		check(t, tx.Commit(Checkpoint{Offset: offset, At: start.Add(after)}))
		check(t, tx.writeBack.wait(tx))
	}
	commit(1, 0)
	commit(2, time.Second)
	commit(3, maxWriteBackDelay-1)
	if got := offsetOf(t, p); got != -1 {
		t.Fatalf("the database is at %d before it is time", got)
	}
	v, err := tx.Get([]byte("k"))
	check(t, err)
	if string(v) != "3" {
		t.Fatalf("what is held reads as %q", v)
	}
	commit(4, maxWriteBackDelay)
	if got := offsetOf(t, p); got != 4 {
		t.Fatalf("the database is at %d after %v, want 4", got, maxWriteBackDelay)
	}
	// Nothing changes, and the checkpoint is written for its age alone.
	still := Checkpoint{Offset: 4, At: start.Add(maxWriteBackDelay + CheckpointMaxAge - 1)}
	check(t, tx.Commit(still))
	check(t, tx.writeBack.wait(tx))
	if cp, _, _ := p.Checkpoint(); cp.At.Equal(still.At) {
		t.Fatal("a checkpoint that stands still is written before it is old")
	}
	still.At = still.At.Add(1)
	check(t, tx.Commit(still))
	check(t, tx.writeBack.wait(tx))
	if cp, _, _ := p.Checkpoint(); !cp.At.Equal(still.At) {
		t.Fatalf("a checkpoint that stands still is from %v, want %v", cp.At, still.At)
	}
	commit(5, 2*maxWriteBackDelay+CheckpointMaxAge-1)
	check(t, tx.Close())
	if got := offsetOf(t, p); got != 5 {
		t.Fatalf("the database is at %d after Close, want 5", got)
	}
}

// Tasks that begin together are not all written out by the same batch.
func TestHeldTasksAreWrittenInTurn(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	start := time.Unix(1_700_000_000, 0).UTC()
	times := map[time.Duration]bool{}
	for n := range int32(8) {
		tx := s.Partition(n).WriteBack()
		after := time.Duration(0)
		for {
			check(t, tx.Commit(Checkpoint{Offset: int64(after) + 1, At: start.Add(after)}))
			check(t, tx.writeBack.wait(tx))
			if offsetOf(t, s.Partition(n)) >= 0 {
				break
			}
			if after += 100 * time.Millisecond; after > maxWriteBackDelay {
				t.Fatalf("task %d holds for longer than %v", n, maxWriteBackDelay)
			}
		}
		if times[after] {
			t.Errorf("task %d is written out after %v, as another is", n, after)
		}
		times[after] = true
		check(t, tx.Close())
	}
}

func TestAHotKeyIsWrittenOnceAPiece(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	tx := s.Partition(0).WriteBack()
	for i := range 1000 {
		tx.Put([]byte("hot"), fmt.Append(nil, i))
		check(t, tx.Commit(Checkpoint{Offset: int64(i) + 1}))
	}
	if n := len(tx.held); n != 1 {
		t.Fatalf("%d entries are held, want 1", n)
	}
	before := s.Metrics().WALBytes
	check(t, tx.Close())
	if n := s.Metrics().WALBytes - before; n > 200 {
		t.Fatalf("%d bytes were written for a key", n)
	}
}

// However many keys there are, what is remembered of them stays within its
// bound, and nothing is lost.
func TestHeldMemoryIsBounded(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	s.writeBacks.bytes = 4 << 20
	txns := []*Txn{s.Partition(0).WriteBack(), s.Partition(1).WriteBack()}
	const keys = 60_000 // some 18 MiB
	value := func(i, round int) string { return fmt.Sprint(i, round, strings.Repeat("x", i%300+round*10)) }
	most := 0
	for round := range 3 {
		for i := range keys {
			tx := txns[i%2]
			tx.Put(fmt.Append(nil, i), []byte(value(i, round)))
			if i%1000 >= 998 {
				check(t, tx.Commit(Checkpoint{Offset: int64(i) + 1}))
				lists := len(tx.entries.chunks) + len(tx.edits.chunks)
				most = max(most, tx.arena.total+lists*chunkSize+cap(tx.index)*placeSize)
			}
		}
	}
	if limit := 4 << 20; most > limit {
		t.Errorf("a task of two holds %d bytes, want at most %d", most, limit)
	}
	for i := range keys {
		got, err := txns[i%2].Get(fmt.Append(nil, i))
		check(t, err)
		if want := value(i, 2); string(got) != want {
			t.Fatalf("%d is %.20q, want %.20q", i, got, want)
		}
	}
	for _, tx := range txns {
		check(t, tx.Close())
	}
	if m := s.Metrics(); m.RecordMisses == 0 || m.RecordHits == 0 {
		t.Errorf("%d reads are counted as hits and %d as misses", m.RecordHits, m.RecordMisses)
	}
}

// What was asked for lately stays when others go.
func TestTheClockKeepsWhatIsAskedFor(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	s.writeBacks.bytes = 1 << 20
	tx := s.Partition(0).WriteBack()
	tx.Put([]byte("hot"), []byte("v"))
	for i := range 40_000 {
		tx.Put(fmt.Append(nil, i), make([]byte, 100))
		if i%50 != 0 {
			continue
		}
		_, err := tx.Get([]byte("hot"))
		check(t, err)
		check(t, tx.Commit(Checkpoint{Offset: int64(i) + 1}))
	}
	if tx.find([]byte("hot"), tx.hash([]byte("hot"))) < 0 {
		t.Error("a key that is asked for all the time was forgotten")
	}
	if tx.find([]byte("0"), tx.hash([]byte("0"))) >= 0 {
		t.Error("a key that nobody asked for is still there")
	}
	check(t, tx.Close())
}

func TestDiscardGoesBackToWhatIsHeld(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	tx := s.Partition(0).WriteBack()
	tx.Put([]byte("a"), []byte("1"))
	tx.Put([]byte("gone"), []byte("1"))
	tx.Delete([]byte("gone"))
	check(t, tx.Commit(Checkpoint{Offset: 1}))
	tx.Put([]byte("a"), []byte("2"))
	tx.Put([]byte("b"), []byte("2"))
	tx.Delete([]byte("a"))
	tx.Discard()
	if got := scan(t, tx, nil, nil, nil); len(got) != 1 || got[0] != (pair{"a", "1"}) {
		t.Fatalf("after Discard there is %q", got)
	}
	check(t, tx.Close())
	wantContents(t, s.Partition(0), 1, "a=1")
}

func TestAbandonLosesWhatIsHeld(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	tx := s.Partition(0).WriteBack()
	tx.Put([]byte("a"), []byte("1"))
	check(t, tx.Commit(Checkpoint{Offset: 1}))
	tx.Abandon()
	check(t, tx.Close()) // does nothing any more
	if got := offsetOf(t, s.Partition(0)); got != -1 {
		t.Fatalf("the database is at %d", got)
	}
}

// Large buffers leave the ends of their chunks, which moving them does not free:
// it is not done again for that.
func TestBuffersAreNotMovedAtEveryCommit(t *testing.T) {
	for _, size := range []int{200, 1000, 8000, 12_000, 15_500, 16_300} {
		s := openIn(t, vfs.NewMem(), "dir")
		s.writeBacks.bytes = 64 << 20
		tx := s.Partition(0).WriteBack()
		value := make([]byte, size)
		for i := range 8 << 20 / size {
			tx.Put(fmt.Append(nil, i), value)
		}
		check(t, tx.Commit(Checkpoint{Offset: 1}))
		moved := 0
		for i := range 50 {
			first := &tx.arena.list[0][0]
			tx.Put(fmt.Append(nil, i), value)
			check(t, tx.Commit(Checkpoint{Offset: int64(i) + 2}))
			if first != &tx.arena.list[0][0] {
				moved++
			}
		}
		if moved > 1 {
			t.Errorf("values of %d bytes were moved at %d of 50 commits", size, moved)
		}
		check(t, tx.Close())
	}
}

// gatedTxn returns a transaction whose flushes are all tables, with a budget in bytes, and
// the disk that can hold them up.
func gatedTxn(t *testing.T, budget int) (*gatedFS, *Store, *Txn) {
	t.Helper()
	disk := &gatedFS{FS: vfs.NewMem()}
	o := quiet(disk)
	o.BulkBytes = 1
	s, err := Open("dir", o)
	check(t, err)
	s.writeBacks.bytes = budget
	return disk, s, s.Partition(0).WriteBack()
}

// While flushes are under way tables may be larger than they may be otherwise, but not
// by more than is lent to all together.
func TestFlushesUnderWayAreLentMemory(t *testing.T) {
	disk, s, tx := gatedTxn(t, 1<<20)
	fill := func(offset, bytes int) {
		t.Helper()
		for i := range bytes / 1000 {
			tx.Put(fmt.Append(nil, offset, i), make([]byte, 900))
		}
		check(t, tx.Commit(Checkpoint{Offset: int64(offset)}))
	}
	disk.close("sync")
	for offset := 1; tx.writeBack.flight == nil && offset < 1000; offset++ {
		fill(offset, 10_000)
	}
	if n := s.writeBacks.lent; tx.writeBack.flight == nil || n == 0 || n > 1<<20/8 {
		t.Fatalf("after commits that fill the table: flush under way %v, %d bytes lent", tx.writeBack.flight != nil, n)
	}
	disk.open()
	fill(1000, 2<<20)
	if n := s.writeBacks.lent; tx.writeBack.flight != nil || n != 0 {
		t.Fatalf("a commit that is far too large: flush under way %v, %d bytes lent", tx.writeBack.flight != nil, n)
	}
	if n := tx.size(); n > 1<<20 {
		t.Fatalf("after it the table has %d bytes, want at most %d", n, 1<<20)
	}
	check(t, tx.Close())
	if n := s.writeBacks.lent; n != 0 {
		t.Fatalf("%d bytes are still lent after Close", n)
	}
	check(t, s.Close())
}

// The rows of a flush take memory besides the table, which is as much again where keys and
// values are short. It is part of what a transaction may take.
func TestRowsOfAFlushCount(t *testing.T) {
	const budget = 1 << 20
	disk, s, tx := gatedTxn(t, budget)
	disk.close("sync")
	most, written := 0, 0
	for n := 1; tx.writeBack.flight == nil && n < 100_000; n++ {
		tx.Put(fmt.Append(nil, n), []byte("v"))
		if n%100 == 0 {
			check(t, tx.Commit(Checkpoint{Offset: int64(n)}))
		}
		written = rowSize * len(tx.flying)
		most = max(most, tx.size()+written)
	}
	if written < budget/8 {
		t.Fatalf("the rows of the flush take %d bytes: this tests nothing", written)
	}
	if limit := budget + budget/16; most > limit {
		t.Errorf("the table and the rows of its flush take %d bytes, want at most %d", most, limit)
	}
	disk.open()
	check(t, tx.Close())
	check(t, s.Close())
}

// A transaction that has no more commits gives back what was lent for its flush, and
// reports that the flush has failed.
func TestARestingTransactionGivesBackWhatItWasLent(t *testing.T) {
	for _, fails := range []bool{false, true} {
		full := new(atomic.Bool)
		disk := &gatedFS{FS: bulkFS{vfs.NewMem(), full}}
		o := quiet(disk)
		o.BulkBytes = 1
		s, err := Open("dir", o)
		check(t, err)
		s.writeBacks.bytes = 1 << 20
		tx := s.Partition(0).WriteBack()
		disk.close("create")
		check(t, tx.Land())
		for n := 1; tx.writeBack.flight == nil && n < 100_000; n++ {
			tx.Put(fmt.Append(nil, n), make([]byte, 100))
			check(t, tx.Commit(Checkpoint{Offset: int64(n)}))
		}
		check(t, tx.Land())
		if tx.writeBack.flight == nil || s.writeBacks.lent == 0 {
			t.Fatalf("flush under way %v, %d bytes lent: this tests nothing", tx.writeBack.flight != nil, s.writeBacks.lent)
		}
		full.Store(fails)
		disk.open()
		<-tx.writeBack.flight.done
		if err := tx.Land(); errors.Is(err, syscall.ENOSPC) != fails {
			t.Errorf("landing a flush that fails (%v) returns %v", fails, err)
		}
		if n := s.writeBacks.lent; n != 0 || tx.writeBack.flight != nil {
			t.Errorf("%d bytes are lent, flush under way %v", n, tx.writeBack.flight != nil)
		}
		if n := tx.takes(); !fails && n > 1<<20 {
			t.Errorf("it takes %d bytes, want at most %d", n, 1<<20)
		}
		if fails {
			tx.Abandon()
		} else {
			check(t, tx.Close())
		}
		check(t, s.Close())
	}
}
