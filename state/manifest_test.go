package state

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
)

// A store whose manifest has a changed byte is set aside: opened as it is, it
// would lack writes that its checkpoint says are there.
func TestChangedManifestIsSetAside(t *testing.T) {
	fs := vfs.NewMem()
	quiet := Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	open := func(fs vfs.FS) *Store {
		t.Helper()
		o := quiet
		o.FS = fs
		s, err := Open("store", o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	// Opening again puts what is in the log into a table, and that into the
	// manifest.
	for i := range 4 {
		s := open(fs)
		txn := s.Partition(0).Begin()
		txn.Put([]byte{byte(i)}, []byte("value"))
		if err := txn.Commit(Checkpoint{Offset: int64(i + 1), Identity: "log", At: time.Unix(1, 0)}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	name, err := atomicfs.ReadMarker(fs, "store", "manifest")
	if err != nil {
		t.Fatal(err)
	}
	path := fs.PathJoin("store", name)
	text, err := readManifest(fs, path)
	if err != nil {
		t.Fatal(err)
	}
	if at := manifestDamage(text); at >= 0 {
		t.Fatalf("a good manifest is damaged at byte %d of %d", at, len(text))
	}
	for cut := range len(text) {
		if at := manifestDamage(text[:cut]); at >= 0 {
			t.Fatalf("a manifest cut off at byte %d is damaged at %d", cut, at)
		}
	}
	for at := 0; at < len(text); at += 7 {
		openChanged(t, fs, path, text, at)
	}
}

// So is one of several blocks, wherever the byte is.
func TestChangedLongManifestIsSetAside(t *testing.T) {
	fs := vfs.NewMem()
	o := quiet(fs)
	o.BulkBytes = 1 // each commit is an edit
	s, err := Open("store", o)
	check(t, err)
	txn := s.Partition(0).Begin()
	for i := range 500 {
		txn.Put(fmt.Appendf(nil, "%03d", i), []byte("value"))
		check(t, txn.Commit(Checkpoint{Offset: int64(i + 1), Identity: "log", At: time.Unix(1, 0)}))
	}
	check(t, s.Close())
	name, err := atomicfs.ReadMarker(fs, "store", "manifest")
	check(t, err)
	path := fs.PathJoin("store", name)
	text, err := readManifest(fs, path)
	check(t, err)
	if len(text) < manifestBlock {
		t.Fatalf("the manifest has %d bytes, and is to have several blocks", len(text))
	}
	if at := manifestDamage(text); at >= 0 {
		t.Fatalf("a good manifest is damaged at byte %d of %d", at, len(text))
	}
	for at := 17; at < len(text); at += len(text) / 16 {
		openChanged(t, fs, path, text, at)
	}
}

// openChanged opens a copy of the store whose manifest, text, has another byte at
// at. It must have what its checkpoint says, or have been set aside.
func openChanged(t *testing.T, fs *vfs.MemFS, path string, text []byte, at int) {
	t.Helper()
	changed := vfs.NewMem()
	if ok, err := vfs.Clone(fs, changed, "store", "store"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	text = bytes.Clone(text)
	text[at] ^= 0x55
	file, err := changed.Create(path, vfs.WriteCategoryUnspecified)
	check(t, err)
	_, err = file.Write(text)
	check(t, err)
	check(t, file.Close())
	s, err := Open("store", quiet(changed))
	check(t, err)
	cp, found, err := s.Partition(0).Checkpoint()
	check(t, err)
	txn := s.Partition(0).Begin()
	n := 0
	check(t, txn.Scan(nil, nil, func(_, _ []byte) bool { n++; return true }))
	txn.Discard()
	if found && int64(n) != cp.Offset {
		t.Errorf("byte %d of %d changed: the store says it has %d writes and has %d", at, len(text), cp.Offset, n)
	}
	check(t, s.Close())
	if names, _ := changed.List(""); !found && !strings.Contains(strings.Join(names, " "), "corrupt") {
		t.Errorf("byte %d changed: the store is empty and nothing was set aside: %v", at, names)
	}
}
