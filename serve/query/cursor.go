package query

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"hash/fnv"
	"math"
)

// cursor is where a page ended: the last key, and which question it belongs to. It
// names no place in memory, so any replica takes it. Its checksum is no secret: it keeps
// one that was cut or mistyped from being taken for another place.
type cursor struct {
	number float64
	text   string
}

const cursorVersion = 1

// encodeCursor returns a cursor as clients see it. question is what may not change
// from page to page.
func encodeCursor(question string, c cursor) string {
	b := []byte{cursorVersion}
	b = binary.BigEndian.AppendUint64(b, digest(question))
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(c.number))
	b = append(b, c.text...)
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)))
}

// decodeCursor reads a cursor of the same question; nil for none.
func decodeCursor(question, s string) (*cursor, error) {
	if s == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < 21 || b[0] != cursorVersion || binary.BigEndian.Uint32(b[len(b)-4:]) != crc32.ChecksumIEEE(b[:len(b)-4]) {
		return nil, problem(CursorInvalid, "The cursor is damaged, or of another version. Begin with the first page.")
	}
	if binary.BigEndian.Uint64(b[1:]) != digest(question) {
		return nil, problem(CursorMismatch, "The cursor belongs to a list with other filters or another order. Begin with the first page.")
	}
	number := math.Float64frombits(binary.BigEndian.Uint64(b[9:]))
	if math.IsNaN(number) {
		return nil, problem(CursorInvalid, "The cursor is damaged. Begin with the first page.")
	}
	return &cursor{number: number, text: string(b[17 : len(b)-4])}, nil
}

func digest(question string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(question))
	return h.Sum64()
}
