package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/integration/lab"
	"handprint/internal/load"
	"handprint/schemas"
)

// feedLoad puts the identity events and n observations of the generator into an
// application's topics, and waits until they are written. It returns the
// identities that attackers are by themselves, and whether everything about an
// attacker lies in one partition.
func feedLoad(ctx context.Context, app *lab.App, g *load.Generator, n int) (ordered map[string]bool, err error) {
	var failure firstError
	ordered = make(map[string]bool)
	for key, value := range g.Events {
		app.Client.Produce(ctx, &kgo.Record{Topic: app.Names.IdentityEvents, Key: append([]byte(nil), key...), Value: append([]byte(nil), value...)}, failure.promise)
	}
	for range n {
		r := g.Next()
		stub := attribution.Stub(r.Key).String()
		before, seen := ordered[stub]
		ordered[stub] = (before || !seen) && attribution.AttackerPartition(r.Key, int32(app.Partitions)) == r.Partition
		app.Client.Produce(ctx, observation(app, r), failure.promise)
	}
	if err := app.Client.Flush(ctx); err != nil {
		return nil, err
	}
	return ordered, failure.get()
}

// observation makes a record of what a generator has made.
func observation(app *lab.App, r *load.Record) *kgo.Record {
	if attribution.AttackerPartition(r.Key, int32(app.Partitions)) != r.Partition {
		r.Key = keyOf(r.Partition, int32(app.Partitions)) // as a sensor with another partitioner has it
	}
	return &kgo.Record{Topic: app.Names.Observations, Key: append([]byte(nil), r.Key...), Value: append([]byte(nil), r.Value...)}
}

// keyOf returns a key that leads to a partition.
func keyOf(p, partitions int32) []byte {
	for i := 0; ; i++ {
		if key := fmt.Appendf(nil, "to-%d", i); attribution.AttackerPartition(key, partitions) == p {
			return key
		}
	}
}

// firstError keeps the first error of many records.
type firstError struct {
	mu  sync.Mutex
	err error
}

func (f *firstError) promise(_ *kgo.Record, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *firstError) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// digest says what rows there are: it does not depend on their order. Of an
// attacker whose observations come by several partitions, or who shares an
// identity with others, the input does not say in which order they are seen, and
// so not when a row has last changed its state; all else of such a row is
// determined.
type digest struct {
	rows, ordered int
	sum           [sha256.Size]byte
}

func (d digest) String() string {
	return fmt.Sprintf("%d rows, %d of them with the time of their last change, digest %x", d.rows, d.ordered, d.sum[:8])
}

// rowsOf reads the state topic: the last value of each key, without the time at
// which it was written, nor, unless ordered has the identity, that of its last
// change.
func rowsOf(ctx context.Context, app *lab.App, ordered map[string]bool) (digest, error) {
	var d digest
	ends, err := kadm.NewClient(app.Client).ListEndOffsets(ctx, app.Names.State)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return d, err
	}
	cl, err := kgo.NewClient(append(app.Lab.Direct(), kgo.ConsumeTopics(app.Names.State), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		return d, err
	}
	defer cl.Close()
	left := make(map[int32]int64)
	ends.Each(func(e kadm.ListedOffset) {
		if e.Offset > 0 {
			left[e.Partition] = e.Offset
		}
	})
	rows := make(map[string][sha256.Size]byte)
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return d, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			switch {
			case r.Attrs.IsControl():
			case r.Value == nil:
				delete(rows, string(r.Key))
			default:
				row, decodeErr := schemas.DecodeStateRowJSON(r.Value)
				if decodeErr != nil && err == nil {
					err = fmt.Errorf("row %s: %w", r.Key, decodeErr)
				}
				row.Row.UpdatedAt = 0
				if !ordered[row.Identity] {
					row.Row.LastChangeTS = 0
				}
				rows[string(r.Key)] = sha256.Sum256(schemas.AppendStateRowJSON(nil, &row))
			}
			if r.Offset >= left[r.Partition]-1 {
				delete(left, r.Partition)
			}
		})
	}
	for key, value := range rows {
		if identity, _, _ := strings.Cut(key, "/"); ordered[identity] {
			d.ordered++
		}
		each := sha256.Sum256(append([]byte(key), value[:]...))
		for i := range d.sum {
			d.sum[i] ^= each[i]
		}
	}
	d.rows = len(rows)
	return d, err
}
