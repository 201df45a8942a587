package history

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Bytes returns what the history takes on the disk and in memory.
func (h *History) Bytes() int64 { return int64(h.db.Metrics().DiskSpaceUsage()) }

// retainSlice bounds the entries that go in one step.
const retainSlice = 10_000

// Retain drops the entries that were recorded before a time, and the oldest while
// the history takes more than bytes, without the records of identities: these are what
// holds now, and do not go with time. It returns how many went.
func (h *History) Retain(ctx context.Context, before float64, bytes int64) (dropped int, err error) {
	records, err := h.db.EstimateDiskUsage([]byte{byPublished}, []byte{byPublished + 1})
	if err != nil {
		return 0, fmt.Errorf("asking what the records of identities take: %w", err)
	}
	excess := h.Bytes() - int64(records) - bytes
	for ctx.Err() == nil {
		n, freed, err := h.drop(before, excess)
		dropped += n
		if excess > 0 {
			excess -= freed
		}
		if err != nil || n < retainSlice {
			return dropped, err
		}
	}
	return dropped, ctx.Err()
}

func (h *History) drop(before float64, excess int64) (n int, freed int64, err error) {
	h.adding.Lock()
	defer h.adding.Unlock()
	it, err := h.db.NewIter(&pebble.IterOptions{LowerBound: []byte{byArrival}, UpperBound: []byte{byArrival + 1}})
	if err != nil {
		return 0, 0, fmt.Errorf("thinning out the history: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	b := h.db.NewBatch()
	defer b.Close()
	valid := it.First()
	for ; valid && n < retainSlice; valid = it.Next() {
		recorded := float64(binary.BigEndian.Uint64(it.Key()[1:])) / 1000
		if recorded >= before && freed >= excess {
			break
		}
		if v, closer, err := h.db.Get(it.Value()); err == nil {
			freed += int64(len(v) + 2*len(it.Value()))
			if err := errors.Join(dropOver(b, it.Key(), v), closer.Close()); err != nil {
				return 0, 0, fmt.Errorf("thinning out the history: %w", err)
			}
		}
		if err := errors.Join(b.Delete(it.Value(), nil), b.Delete(it.Key(), nil)); err != nil {
			return 0, 0, fmt.Errorf("thinning out the history: %w", err)
		}
		n++
	}
	if n == 0 {
		return 0, 0, nil
	}
	begins := math.Inf(1)
	if valid {
		begins = float64(binary.BigEndian.Uint64(it.Key()[1:])) / 1000
	}
	if err := b.Set(beginsKey, binary.BigEndian.AppendUint64(nil, math.Float64bits(begins)), nil); err != nil {
		return 0, 0, fmt.Errorf("thinning out the history: %w", err)
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return 0, 0, fmt.Errorf("thinning out the history: %w", err)
	}
	h.begins.Store(math.Float64bits(begins))
	return n, freed, nil
}

// dropOver drops, with the entry of an identity event, that the event is over.
func dropOver(b *pebble.Batch, arrival, entry []byte) error {
	if Source(arrival[9]) != Identities { // behind the kind of key and the time
		return nil
	}
	var e Entry
	if err := json.Unmarshal(entry, &e); err != nil || e.Origin == nil {
		return nil // of an earlier build; the entry goes in either case
	}
	return b.Delete(eventKey(*e.Origin, eventMillis(&e)), nil)
}

// Keep thins the history out every minute until ctx ends.
func (h *History) Keep(ctx context.Context, now func() time.Time, age time.Duration, bytes int64) {
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	for {
		if _, err := h.Retain(ctx, float64(now().Add(-age).UnixMilli())/1000, bytes); err != nil && ctx.Err() == nil {
			h.log.Warn("the history could not be thinned out", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
