package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Every record and command begins with a byte that names its version. Numbers
// are varints, signed ones zigzag; doubles are 8 bytes, little endian; a text
// is its length and its bytes.

var errShort = errors.New("truncated")

// reader takes fields off a record. The first fault sticks: fields read after
// it are zero, and err says what it was.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail(errShort)
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads how many items of at least size bytes follow. A hostile number
// is refused before anything is allocated for it.
func (r *reader) count(size int) int {
	v := r.uvarint()
	if v > uint64(len(r.b)/size) {
		r.fail(fmt.Errorf("%d items of %d bytes in %d", v, size, len(r.b)))
		return 0
	}
	return int(v)
}

func (r *reader) fixed64() uint64 {
	if len(r.b) < 8 {
		r.fail(errShort)
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) float() float64 { return math.Float64frombits(r.fixed64()) }

// bytes reads a text; the slice is part of the record.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail(errShort)
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) text() string { return string(r.bytes()) }

func (r *reader) version(known byte) {
	if v := r.byte(); r.err == nil && v != known {
		r.fail(fmt.Errorf("unknown version %d", v))
	}
}

// whole reports whether the record was read to its end without a fault.
func (r *reader) whole() bool { return r.err == nil && len(r.b) == 0 }

// end reports the first fault, or bytes that should not be there.
func (r *reader) end(what string) error {
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("%d bytes too many", len(r.b))
	}
	if r.err != nil {
		return fmt.Errorf("%s: %w", what, r.err)
	}
	return nil
}

func appendFixed64(dst []byte, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(dst, v)
}

func appendFloat(dst []byte, f float64) []byte { return appendFixed64(dst, math.Float64bits(f)) }

func appendBytes[T ~string | ~[]byte](dst []byte, b T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func appendList(dst []byte, list [][]byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, b := range list {
		dst = appendBytes(dst, b)
	}
	return dst
}

func (r *reader) list() (list [][]byte) {
	for range r.count(1) {
		list = append(list, r.bytes())
	}
	return list
}
