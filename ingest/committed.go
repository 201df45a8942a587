package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// A checkpoint is committed as an offset of a group: the offset is From, which
// is where a reader that knows nothing of checkpoints would rightly begin, and
// the metadata is
//
//	handprint 1 <emit> <next>
//
// where 1 is the version.
const checkpointFormat = "handprint 1 %d %d"

func encodeCheckpoint(c Checkpoint) (offset int64, metadata string) {
	return c.From, fmt.Sprintf(checkpointFormat, c.Emit, c.Next)
}

// decodeCheckpoint reads what a group has committed. Metadata that is not of
// this format gives a checkpoint of the offset alone: everything from there on
// is new.
func decodeCheckpoint(offset int64, metadata string) Checkpoint {
	c := Checkpoint{From: offset}
	if n, err := fmt.Sscanf(metadata, checkpointFormat, &c.Emit, &c.Next); n != 2 || err != nil || c.Emit < c.From || c.Next < c.Emit {
		return Checkpoint{From: offset, Emit: offset, Next: offset}
	}
	return c
}

// fetchCheckpoints returns the checkpoint of each partition, zero where there
// is none.
func (r *topicRun) fetchCheckpoints(ctx context.Context, partitions int) ([]Checkpoint, error) {
	checkpoints := make([]Checkpoint, partitions)
	committed, err := r.admin.FetchOffsetsForTopics(ctx, r.Group, r.Name)
	if err == nil {
		err = committed.Error()
	}
	if errors.Is(err, kerr.GroupIDNotFound) {
		return checkpoints, nil // nothing has ever been committed
	}
	if err != nil {
		return nil, fmt.Errorf("fetching the offsets of group %s: %w", r.Group, err)
	}
	for p := range checkpoints {
		if o, ok := committed.Lookup(r.Name, int32(p)); ok && o.At >= 0 {
			checkpoints[p] = decodeCheckpoint(o.At, o.Metadata)
		}
	}
	return checkpoints, nil
}

// commit waits until everything sent is acknowledged, and commits where a
// later run goes on.
func (r *topicRun) commit(ctx context.Context) error {
	r.lastTry = r.intake.now()
	checkpoints := r.positioned.Checkpoints()
	if slices.Equal(checkpoints, r.committed) {
		return nil
	}
	if err := r.sink.Flush(ctx); err != nil {
		return err
	}
	offsets := kadm.Offsets{}
	for p, c := range checkpoints {
		at, metadata := encodeCheckpoint(c)
		offsets.Add(kadm.Offset{Topic: r.Name, Partition: int32(p), At: at, LeaderEpoch: -1, Metadata: metadata})
	}
	responses, err := r.admin.CommitOffsets(ctx, r.Group, offsets)
	if err == nil {
		err = responses.Error()
	}
	if err != nil {
		return fmt.Errorf("committing the offsets of group %s: %w", r.Group, err)
	}
	r.committed = checkpoints
	return nil
}
