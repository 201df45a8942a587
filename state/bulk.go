package state

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// defaultBulkBytes is the default of Options.BulkBytes.
const defaultBulkBytes = 4 << 20

// bulkFile begins the name of a table that is being made, in the directory of the
// store; its partition's number follows.
const bulkFile = "BULK-"

// writeBulk writes a large commit as an sstable and ingests it. A batch would be in memory as a whole, then in the log's
// buffers, and stay there until it is in a table anyway.
//
// It waits for the disk. So it can outlast a crash of the machine that takes away
// commits of other partitions from before; of its own it cannot, as both have the
// checkpoint's key, so the database keeps their order.
func (t *Txn) writeBulk(cp Checkpoint, entries []*entry) error {
	checkpoint, err := appendCheckpoint(nil, cp)
	if err != nil {
		return err
	}
	s := t.p.s
	if s.frozen {
		return pebble.ErrReadOnly // before anything is made in the directory
	}
	t.sortByKey(entries)
	name := s.fs.PathJoin(s.dir, bulkFile+strconv.Itoa(int(t.p.number)))
	err = s.guard(func() error {
		f, err := s.fs.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), s.tables)
		err = w.Set(t.p.meta[:], checkpoint) // below all other keys of the partition
		for _, e := range entries {
			switch {
			case err != nil:
			case e.exists:
				err = w.Set(t.key(e), t.arena.bytes(e.val))
			default:
				err = w.Delete(t.key(e))
			}
		}
		// Close waits for the disk. After an error it returns that.
		if cerr := w.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
		return s.db.Ingest(context.Background(), []string{name})
	})
	if err != nil {
		_ = s.fs.Remove(name)
	}
	return err
}

// sortByKey sorts entries by their keys. Keys lie all over the memory of the table,
// so what tells most of them apart is taken out first.
func (t *Txn) sortByKey(entries []*entry) {
	type sortable struct {
		first uint64 // bytes after the head, which all have in common
		entry *entry
	}
	list := make([]sortable, len(entries))
	for i, e := range entries {
		var first [8]byte
		copy(first[:], t.key(e)[headLen:])
		list[i] = sortable{binary.BigEndian.Uint64(first[:]), e}
	}
	slices.SortFunc(list, func(a, b sortable) int {
		if c := cmp.Compare(a.first, b.first); c != 0 {
			return c
		}
		return bytes.Compare(t.key(a.entry), t.key(b.entry))
	})
	for i := range list {
		entries[i] = list[i].entry
	}
}

// removeBulk removes what a crash has left of tables that were being made.
func removeBulk(dir string, fsys vfs.FS) error {
	names, err := fsys.List(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if !strings.HasPrefix(n, bulkFile) {
			continue
		}
		if err := fsys.Remove(fsys.PathJoin(dir, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
