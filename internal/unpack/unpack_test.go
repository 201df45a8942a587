package unpack_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/unpack"
)

// record returns a record of the wire format with a value and headers of no text.
func record(value []byte, headers int) []byte {
	body := []byte{0, 0, 0, 1} // attributes, timestamp, offset, no key
	body = binary.AppendVarint(body, int64(len(value)))
	body = append(body, value...)
	body = binary.AppendVarint(body, int64(headers))
	for range headers {
		body = append(body, 0, 1) // no key, no value
	}
	return append(binary.AppendVarint(nil, int64(len(body))), body...)
}

func TestBatchesThatUnpackToTooMuch(t *testing.T) {
	const limit = 1 << 20
	codecs := map[string]kgo.CompressionCodec{
		"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		compressor, err := kgo.DefaultCompressor(codec)
		if err != nil {
			t.Fatal(err)
		}
		opts, err := unpack.Options(limit, nil)
		if err != nil {
			t.Fatal(err)
		}
		client, err := kgo.NewClient(opts...)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		d := unpack.Of(client)
		for _, test := range []struct {
			what  string
			batch []byte
			fits  bool
		}{
			{"one record", record(make([]byte, limit/2), 0), true},
			{"a thousand records", bytes.Repeat(record(make([]byte, 100), 2), 1000), true},
			{"a record of zeros", record(make([]byte, limit), 0), false},
			{"many empty records", bytes.Repeat(record(nil, 0), limit/20), false},
			{"many empty headers", record(nil, limit/20), false},
			{"no records", bytes.Repeat([]byte{0xff}, limit/2), true},
			{"a record without a body", append(bytes.Repeat(record(nil, 0), 1000), 2, 0), true},
		} {
			var packed bytes.Buffer
			src, kind := compressor.Compress(&packed, test.batch)
			got, err := d.Decompress(src, kind)
			if test.fits && (err != nil || !bytes.Equal(got, test.batch)) {
				t.Errorf("%s, %s: %d bytes and %v, want all of it", name, test.what, len(got), err)
			}
			if !test.fits && !errors.Is(err, kgo.ErrMaxDecompress) {
				t.Errorf("%s, %s: %d bytes and %v, want %v", name, test.what, len(got), err, kgo.ErrMaxDecompress)
			}
		}
	}
}

func FuzzDecompress(f *testing.F) {
	opts, err := unpack.Options(1<<10, nil)
	if err != nil {
		f.Fatal(err)
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		f.Fatal(err)
	}
	defer client.Close()
	compressor, err := kgo.DefaultCompressor(kgo.SnappyCompression())
	if err != nil {
		f.Fatal(err)
	}
	d := unpack.Of(client)
	f.Add(record([]byte("value"), 3))
	f.Add(bytes.Repeat(record(nil, 0), 100))
	f.Add([]byte{2, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var packed bytes.Buffer
		src, codec := compressor.Compress(&packed, b)
		got, err := d.Decompress(src, codec)
		if err == nil && !bytes.Equal(got, b) {
			t.Fatalf("%x became %x", b, got)
		}
	})
}
