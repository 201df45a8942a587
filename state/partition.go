package state

import (
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"
)

// Partition is one task's share of a [Store]. It has no state of its own: any
// number may stand for the same share.
//
// A share has one writer at a time: a [Txn], Restore or Reset. Who that is, is
// for the caller to see to; snapshots may be read beside it, by anybody.
type Partition struct {
	s      *Store
	number int32
	record head
	meta   head
}

// Number returns the partition's number.
func (p *Partition) Number() int32 { return p.number }

// Checkpoint returns the committed checkpoint, and false if there is none: the
// share is empty, or holds records that nothing vouches for. Its errors include
// [ErrCorrupt] and [ErrClosed].
func (p *Partition) Checkpoint() (Checkpoint, bool, error) {
	if err := p.s.usable(); err != nil {
		return Checkpoint{}, false, p.wrap("reading the checkpoint", err)
	}
	return p.checkpoint(p.s.db)
}

func (p *Partition) checkpoint(r pebble.Reader) (Checkpoint, bool, error) {
	b, closer, err := r.Get(p.meta[:])
	if errors.Is(err, pebble.ErrNotFound) {
		return Checkpoint{}, false, nil
	}
	if err != nil {
		return Checkpoint{}, false, p.wrap("reading the checkpoint", p.s.readError(err))
	}
	cp, err := decodeCheckpoint(b)
	if cerr := closer.Close(); err == nil && cerr != nil {
		err = p.s.readError(cerr)
	}
	if err != nil {
		return Checkpoint{}, false, p.wrap("reading the checkpoint", err)
	}
	return cp, true, nil
}

// Begin returns an empty transaction over the committed state. It can be used
// again and again: see [Txn].
func (p *Partition) Begin() *Txn {
	t := &Txn{p: p}
	t.init(p.record)
	t.asked = append(t.asked, p.record[:]...)
	return t
}

// Restore writes records as they come from a changelog, and the checkpoint
// they lead up to, in one batch: all or nothing. A nil value deletes its key.
// Records are taken in order, so the last one of a key counts. The slices are
// not kept. The whole batch is held in memory (at most 4 GiB): hand over a few
// MiB at a time.
//
// No [Txn] of the same partition may have read or written anything since it was
// last committed or discarded. Errors as with [Txn.Commit].
func (p *Partition) Restore(records iter.Seq2[[]byte, []byte], cp Checkpoint) error {
	if err := p.s.usable(); err != nil {
		return p.wrap("restoring", err)
	}
	b := p.s.db.NewBatch()
	defer b.Close()
	key := append(make([]byte, 0, 64), p.record[:]...)
	for k, v := range records {
		key = append(key[:headLen], k...)
		var err error
		if v == nil {
			err = b.Delete(key, nil)
		} else {
			err = b.Set(key, v, nil)
		}
		if err != nil {
			return p.wrap("restoring", err)
		}
	}
	if err := p.setCheckpoint(b, cp); err != nil {
		return p.wrap("restoring", err)
	}
	if err := p.s.guard(func() error { return b.Commit(pebble.NoSync) }); err != nil {
		return p.wrap("restoring", err)
	}
	return nil
}

// Reset empties the share, checkpoint included, and waits until that is on the
// disk. It is how a task is given away, or rebuilt from nothing.
//
// The same goes for transactions as with Restore.
func (p *Partition) Reset() error {
	if err := p.s.usable(); err != nil {
		return p.wrap("emptying", err)
	}
	end := makeHead(p.number, tagEnd)
	if err := p.s.guard(func() error { return p.s.db.DeleteRange(p.meta[:], end[:], pebble.Sync) }); err != nil {
		return p.wrap("emptying", err)
	}
	return nil
}

// Snapshot returns what is committed now, to be read at leisure by any number
// of goroutines. It must be closed: it keeps what it shows from being reclaimed,
// and [Store.Close] waits for it.
func (p *Partition) Snapshot() *Snapshot {
	sn := &Snapshot{p: p}
	if p.s.enter() {
		sn.snap = p.s.db.NewSnapshot()
	}
	return sn
}

func (p *Partition) setCheckpoint(b *pebble.Batch, cp Checkpoint) error {
	var buf [512]byte
	v, err := appendCheckpoint(buf[:0], cp)
	if err != nil {
		return err
	}
	return b.Set(p.meta[:], v, nil)
}

func (p *Partition) wrap(doing string, err error) error {
	return fmt.Errorf("%s partition %d of the store: %w", doing, p.number, err)
}
