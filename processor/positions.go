package processor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// PositionsKey is the key of the changelog record that says how far a task has
// read its input. Every transaction of a task writes one, behind all other changes
// of the task. It is not in the handler's part of the store, and a handler cannot
// write it. Whoever reads a changelog skips it, or decodes it by
// [DecodePositions].
const PositionsKey = "\x00positions"

// IsPositions reports whether a changelog record with this key says how far its
// task has read.
func IsPositions(key []byte) bool {
	return len(key) == len(PositionsKey) && key[0] == 0 && string(key) == PositionsKey
}

// Positions is what a task's state says about its own place: how far the task has
// read its input, and which history of the changelog the state belongs to.
type Positions struct {
	// Nonce differs from record to record, so that two records that say the same
	// are not taken for one.
	Nonce uint64
	// Reset is the Unix time in milliseconds of the last "handprint reset"; 0 if
	// there was none. A state of before a reset is void.
	Reset int64
	// Terms are the times that the task was started and has written since, the
	// newest last, at most 12. OlderTerms is how many older ones are left out.
	Terms      []Term
	OlderTerms uint64
	// Inputs are the partitions that the task reads, all of them with the task's
	// number.
	Inputs []Position
}

// Term is the time from one start of a task to the next. Offsets of the changelog
// below Start were written before it.
type Term struct {
	ID    uint64 // drawn at random
	Start int64
}

// Position is how far a task has read its partition of a topic.
type Position struct {
	Topic string
	ID    [16]byte // of the topic; zero if the brokers have no topic ids
	First int64    // the first offset that the task was to read, at least 0
	Next  int64    // the next offset to read, at least 0
	// Epoch is the leader epoch of the last record that was read; -1 if none was.
	Epoch int32
	// Lost are the offsets that were deleted before they were read and that the task
	// has stepped over: the newest ranges, in order, at most 32. OlderLost is how many
	// offsets the ranges had that are left out.
	Lost      []Range
	OlderLost uint64
	// Earlier is what the task had read of the partition before the topic was made
	// anew, or the log was cut behind that: the newest last, at most 4.
	Earlier []Earlier
}

// Earlier is how far a task had read a partition that is no longer there as it was.
type Earlier struct {
	ID   [16]byte // of the topic: another one if it was made anew, the same one if the log was cut
	Next int64    // the next offset that was to be read of it, above 0
}

// had notes in p what was read of the partition before it was made anew or cut.
func (p *Position) had(before *Position) {
	p.Earlier = before.Earlier
	if before.Next == 0 {
		return // nothing
	}
	p.Earlier = append(slices.Clone(p.Earlier), Earlier{before.ID, before.Next})
	p.Earlier = p.Earlier[max(0, len(p.Earlier)-maxEarlier):]
}

// Range is the offsets from From on, up to and without To.
type Range struct{ From, To int64 }

// LostOffsets returns how many offsets were deleted before they were read, all in all.
func (p *Position) LostOffsets() int64 {
	n := int64(p.OlderLost)
	for _, r := range p.Lost {
		n += r.To - r.From
	}
	return n
}

// lose returns p with another range stepped over. It shares nothing with p.
func (p Position) lose(r Range) Position {
	lost := slices.Clone(p.Lost)
	if n := len(lost); n > 0 && lost[n-1].To == r.From {
		lost[n-1].To = r.To
	} else {
		lost = append(lost, r)
	}
	for ; len(lost) > maxLost; lost = lost[1:] {
		p.OlderLost += uint64(lost[0].To - lost[0].From)
	}
	p.Lost = lost
	return p
}

const (
	positionsVersion = 1
	maxTerms         = 12
	maxLost          = 32
	maxEarlier       = 4
	// maxInputs bounds what a decoder believes.
	maxInputs = 1 << 10
)

var errPositionsFormat = errors.New("not a record of positions")

// AppendPositions appends the binary form of p, which [DecodePositions] reads.
//
//	+---------+-------------+---------+--------+-------+-------------------------+
//	| version | nonce       | reset   | older  | terms | a term: id, 8 bytes;    |
//	| 1 byte  | 8 bytes, BE | uvarint | uvarint|uvarint| start, uvarint          |
//	+---------+-------------+---------+--------+-------+-------------------------+
//	| inputs  | an input: length of the name, uvarint; name; topic id, 16 bytes; |
//	| uvarint | first, uvarint; next, uvarint; leader epoch, varint; offsets     |
//	|         | lost before the ranges, uvarint; ranges, uvarint; each: from,    |
//	|         | uvarint; length, uvarint; earlier ones, uvarint; each: topic id, |
//	|         | 16 bytes; next, uvarint                                          |
//	+---------+------------------------------------------------------------------+
func AppendPositions(b []byte, p *Positions) []byte {
	b = append(b, positionsVersion)
	b = binary.BigEndian.AppendUint64(b, p.Nonce)
	b = binary.AppendUvarint(b, uint64(max(p.Reset, 0)))
	b = binary.AppendUvarint(b, p.OlderTerms)
	b = binary.AppendUvarint(b, uint64(len(p.Terms)))
	for _, t := range p.Terms {
		b = binary.BigEndian.AppendUint64(b, t.ID)
		b = binary.AppendUvarint(b, uint64(max(t.Start, 0)))
	}
	b = binary.AppendUvarint(b, uint64(len(p.Inputs)))
	for i := range p.Inputs {
		in := &p.Inputs[i]
		b = binary.AppendUvarint(b, uint64(len(in.Topic)))
		b = append(b, in.Topic...)
		b = append(b, in.ID[:]...)
		b = binary.AppendUvarint(b, uint64(max(in.First, 0)))
		b = binary.AppendUvarint(b, uint64(max(in.Next, 0)))
		b = binary.AppendVarint(b, int64(in.Epoch))
		b = binary.AppendUvarint(b, in.OlderLost)
		b = binary.AppendUvarint(b, uint64(len(in.Lost)))
		for _, r := range in.Lost {
			b = binary.AppendUvarint(b, uint64(r.From))
			b = binary.AppendUvarint(b, uint64(r.To-r.From))
		}
		b = binary.AppendUvarint(b, uint64(len(in.Earlier)))
		for _, e := range in.Earlier {
			b = append(b, e.ID[:]...)
			b = binary.AppendUvarint(b, uint64(max(e.Next, 0)))
		}
	}
	return b
}

// DecodePositions is the inverse of [AppendPositions]. It refuses versions that it
// does not know.
func DecodePositions(value []byte) (Positions, error) {
	var p Positions
	if len(value) == 0 {
		return p, fmt.Errorf("%w: empty", errPositionsFormat)
	}
	if value[0] != positionsVersion {
		return p, fmt.Errorf("%w: unknown version %d", errPositionsFormat, value[0])
	}
	d := positionsReader{rest: value[1:]}
	p.Nonce = d.fixed64()
	p.Reset = d.offset()
	p.OlderTerms = d.number()
	for range d.count(maxTerms) {
		p.Terms = append(p.Terms, Term{ID: d.fixed64(), Start: d.offset()})
	}
	for range d.count(maxInputs) {
		var in Position
		in.Topic = string(d.bytes(d.number()))
		copy(in.ID[:], d.bytes(uint64(len(in.ID))))
		in.First = d.offset()
		in.Next = d.offset()
		in.Epoch = d.epoch()
		in.OlderLost = d.number()
		for range d.count(maxLost) {
			r := Range{From: d.offset()}
			if r.To = r.From + d.offset(); r.To < r.From {
				d.broken = true
			}
			in.Lost = append(in.Lost, r)
		}
		for range d.count(maxEarlier) {
			var e Earlier
			copy(e.ID[:], d.bytes(uint64(len(e.ID))))
			e.Next = d.offset()
			in.Earlier = append(in.Earlier, e)
		}
		p.Inputs = append(p.Inputs, in)
	}
	if d.broken || len(d.rest) > 0 {
		return Positions{}, fmt.Errorf("%w: %d bytes", errPositionsFormat, len(value))
	}
	return p, nil
}

// of returns the position in a topic, nil if there is none.
func (p *Positions) of(topic string) *Position {
	for i := range p.Inputs {
		if p.Inputs[i].Topic == topic {
			return &p.Inputs[i]
		}
	}
	return nil
}

// ResetRecord returns the record that begins a task's changelog anew. Stores of
// before the reset are void, and the task begins to read at the positions given;
// at the start of topics that have none. Its Reset must be set.
func ResetRecord(changelog string, task int32, p *Positions) *kgo.Record {
	return &kgo.Record{Topic: changelog, Partition: task, Key: []byte(PositionsKey), Value: AppendPositions(nil, p)}
}

// positionsReader takes a record of positions apart. Once it is broken it returns
// zeros.
type positionsReader struct {
	rest   []byte
	broken bool
}

func (d *positionsReader) bytes(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.broken, d.rest = true, nil
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *positionsReader) fixed64() uint64 {
	if b := d.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *positionsReader) number() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.broken, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *positionsReader) offset() int64 {
	v := d.number()
	if v > 1<<63-1 {
		d.broken, v = true, 0
	}
	return int64(v)
}

func (d *positionsReader) epoch() int32 {
	v, n := binary.Varint(d.rest)
	if n <= 0 || v < -1 || v > 1<<31-1 {
		d.broken, d.rest = true, nil
		return -1
	}
	d.rest = d.rest[n:]
	return int32(v)
}

func (d *positionsReader) count(limit uint64) int {
	n := d.number()
	if n > limit {
		d.broken, d.rest = true, nil
		return 0
	}
	return int(n)
}
