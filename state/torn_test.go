package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// chunkOf is an edit of a manifest in one chunk.
func chunkOf(payload []byte) []byte {
	b := make([]byte, manifestHeader, manifestHeader+len(payload))
	binary.LittleEndian.PutUint16(b[4:], uint16(len(payload)))
	b[6] = chunkFull
	b = append(b, payload...)
	binary.LittleEndian.PutUint32(b, chunkSum(b[6:]))
	return b
}

// The newest edit may have been written in part, in blocks of a disk and in any order. It
// is no damage, unless another edit follows it: that one was written because it was whole.
func TestATornEditIsNoDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		filled := func(n int) []byte { return bytes.Repeat([]byte{0xa7}, n) }
		before := chunkOf(filled(rapid.IntRange(1, 9000).Draw(t, "bytes before")))
		edit := chunkOf(filled(rapid.IntRange(100, 12_000).Draw(t, "bytes")))
		text := append(bytes.Clone(before), edit...)
		block := rapid.SampledFrom([]int{512, 4096}).Draw(t, "block")
		unwritten := 0
		for begin := len(before); begin < len(text); {
			end := min(begin-begin%block+block, len(text))
			if rapid.Bool().Draw(t, "lost") {
				clear(text[begin:end])
				unwritten = max(unwritten, end-begin)
			}
			begin = end
		}
		damage := manifestDamage(text)
		if unwritten >= minUnwritten && damage >= 0 {
			t.Fatalf("an edit of %d bytes at %d, of which %d were not written, is damage at %d", len(edit), len(before), unwritten, damage)
		}
		if unwritten == 0 && damage >= 0 {
			t.Fatalf("a whole edit is damage at %d", damage)
		}
		if damage := manifestDamage(append(text, chunkOf([]byte("next"))...)); unwritten > 0 && damage != len(before) {
			t.Fatalf("an edit at %d that is not whole, with another behind it, is damage at %d", len(before), damage)
		}
	})
}

// tearing is a file system that is told what is written to a manifest before it is on the
// disk.
type tearing struct {
	vfs.FS
	mu      sync.Mutex // a copy and a link at the same time never end: a link takes the disk's lock twice
	written func(name string, at int, b []byte)
}

func (f *tearing) Link(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.FS.Link(from, to)
}

func (f *tearing) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	if err != nil || !strings.Contains(name, "MANIFEST") {
		return file, err
	}
	return &tearingFile{File: file, name: name, written: f.written}, nil
}

type tearingFile struct {
	vfs.File
	name    string
	at      int
	written func(name string, at int, b []byte)
}

func (f *tearingFile) Write(b []byte) (int, error) {
	f.written(f.name, f.at, b)
	f.at += len(b)
	return f.File.Write(b)
}

// A store whose newest edit is torn at any byte opens with all that it says it has, and is
// not set aside.
func TestAStoreOpensWithATornEdit(t *testing.T) {
	disk := vfs.NewCrashableMem()
	type tear struct {
		fs   *vfs.MemFS // as it was on the disk
		name string
		at   int
		edit []byte
	}
	var tears []tear
	writes := 0
	fs := &tearing{FS: disk}
	fs.written = func(name string, at int, b []byte) {
		fs.mu.Lock()
		defer fs.mu.Unlock()
		writes++
		crosses := at/4096 != (at+len(b)-1)/4096
		if len(b) > 2*minUnwritten && (writes%40 == 0 || crosses) && len(tears) < 8 {
			tears = append(tears, tear{disk.CrashClone(vfs.CrashCloneCfg{}), name, at, bytes.Clone(b)})
		}
	}
	o := quiet(nil)
	o.FS, o.BulkBytes = fs, 1 // each commit is an edit
	s, err := Open("store", o)
	check(t, err)
	for i := range 200 {
		txn := s.Partition(0).Begin()
		txn.Put(fmt.Appendf(nil, "%03d", i), bytes.Repeat([]byte("value"), 10))
		check(t, txn.Commit(Checkpoint{Offset: int64(i + 1), Identity: "log", At: time.Unix(1, 0)}))
	}
	check(t, s.Close())
	crossing := 0
	for _, w := range tears {
		if end := w.at + len(w.edit); w.at/4096 != (end-1)/4096 {
			crossing++
		}
		text, err := readManifest(w.fs, w.name)
		check(t, err)
		if len(text) != w.at {
			continue // the one before was not asked to be on the disk
		}
		var torn [][]byte
		for cut := range w.edit { // cut off, and never written from there on, or up to there
			torn = append(torn, w.edit[:cut])
			if len(w.edit)-cut >= minUnwritten {
				torn = append(torn, append(bytes.Clone(w.edit[:cut]), make([]byte, len(w.edit)-cut)...))
			}
		}
		if first := 4096 - w.at%4096; first >= minUnwritten && first < len(w.edit) {
			torn = append(torn, append(make([]byte, first), w.edit[first:]...))
		}
		for i, edit := range torn {
			opensTorn(t, w.fs, w.name, append(bytes.Clone(text), edit...), fmt.Sprintf("tear %d of %d bytes at %d", i, len(w.edit), w.at))
		}
	}
	if len(tears) < 4 || crossing == 0 {
		t.Fatalf("%d edits were torn, %d across blocks", len(tears), crossing)
	}
}

// opensTorn opens a store with that manifest. It has what its checkpoint says, and nothing
// was set aside.
func opensTorn(t *testing.T, fs *vfs.MemFS, path string, text []byte, what string) {
	t.Helper()
	changed := vfs.NewMem()
	if ok, err := vfs.Clone(fs, changed, "store", "store"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	file, err := changed.Create(path, vfs.WriteCategoryUnspecified)
	check(t, err)
	_, err = file.Write(text)
	check(t, err)
	check(t, file.Close())
	s, err := Open("store", quiet(changed))
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	cp, _, err := s.Partition(0).Checkpoint()
	check(t, err)
	n := int64(0)
	txn := s.Partition(0).Begin()
	check(t, txn.Scan(nil, nil, func(_, _ []byte) bool { n++; return true }))
	txn.Discard()
	check(t, s.Close())
	if n != cp.Offset || n == 0 {
		t.Fatalf("%s: the store says it has %d writes and has %d", what, cp.Offset, n)
	}
	if names, _ := changed.List(""); strings.Contains(strings.Join(names, " "), "corrupt") {
		t.Fatalf("%s: the store was set aside: %v", what, names)
	}
}
