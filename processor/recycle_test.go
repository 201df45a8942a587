package processor

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// What is free is handed out to one at a time, has the room that was asked for and
// not much more, and does not grow beyond its bounds.
func TestFreeList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := freeList[byte]{maxBytes: 10_000}
		var out [][]byte
		t.Repeat(map[string]func(*rapid.T){
			"get": func(t *rapid.T) {
				n := rapid.IntRange(0, 3000).Draw(t, "n")
				s := f.get(n)
				if cap(s) < n || len(s) != 0 || n == 0 && s == nil && len(f.list) > 0 {
					t.Fatalf("%d of %d bytes for %d", len(s), cap(s), n)
				}
				if s = s[:cap(s)]; len(s) == 0 {
					return
				}
				for _, o := range out {
					if &o[0] == &s[0] {
						t.Fatal("handed out twice")
					}
				}
				out = append(out, s)
			},
			"put": func(t *rapid.T) {
				if len(out) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(out)-1).Draw(t, "which")
				f.put(out[i])
				out = slices.Delete(out, i, i+1)
			},
			"": func(t *rapid.T) {
				sum := 0
				for _, s := range f.list {
					sum += cap(s)
				}
				for _, s := range f.list[len(f.list):cap(f.list)] {
					if s != nil {
						t.Fatal("what was let go is still referred to")
					}
				}
				if sum != f.bytes || sum > f.maxBytes || len(f.list) > maxListed {
					t.Fatalf("%d slices of %d bytes, counted as %d", len(f.list), sum, f.bytes)
				}
			},
		})
	})
}

// roundUp is at most half as much again, and one of two numbers for each power of two.
func TestRoundUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1<<40).Draw(t, "n")
		got := roundUp(n)
		if got < n || n > 2 && got*2 > n*3 {
			t.Fatalf("%d for %d", got, n)
		}
		if odd := got >> bits.TrailingZeros(uint(got)); odd != 1 && odd != 3 {
			t.Fatalf("%d for %d", got, n)
		}
	})
}

// A slice that is much too large stays for who needs one.
func TestFreeListKeepsLargeOnes(t *testing.T) {
	f := freeList[byte]{maxBytes: 1 << 20}
	f.put(make([]byte, 1000))
	if got := cap(f.get(100)); got != 128 {
		t.Errorf("%d bytes for 100", got)
	}
	if got := cap(f.get(300)); got != 1000 {
		t.Errorf("%d bytes for 300, while 1000 were free", got)
	}
}

// A slice that would not be kept has no more room than was asked for.
func TestFreeListRoundsUpWhatItKeepsOnly(t *testing.T) {
	f := freeList[[10]byte]{maxBytes: 10_000}
	for n, want := range map[int]int{700: 768, 768: 768, 800: 800, 1100: 1100} { // 1,024 of them are 10,240 bytes
		if got := cap(f.get(n)); got != want {
			t.Errorf("room for %d, asked for %d, want %d", got, n, want)
		}
	}
}

func TestFetchPoolsKnowTheSizeOfSnappy(t *testing.T) {
	p := newFetchPools(1<<20, 1)
	b := p.GetDecompressBytes(binary.AppendUvarint(nil, 5000), kgo.CodecSnappy)
	if cap(b) != 6144 {
		t.Errorf("%d bytes for a block of 5000", cap(b))
	}
	p.PutDecompressBytes(b)
	framed := append([]byte("\x82SNAPPY\x00"), 0, 0, 0, 1, 0, 0, 0, 1)
	for _, n := range []uint64{32 << 10, 32 << 10, 1000} {
		block := append(binary.AppendUvarint(nil, n), "whatever is in it"...)
		framed = append(binary.BigEndian.AppendUint32(framed, uint32(len(block))), block...)
	}
	if got := cap(p.GetDecompressBytes(framed, kgo.CodecSnappy)); got != 98_304 {
		t.Errorf("%d bytes for three blocks of 66536", got)
	}
	if got := cap(p.GetDecompressBytes(framed[:len(framed)-5], kgo.CodecSnappy)); got != 65_536 {
		t.Errorf("%d bytes for what is cut off", got)
	}
	for _, codec := range []kgo.CompressionCodecType{kgo.CodecGzip, kgo.CodecLz4, kgo.CodecZstd} {
		if b := p.GetDecompressBytes(bytes.Repeat([]byte{0xff}, 20), codec); cap(b) != 6144 {
			t.Errorf("%d bytes for what says no size, while 6144 are free", cap(b))
		} else {
			p.PutDecompressBytes(b)
		}
	}
	// A size from outside is no reason for much memory.
	if b := p.GetDecompressBytes(bytes.Repeat([]byte{0xff}, 20), kgo.CodecSnappy); cap(b) > 4<<20 {
		t.Errorf("%d bytes", cap(b))
	}
}
