package schemas

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/unpack"
)

// The headers that a dead letter carries besides those of its original. All
// values are text; numbers are decimal.
const (
	HeaderReason          = "handprint.reason"           // one sentence, for people
	HeaderStage           = "handprint.stage"            // where it was found bad: "decode", "apply", ...
	HeaderSourceTopic     = "handprint.source.topic"     // of the original
	HeaderSourcePartition = "handprint.source.partition" // of the original
	HeaderSourceOffset    = "handprint.source.offset"    // of the original
	HeaderSourceTimestamp = "handprint.source.timestamp" // of the original, Unix milliseconds
	// HeaderOriginalSize is there only where the original is too large for any
	// topic to take again: the bytes of its value. The dead letter has
	// the beginning.
	HeaderOriginalSize = "handprint.original.size"
	// HeaderSourceLastOffset and HeaderSourceRecords are there only where the
	// original is a whole batch, which nobody has unpacked: its last offset, and
	// how many records its header says it has. HeaderSourceOffset is its first
	// offset, HeaderOriginalSize its size as it was sent. The dead letter has
	// neither key nor value.
	HeaderSourceLastOffset = "handprint.source.last_offset"
	HeaderSourceRecords    = "handprint.source.records"
)

// maxReason bounds the reason in a header: an error from elsewhere may carry
// any text.
const maxReason = 1024

// DeadLetterHeaders returns the headers of the dead letter for original: the
// original's own first, in their order, then why and where it failed and where
// it came from. A record that failed before, was sent again and failed again
// has two sets: the last one counts. A reason is cut at 1024 bytes.
func DeadLetterHeaders(original *kgo.Record, stage, reason string) []kgo.RecordHeader {
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	headers := make([]kgo.RecordHeader, 0, len(original.Headers)+6)
	for _, h := range original.Headers {
		headers = append(headers, kgo.RecordHeader{Key: strings.Clone(h.Key), Value: bytes.Clone(h.Value)})
	}
	return append(headers,
		kgo.RecordHeader{Key: HeaderReason, Value: []byte(reason)},
		kgo.RecordHeader{Key: HeaderStage, Value: []byte(stage)},
		kgo.RecordHeader{Key: HeaderSourceTopic, Value: []byte(original.Topic)},
		kgo.RecordHeader{Key: HeaderSourcePartition, Value: decimal(int64(original.Partition))},
		kgo.RecordHeader{Key: HeaderSourceOffset, Value: decimal(original.Offset)},
		kgo.RecordHeader{Key: HeaderSourceTimestamp, Value: decimal(original.Timestamp.UnixMilli())},
	)
}

// BatchDeadLetterHeaders returns the headers of the dead letter for a batch of a
// topic that was not unpacked.
func BatchDeadLetterHeaders(b unpack.Batch, stage, reason string) []kgo.RecordHeader {
	first := kgo.Record{Topic: b.Topic, Partition: b.Partition, Offset: b.First, Timestamp: b.Timestamp}
	return append(DeadLetterHeaders(&first, stage, reason),
		kgo.RecordHeader{Key: HeaderSourceLastOffset, Value: decimal(b.Last)},
		kgo.RecordHeader{Key: HeaderSourceRecords, Value: decimal(b.Records)},
		kgo.RecordHeader{Key: HeaderOriginalSize, Value: decimal(int64(b.Bytes))},
	)
}

func decimal(n int64) []byte { return strconv.AppendInt(nil, n, 10) }

// Header returns the value of the last header called key, and whether there is
// one.
func Header(headers []kgo.RecordHeader, key string) (value []byte, ok bool) {
	for i := len(headers) - 1; i >= 0; i-- {
		if headers[i].Key == key {
			return headers[i].Value, true
		}
	}
	return nil, false
}
