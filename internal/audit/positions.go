package audit

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/broker"
	"handprint/processor"
)

// ReadPositions returns how far the tasks of an application have read, by what the
// end of their changelog says. A task that has written nothing is left out.
func ReadPositions(ctx context.Context, cl *kgo.Client, changelog string) (map[int32]processor.Positions, error) {
	admin := kadm.NewClient(cl)
	starts, err := admin.ListStartOffsets(ctx, changelog)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking where %s begins: %w", changelog, err)
	}
	ends, err := admin.ListCommittedOffsets(ctx, changelog)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking where %s ends: %w", changelog, err)
	}
	found := make(map[int32]processor.Positions)
	for p, end := range ends[changelog] {
		start, _ := starts.Lookup(changelog, p)
		value, err := newestPositions(ctx, cl, changelog, p, start.Offset, end.Offset)
		if err == nil && value != nil {
			found[p], err = processor.DecodePositions(value)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the end of %s[%d]: %w", changelog, p, err)
		}
	}
	return found, nil
}

// newestPositions returns the newest record of positions, nil if there is none.
func newestPositions(ctx context.Context, cl *kgo.Client, changelog string, p int32, start, end int64) (value []byte, err error) {
	const near = 1000 // a transaction or two
	for window := int64(near); ; window *= 10 {
		from := max(start, end-window)
		err := broker.ScanRange(ctx, cl, func(r *kgo.Record) error {
			if processor.IsPositions(r.Key) {
				value = r.Value
			}
			return nil
		}, changelog, p, from, end)
		if err != nil || value != nil || from == start {
			return value, err
		}
	}
}
