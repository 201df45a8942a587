package schemas

import (
	"math"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/schemas/avro"
)

// The headers by which a dead letter from a file says where its line stood. A
// line of a topic is located as any record is ([DeadLetterHeaders]).
const (
	HeaderFile = "handprint.source.file"
	HeaderLine = "handprint.source.line" // counted from 1
	// HeaderLength is the length in bytes of a line that the dead letter does not
	// hold whole; other dead letters have no such header.
	HeaderLength = "handprint.source.length"
	// HeaderDigest is the SHA-256, in hexadecimal digits, of a line that may
	// hold what must not leave its sensor's adapter. Such a dead letter has no
	// original: its value is empty, or shows what may be told of the line.
	HeaderDigest = "handprint.source.digest"
)

// DeadLetterValue returns the value of a dead letter: in JSON, which has no
// schema for it, the original's value itself; in Avro a record that holds it,
// with what the dead letter's headers say of it.
func (f *Format) DeadLetterValue(original []byte, headers []kgo.RecordHeader) []byte {
	dst, ok := f.header(nil, DeadLetterContract)
	if !ok {
		return original
	}
	text := func(key string) string {
		v, _ := Header(headers, key)
		return valid(string(v))
	}
	number := func(key string, least, most int64) {
		v, ok := Header(headers, key)
		n, err := strconv.ParseInt(string(v), 10, 64)
		if !ok || err != nil || n < least || n > most {
			dst = append(dst, 0)
			return
		}
		dst = avro.AppendLong(append(dst, 2), n)
	}
	dst = avro.AppendText(dst, text(HeaderReason))
	dst = avro.AppendText(dst, text(HeaderStage))
	dst = appendOptional(dst, text(HeaderSourceTopic))
	number(HeaderSourcePartition, math.MinInt32, math.MaxInt32)
	number(HeaderSourceOffset, math.MinInt64, math.MaxInt64)
	number(HeaderSourceTimestamp, math.MinInt64, math.MaxInt64)
	dst = appendOptional(dst, text(HeaderFile))
	number(HeaderLine, math.MinInt64, math.MaxInt64)
	size := HeaderOriginalSize
	if _, ok := Header(headers, size); !ok {
		size = HeaderLength
	}
	number(size, math.MinInt64, math.MaxInt64)
	if original == nil {
		return append(dst, 0)
	}
	return avro.AppendText(append(dst, 2), original)
}

// Original returns the value of the record that a dead letter is about: what it
// holds if it was written by a schema that reads as that of dead letters, or
// else its own value. The schema must be known.
func (w *Writers) Original(record []byte) []byte {
	if !IsAvro(record) {
		return record
	}
	slots, err := w.avroRecord(record, DeadLetterContract, nil)
	if err != nil {
		return record // the original was Avro itself, or nothing at all
	}
	return slots[len(slots)-1].Raw
}
