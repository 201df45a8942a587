package avro

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// AppendLong appends an int or a long: zigzag, then seven bits a byte.
func AppendLong(dst []byte, n int64) []byte {
	return binary.AppendUvarint(dst, uint64(n)<<1^uint64(n>>63))
}

// AppendDouble appends a double: eight bytes, little endian.
func AppendDouble(dst []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
}

// AppendText appends a string, which must be UTF-8, or bytes: the length, then
// the bytes.
func AppendText[S ~string | ~[]byte](dst []byte, text S) []byte {
	return append(AppendLong(dst, int64(len(text))), text...)
}

// AppendBool appends a boolean.
func AppendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// AppendTexts appends an array of strings as one block.
func AppendTexts(dst []byte, list []string) []byte {
	if len(list) > 0 {
		dst = AppendLong(dst, int64(len(list)))
		for _, text := range list {
			dst = AppendText(dst, text)
		}
	}
	return AppendLong(dst, 0)
}

var (
	errTruncated = errors.New("truncated")
	errTooLong   = errors.New("a length beyond the record's end")
	errNegative  = errors.New("a negative length")
	errOverflow  = errors.New("a number of more than 64 bits")
	errInt       = errors.New("an int of more than 32 bits")
	errBoolean   = errors.New("a boolean that is neither 0 nor 1")
	errBranch    = errors.New("a branch that the union does not have")
	errSymbol    = errors.New("a symbol that the enum does not have")
	errDeep      = errors.New("nested too deep")
	errRecords   = fmt.Errorf("more than %d records in a list", maxRecords)
	errWork      = errors.New("more values than a record of its size may have")
	errUTF8      = errors.New("not UTF-8")
	errBlock     = errors.New("a block of a wrong size")
)

// input is the rest of a record.
type input struct {
	b    []byte
	pos  int
	work int // values skipped
}

func (in *input) left() int { return len(in.b) - in.pos }

func (in *input) long() (int64, error) {
	var u uint64
	for shift := uint(0); ; shift += 7 {
		if in.pos == len(in.b) {
			return 0, errTruncated
		}
		c := in.b[in.pos]
		in.pos++
		if shift == 63 && c > 1 {
			return 0, errOverflow
		}
		u |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return int64(u>>1) ^ -int64(u&1), nil
		}
	}
}

func (in *input) int() (int64, error) {
	n, err := in.long()
	if err == nil && n != int64(int32(n)) {
		err = errInt
	}
	return n, err
}

func (in *input) take(n int64) ([]byte, error) {
	switch {
	case n < 0:
		return nil, errNegative
	case n > int64(in.left()):
		return nil, errTooLong
	}
	b := in.b[in.pos : in.pos+int(n) : in.pos+int(n)]
	in.pos += int(n)
	return b, nil
}

func (in *input) text() ([]byte, error) {
	n, err := in.long()
	if err != nil {
		return nil, err
	}
	return in.take(n)
}

func (in *input) boolean() (bool, error) {
	if in.left() == 0 {
		return false, errTruncated
	}
	c := in.b[in.pos]
	if c > 1 {
		return false, errBoolean
	}
	in.pos++
	return c == 1, nil
}

func (in *input) float() (float64, error) {
	if in.left() < 4 {
		return 0, errTruncated
	}
	f := math.Float32frombits(binary.LittleEndian.Uint32(in.b[in.pos:]))
	in.pos += 4
	return float64(f), nil
}

func (in *input) double() (float64, error) {
	if in.left() < 8 {
		return 0, errTruncated
	}
	f := math.Float64frombits(binary.LittleEndian.Uint64(in.b[in.pos:]))
	in.pos += 8
	return f, nil
}

// block reads how many items come next; 0 ends an array or a map. An item of a
// type that takes no bytes at all counts as one byte, so that no block makes
// more work than the record is long.
func (in *input) block() (items int64, err error) {
	items, err = in.long()
	if err != nil {
		return 0, err
	}
	if items < 0 {
		if items == math.MinInt64 {
			return 0, errTooLong
		}
		items = -items
		size, err := in.long()
		switch {
		case err != nil:
			return 0, err
		case size < 0 || size > int64(in.left()):
			return 0, errBlock
		}
	}
	if items > int64(in.left()) {
		return 0, errTooLong
	}
	return items, nil
}
