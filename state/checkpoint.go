package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// Checkpoint says which part of a changelog a partition holds.
type Checkpoint struct {
	// Offset is the next changelog offset to read: everything below it is in
	// the store. Never negative.
	Offset int64
	// Identity names the changelog that Offset belongs to, for instance by its
	// topic id. The store keeps it; the caller compares it.
	Identity string
	// At is when the checkpoint was written, as the writer's clock had it, to
	// the nanosecond; from year 1678 to 2261, or the zero time.
	At time.Time
}

const checkpointVersion = 1

var errCheckpointFormat = errors.New("not a checkpoint")

// appendCheckpoint appends the binary form of c. All integers are big endian:
//
//	+---------+--------+------------------------------+----------+
//	| version | Offset | At, ns since 1970, 0 if zero | Identity |
//	| 1 byte  | 8      | 8                            | the rest |
//	+---------+--------+------------------------------+----------+
//
// A reader refuses versions it does not know.
func appendCheckpoint(b []byte, c Checkpoint) ([]byte, error) {
	if err := c.valid(); err != nil {
		return b, err
	}
	var at int64
	if !c.At.IsZero() {
		at = c.At.UnixNano()
	}
	b = append(b, checkpointVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Offset))
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	return append(b, c.Identity...), nil
}

// valid returns why c cannot be written.
func (c Checkpoint) valid() error {
	if c.Offset < 0 {
		return fmt.Errorf("checkpoint with the negative offset %d", c.Offset)
	}
	if y := c.At.UTC().Year(); !c.At.IsZero() && (y < 1678 || y > 2261) {
		return fmt.Errorf("checkpoint with a time in the year %d", y)
	}
	return nil
}

func decodeCheckpoint(b []byte) (Checkpoint, error) {
	if len(b) == 0 {
		return Checkpoint{}, fmt.Errorf("%w: empty", errCheckpointFormat)
	}
	if b[0] != checkpointVersion {
		return Checkpoint{}, fmt.Errorf("%w: unknown version %d", errCheckpointFormat, b[0])
	}
	if len(b) < 17 {
		return Checkpoint{}, fmt.Errorf("%w: %d bytes", errCheckpointFormat, len(b))
	}
	offset := binary.BigEndian.Uint64(b[1:])
	if offset > math.MaxInt64 {
		return Checkpoint{}, fmt.Errorf("%w: negative offset", errCheckpointFormat)
	}
	c := Checkpoint{Offset: int64(offset), Identity: string(b[17:])}
	if at := int64(binary.BigEndian.Uint64(b[9:])); at != 0 {
		c.At = time.Unix(0, at).UTC()
	}
	return c, nil
}
