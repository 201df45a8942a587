package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// bulkFS has no room for tables that are being made when it is full.
type bulkFS struct {
	vfs.FS
	full *atomic.Bool
}

func (f bulkFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	if err == nil && strings.HasPrefix(f.PathBase(name), bulkFile) {
		file = bulkFullFile{file, f.full}
	}
	return file, err
}

type bulkFullFile struct {
	vfs.File
	full *atomic.Bool
}

func (f bulkFullFile) Write(p []byte) (int, error) {
	if f.full.Load() {
		return 0, syscall.ENOSPC
	}
	return f.File.Write(p)
}

// A commit for which the disk has no room leaves the store as it was, and can be
// made again when there is room.
func TestBulkThatTheDiskHasNoRoomFor(t *testing.T) {
	full := new(atomic.Bool)
	mem := vfs.NewMem()
	s, err := Open("dir", quiet(bulkFS{mem, full}))
	check(t, err)
	tx := s.Partition(1).Begin()
	put := func(from int) {
		for i := range 100 {
			tx.Put(fmt.Appendf(nil, "%03d", from+i), []byte(strings.Repeat("x", 100)))
		}
	}
	put(0)
	check(t, tx.Commit(Checkpoint{Offset: 1}))
	before := dump(t, s)

	full.Store(true)
	put(50)
	if err := tx.Commit(Checkpoint{Offset: 2}); err == nil {
		t.Fatal("a commit to a full disk came through")
	}
	if got := dump(t, s); got != before {
		t.Errorf("it left %.200s", got)
	}
	if names := bulkFiles(t, mem); len(names) > 0 {
		t.Errorf("it left %v", names)
	}

	full.Store(false)
	check(t, tx.Commit(Checkpoint{Offset: 2}))
	if records, offset := contents(t, s.Partition(1)); len(records) != 150 || offset != 2 {
		t.Errorf("afterwards there are %d records at %d, want 150 at 2", len(records), offset)
	}
	check(t, s.Close())
}

// halfMade is the disk of a store in which a crash has left half a table.
func halfMade(t *testing.T) *vfs.MemFS {
	t.Helper()
	mem := vfs.NewMem()
	s, err := Open("dir", quiet(mem))
	check(t, err)
	check(t, s.Close())
	check(t, writeFile(mem, "dir", bulkFile+"3", "half a table"))
	return mem
}

// What a crash leaves of a table that was being made goes at the next start.
func TestBulkLeftBehind(t *testing.T) {
	mem := halfMade(t)
	s, err := Open("dir", Options{FS: mem, ReadOnly: true, Logger: quiet(mem).Logger})
	check(t, err)
	check(t, s.Close())
	if names := bulkFiles(t, mem); len(names) != 1 {
		t.Errorf("opened for reading: %v", names)
	}
	s, err = Open("dir", quiet(mem))
	check(t, err)
	check(t, s.Close())
	if names := bulkFiles(t, mem); len(names) > 0 {
		t.Errorf("still there: %v", names)
	}
}

// A store that is opened for reading refuses a large commit as it does a small
// one, and what is in its directory stays: another's half-made table too, which a
// commit would have made anew and removed.
func TestBulkIntoWhatIsOpenedForReading(t *testing.T) {
	mem := halfMade(t)
	o := quiet(mem)
	o.ReadOnly = true
	s, err := Open("dir", o)
	check(t, err)
	tx := s.Partition(3).Begin()
	tx.Put([]byte("k"), make([]byte, 2*o.BulkBytes))
	if err := tx.Commit(Checkpoint{Offset: 1}); !errors.Is(err, pebble.ErrReadOnly) {
		t.Errorf("the commit returned %v", err)
	}
	tx.Discard()
	if text, err := readFile(mem, "dir/"+bulkFile+"3"); err != nil || text != "half a table" {
		t.Errorf("the file that was there is %.20q, %v", text, err)
	}
	check(t, s.Close())
}

func bulkFiles(t *testing.T, fs vfs.FS) (found []string) {
	t.Helper()
	names, err := fs.List("dir")
	check(t, err)
	for _, n := range names {
		if strings.HasPrefix(n, bulkFile) {
			found = append(found, n)
		}
	}
	return found
}

// allRows returns the rows of all entries of a transaction.
func allRows(tx *Txn) rows {
	return tx.rowsOf(tx.entries.len(), func(yield func(*entry)) {
		for i := range tx.entries.len() {
			yield(tx.entries.at(i))
		}
	})
}

// Entries are sorted by their keys. A key that is a prefix of another comes first.
func TestEntriesAreSortedByTheirKeys(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	rapid.Check(t, func(t *rapid.T) {
		tx := s.Partition(1).Begin()
		defer tx.Discard()
		b := rapid.SampledFrom([]byte{0, 1, 'r', 0xff})
		for range rapid.IntRange(0, 60).Draw(t, "keys") {
			tx.Put(rapid.SliceOfN(b, 0, 12).Draw(t, "key"), nil)
		}
		r := allRows(tx)
		defer r.free()
		want := slices.Clone(r.list)
		slices.SortFunc(want, func(a, b row) int { return bytes.Compare(r.bytes(a.key), r.bytes(b.key)) })
		r.sort()
		if !slices.EqualFunc(r.list, want, func(a, b row) bool { return a.key == b.key }) {
			t.Fatal("the order is not that of the keys")
		}
	})
}

// BenchmarkSortByKey sorts what a task of a large state writes at once.
func BenchmarkSortByKey(b *testing.B) {
	s, err := Open("dir", quiet(vfs.NewMem()))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	tx := s.Partition(1).Begin()
	defer tx.Discard()
	rnd := rand.New(rand.NewPCG(1, 1))
	const n = 40_000
	key := make([]byte, 30)
	for i := range n {
		if i%3 == 0 { // three rows of an identity
			binary.BigEndian.PutUint64(key[2:], rnd.Uint64())
			binary.BigEndian.PutUint64(key[10:], rnd.Uint64())
		}
		key[0], key[1], key[29] = 'r', 1, byte(i)
		tx.Put(key, key)
	}
	for b.Loop() {
		r := allRows(tx)
		r.sort()
		r.free()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/entry")
}
