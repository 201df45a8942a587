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
	// Note is what else the caller wants to know of what the partition holds. The
	// store keeps it.
	Note string
	// At is when the checkpoint was written, as the writer's clock had it, to
	// the nanosecond; from year 1678 to 2261, or the zero time.
	At time.Time
}

const checkpointVersion = 1

var errCheckpointFormat = errors.New("not a checkpoint")

// appendCheckpoint appends the binary form of c. All integers are big endian:
//
//	+---------+--------+------------------------------+----------+----------+------+
//	| version | Offset | At, ns since 1970, 0 if zero | length   | Identity | Note |
//	| 1 byte  | 8      | 8                            | 2        |          | rest |
//	+---------+--------+------------------------------+----------+----------+------+
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
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.Identity)))
	b = append(b, c.Identity...)
	return append(b, c.Note...), nil
}

// valid returns why c cannot be written.
func (c Checkpoint) valid() error {
	if c.Offset < 0 {
		return fmt.Errorf("checkpoint with the negative offset %d", c.Offset)
	}
	if y := c.At.UTC().Year(); !c.At.IsZero() && (y < 1678 || y > 2261) {
		return fmt.Errorf("checkpoint with a time in the year %d", y)
	}
	if len(c.Identity) > math.MaxUint16 {
		return fmt.Errorf("checkpoint with an identity of %d bytes", len(c.Identity))
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
	if len(b) < 19 {
		return Checkpoint{}, fmt.Errorf("%w: %d bytes", errCheckpointFormat, len(b))
	}
	offset := binary.BigEndian.Uint64(b[1:])
	if offset > math.MaxInt64 {
		return Checkpoint{}, fmt.Errorf("%w: negative offset", errCheckpointFormat)
	}
	length, rest := int(binary.BigEndian.Uint16(b[17:])), b[19:]
	if length > len(rest) {
		return Checkpoint{}, fmt.Errorf("%w of this version, but of one before 0.1.0: delete the state directory, and its store is made anew from the changelog", errCheckpointFormat)
	}
	c := Checkpoint{Offset: int64(offset), Identity: string(rest[:length]), Note: string(rest[length:])}
	if at := int64(binary.BigEndian.Uint64(b[9:])); at != 0 {
		c.At = time.Unix(0, at).UTC()
	}
	return c, nil
}
