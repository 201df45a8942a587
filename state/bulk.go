package state

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// defaultBulkBytes is the default of Options.BulkBytes. Several tasks flush at the same
// time, and a batch of each would be in Go's heap, in the log's buffers and in a memtable.
const defaultBulkBytes = 1 << 20

// bulkFile begins the name of a table that is being made, in the directory of the
// store; its partition's number follows.
const bulkFile = "BULK-"

// writeBulk writes a large commit as an sstable and ingests it. A batch would be in memory as a whole, then in the log's
// buffers, and stay there until it is in a table anyway.
//
// It waits for the disk. So it can outlast a crash of the machine that takes away
// commits of other partitions from before; of its own it cannot, as both have the
// checkpoint's key, so the database keeps their order.
func (p *Partition) writeBulk(cp Checkpoint, r *rows) error {
	checkpoint, err := appendCheckpoint(nil, cp)
	if err != nil {
		return err
	}
	s := p.s
	if s.frozen {
		return pebble.ErrReadOnly // before anything is made in the directory
	}
	r.sort()
	name := s.fs.PathJoin(s.dir, bulkFile+strconv.Itoa(int(p.number)))
	err = s.guard(func() error {
		f, err := s.fs.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), s.tables)
		err = w.Set(p.meta[:], checkpoint) // below all other keys of the partition
		for _, e := range r.list {
			switch {
			case err != nil:
			case e.deleted:
				err = w.Delete(r.bytes(e.key))
			default:
				err = w.Set(r.bytes(e.key), r.bytes(e.val))
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
