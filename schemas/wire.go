package schemas

import (
	"encoding/binary"
	"fmt"
)

// An Avro record begins with the byte 0 and the id of its writer's schema, four
// bytes, big endian: the wire format of Confluent's registry, which others have
// taken over. No JSON begins with the byte 0.
const (
	wireMagic  = 0
	wireHeader = 5
)

// IsAvro reports whether a record claims to be Avro.
func IsAvro(record []byte) bool { return len(record) > 0 && record[0] == wireMagic }

// SchemaID returns the id of the schema that an Avro record was written by. It
// reports false if the record is not Avro, or too short to have one.
func SchemaID(record []byte) (id uint32, ok bool) {
	if !IsAvro(record) || len(record) < wireHeader {
		return 0, false
	}
	return binary.BigEndian.Uint32(record[1:]), true
}

// AppendHeader appends what an Avro record begins with.
func AppendHeader(dst []byte, id uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, wireMagic), id)
}

// sized refuses a record of more than limit bytes, or DefaultMaxBytes if limit
// is 0.
func sized(record []byte, limit int) error {
	if limit == 0 {
		limit = DefaultMaxBytes
	}
	if len(record) > limit {
		return bad(fmt.Sprintf("too large: %d bytes, at most %d are taken", len(record), limit))
	}
	return nil
}
