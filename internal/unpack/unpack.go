// Package unpack bounds what a compressed batch of a Kafka topic may become in
// memory. Whoever may write to a topic can send a batch of less than a megabyte that
// unpacks to a gigabyte, or to millions of empty records; every process that reads
// it would be killed in turn.
//
// Not here: what a reader does about such a batch. The client of a group steps over
// it (package processor); so does a scan (package broker), if it is told to.
package unpack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Default is how many bytes a batch may unpack to unless something else is set.
const Default = 128 << 20

// Options returns the options of a client that unpacks no batch to more than limit
// bytes, 1 <= limit < 2^31. Reading a larger one gives [kgo.ErrDecompressTooLarge],
// after refused was called, which may be nil. The pools are those of the client, if
// it has some. While a batch is unpacked about three times as much memory may be in
// use.
func Options(limit int, refused func(), pools ...kgo.Pool) ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.MaxDecompressBatchBytes(limit)}
	if len(pools) > 0 {
		opts = append(opts, kgo.WithPools(pools...))
	}
	// The client's own decompressor cannot be made with a limit by anybody but a
	// client (franz-go v1.22.2).
	maker, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("unpacking batches of at most %d bytes: %w", limit, err)
	}
	defer maker.Close()
	inner, ok := maker.OptValue(kgo.WithDecompressor).(kgo.Decompressor)
	if !ok {
		return nil, fmt.Errorf("unpacking batches of at most %d bytes: the client has no decompressor", limit)
	}
	return append(opts, kgo.WithDecompressor(&decompressor{inner, limit, refused})), nil
}

// Of returns the decompressor of a client, for readers that speak the fetch
// protocol themselves. It has the client's limit.
func Of(client *kgo.Client) kgo.Decompressor {
	if d, ok := client.OptValue(kgo.WithDecompressor).(kgo.Decompressor); ok {
		return d
	}
	return kgo.DefaultDecompressor()
}

// decompressor refuses what unpacks to more than limit bytes, the memory of its
// records included.
type decompressor struct {
	inner   kgo.Decompressor
	limit   int
	refused func() // may be nil
}

const (
	recordBytes = int(unsafe.Sizeof(kgo.Record{}) + unsafe.Sizeof(&kgo.Record{}))
	headerBytes = int(unsafe.Sizeof(kgo.RecordHeader{}))
	// maxGrowth bounds how much more memory than bytes a batch takes: the
	// smallest record has 7 bytes, the smallest header 2.
	maxGrowth = recordBytes/7 + headerBytes/2 + 1
)

// Decompress implements [kgo.Decompressor].
func (d *decompressor) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	out, err := d.inner.Decompress(src, codec)
	if err == nil && len(out) > d.limit/maxGrowth && memory(out) > d.limit {
		out, err = nil, kgo.ErrMaxDecompress
	}
	if d.refused != nil && errors.Is(err, kgo.ErrMaxDecompress) {
		d.refused()
	}
	return out, err
}

// memory returns how much memory the records of an unpacked batch take. What is not
// in the format of records counts as it is; the client says what is wrong with it.
func memory(batch []byte) int {
	total := len(batch)
	for len(batch) > 0 {
		size, n := binary.Varint(batch)
		if n <= 0 || size <= 0 || size > int64(len(batch)-n) {
			break
		}
		total += recordBytes + headerBytes*headers(batch[n:n+int(size)])
		batch = batch[n+int(size):]
	}
	return total
}

// headers returns how many headers a record has, 0 if it is broken.
func headers(record []byte) int {
	b := record[1:] // attributes
	for range 2 {   // timestamp, offset
		_, n := binary.Varint(b)
		if n <= 0 {
			return 0
		}
		b = b[n:]
	}
	for range 2 { // key, value
		size, n := binary.Varint(b)
		if n <= 0 || size > int64(len(b)-n) {
			return 0
		}
		b = b[n+int(max(size, 0)):]
	}
	count, n := binary.Varint(b)
	if n <= 0 || count < 0 {
		return 0
	}
	return int(min(count, int64(len(b)-n)/2))
}
