package state

import (
	"errors"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// Snapshot is the committed state of one partition at one moment. Its methods
// may be called by several goroutines at the same time, other than Close, which
// comes last. Their errors include [ErrCorrupt], and [ErrClosed] if the store
// was closed before the snapshot was taken.
type Snapshot struct {
	p    *Partition
	snap *pebble.Snapshot // nil: the store was closed already
	once sync.Once
}

// Get returns the value of key, which is the caller's to keep, or nil if there
// is none.
func (sn *Snapshot) Get(key []byte) ([]byte, error) {
	if sn.snap == nil {
		return nil, sn.p.wrap("reading", ErrClosed)
	}
	v, closer, err := sn.snap.Get(append(sn.p.record[:headLen:headLen], key...))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, sn.p.wrap("reading", sn.p.s.readError(err))
	}
	value := slices.Clone(v)
	if value == nil {
		value = []byte{}
	}
	if err := closer.Close(); err != nil {
		return nil, sn.p.wrap("reading", sn.p.s.readError(err))
	}
	return value, nil
}

// Scan yields the keys that begin with prefix, and are not below from unless it
// is nil, with their values, in the order of the keys, until yield returns
// false. The slices are valid until yield returns.
func (sn *Snapshot) Scan(prefix, from []byte, yield func(key, value []byte) bool) error {
	if sn.snap == nil {
		return sn.p.wrap("scanning", ErrClosed)
	}
	lower, upper := appendBounds(nil, nil, sn.p.record, prefix, from)
	if emptyBounds(lower, upper) {
		return nil
	}
	it, err := sn.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return sn.p.wrap("scanning", sn.p.s.readError(err))
	}
	// What Close would report, Error has reported before.
	defer func() { _ = it.Close() }()
	if err := merge(it, it.First(), nil, yield); err != nil {
		return sn.p.wrap("scanning", sn.p.s.readError(err))
	}
	return nil
}

// Checkpoint returns the checkpoint of that moment, and false if there was none.
func (sn *Snapshot) Checkpoint() (Checkpoint, bool, error) {
	if sn.snap == nil {
		return Checkpoint{}, false, sn.p.wrap("reading the checkpoint of", ErrClosed)
	}
	return sn.p.checkpoint(sn.snap)
}

// Close lets go of the snapshot. It may be called more than once.
func (sn *Snapshot) Close() {
	sn.once.Do(func() {
		if sn.snap != nil {
			// It always returns nil.
			_ = sn.snap.Close()
			sn.p.s.leave()
		}
	})
}
