package unpack

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
	"golang.org/x/text/transform"
)

const (
	// maxLayers bounds how often a file may be packed.
	maxLayers = 5
	// maxWindow bounds the memory in bytes that a packed file may ask for.
	maxWindow = 64 << 20

	bufferSize = 64 << 10
)

// Reader reads a file's text.
type Reader struct {
	io.Reader
	closers []func()
	warn    func(text string)
	changed bool
}

// Changed reports whether what is read differs from what the file holds.
func (u *Reader) Changed() bool { return u.changed }

// NewReader returns a reader of the text that r holds. warn is called, during
// a read, where something is left out that is no text; it may be nil. An error
// says what r is and why it cannot be read.
func NewReader(r io.Reader, warn func(text string)) (*Reader, error) {
	if warn == nil {
		warn = func(string) {}
	}
	u := &Reader{warn: warn}
	text, err := u.open(bufio.NewReaderSize(r, bufferSize), maxLayers)
	if err != nil {
		u.Close()
		return nil, err
	}
	u.Reader = text
	return u, nil
}

// Close frees what the decoders hold. It does not close what they read.
func (u *Reader) Close() {
	for _, c := range u.closers {
		c()
	}
	u.closers = nil
}

// open returns a reader of what r holds, packed at most so many times.
func (u *Reader) open(r *bufio.Reader, layers int) (io.Reader, error) {
	// An input shorter than this is what its first bytes say, or text; one that
	// fails here fails again when it is read.
	start, _ := r.Peek(512)
	inside, err := u.unpack(r, start)
	switch {
	case err != nil:
		return nil, err
	case inside == nil:
		t := text(r, start)
		u.changed = u.changed || t != io.Reader(r)
		return t, nil
	case layers == 1:
		return nil, fmt.Errorf("packed more than %d times", maxLayers)
	}
	u.changed = true
	if t, ok := inside.(*archive); ok {
		t.layers = layers - 1
		return t, nil
	}
	return u.open(bufio.NewReaderSize(inside, bufferSize), layers-1)
}

// The first bytes of what is packed.
var (
	gzipMagic  = []byte{0x1f, 0x8b}
	zstdMagic  = []byte{0x28, 0xb5, 0x2f, 0xfd}
	xzMagic    = []byte{0xfd, '7', 'z', 'X', 'Z', 0}
	bzip2Magic = []byte("BZh")
	bzip2Block = []byte{0x31, 0x41, 0x59, 0x26, 0x53, 0x59}
	bzip2End   = []byte{0x17, 0x72, 0x45, 0x38, 0x50, 0x90}
	tarMagic   = []byte("ustar")
)

// unread are the archives that are not read.
var unread = []struct {
	magic      []byte
	name, hint string
}{
	{[]byte("PK\x03\x04"), "a zip archive", "unzip -p FILE | handprint ingest ... -"},
	{[]byte{'7', 'z', 0xbc, 0xaf, 0x27, 0x1c}, "a 7z archive", "7z x -so FILE | handprint ingest ... -"},
	{[]byte{0x04, 0x22, 0x4d, 0x18}, "lz4", "lz4cat FILE | handprint ingest ... -"},
	{[]byte{0x5d, 0, 0}, "lzma", "xzcat --format=lzma FILE | handprint ingest ... -"},
	{[]byte{0x1f, 0x9d}, "compress", "zcat FILE | handprint ingest ... -"},
}

// unpack returns a reader of what is packed in r, nil if nothing is.
func (u *Reader) unpack(r *bufio.Reader, start []byte) (io.Reader, error) {
	switch {
	case bytes.HasPrefix(start, gzipMagic):
		return newMembers(r, u.warn)
	case bytes.HasPrefix(start, zstdMagic), isSkippable(start):
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		u.closers = append(u.closers, d.Close)
		return &packed{Reader: d, name: "zstd", warn: u.warn}, nil
	case bytes.HasPrefix(start, xzMagic):
		if size := xzDictionary(start); size > maxWindow {
			return nil, fmt.Errorf("xz: needs %d MiB of memory, more than %d: xzcat FILE | handprint ingest ... -", size>>20, maxWindow>>20)
		}
		d, err := xz.NewReader(r)
		if err != nil {
			return nil, fmt.Errorf("xz: %w", err)
		}
		return &packed{Reader: d, name: "xz", warn: u.warn}, nil
	case bytes.HasPrefix(start, bzip2Magic) && len(start) >= 10 && (bytes.Equal(start[4:10], bzip2Block) || bytes.Equal(start[4:10], bzip2End)):
		return &packed{Reader: bzip2.NewReader(r), name: "bzip2", warn: u.warn}, nil
	case len(start) == 512 && bytes.HasPrefix(start[257:], tarMagic):
		return newArchive(u, r), nil
	}
	for _, a := range unread {
		if bytes.HasPrefix(start, a.magic) {
			return nil, fmt.Errorf("%s, which is not read: %s", a.name, a.hint)
		}
	}
	return nil, nil
}

// xzDictionary returns the size in bytes of the dictionary that the first
// block of an xz file asks for, 0 if that cannot be seen.
func xzDictionary(start []byte) int64 {
	const header = 12 // of the stream; then the block's: size, flags, filter
	if len(start) < header+5 || start[header] == 0 {
		return 0
	}
	p := start[header+2:]
	for _, has := range [...]bool{start[header+1]&0x40 != 0, start[header+1]&0x80 != 0} { // the packed and the unpacked size
		for has && len(p) > 0 {
			has, p = p[0]&0x80 != 0, p[1:]
		}
	}
	if len(p) < 3 || p[0] != 0x21 || p[1] != 1 || p[2] > 40 {
		return 0
	}
	bits := p[2]
	if bits == 40 {
		return 1<<32 - 1
	}
	return int64(2|bits&1) << (bits/2 + 11)
}

// isSkippable reports whether a zstd file begins with a frame that holds no
// data, as that of pzstd does.
func isSkippable(start []byte) bool {
	return len(start) >= 4 && start[0]&0xf0 == 0x50 && bytes.Equal(start[1:4], []byte{0x2a, 0x4d, 0x18})
}

// packed reads what a decoder unpacks. What follows the last stream and is none
// is left out with a warning, as it is for gzip: it may be padding. Its errors
// say what could not be unpacked.
type packed struct {
	io.Reader
	name string
	warn func(string)
	some bool
	done bool
}

func (p *packed) Read(b []byte) (int, error) {
	if p.done {
		return 0, io.EOF
	}
	n, err := p.Reader.Read(b)
	p.some = p.some || n > 0
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	case p.some && endsBefore(err):
		p.done = true
		p.warn("what follows the last stream of the " + p.name + " file is none: it was left out")
		return n, nil
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return n, fmt.Errorf("zstd: needs more than %d MiB of memory: zstdcat --long=31 FILE | handprint ingest ... -", maxWindow>>20)
	}
	return n, fmt.Errorf("%s: %w", p.name, err)
}

// endsBefore reports whether an error says that where a stream could begin
// there is none. The decoders of bzip2 and xz say that by text alone.
func endsBefore(err error) bool {
	return errors.Is(err, zstd.ErrMagicMismatch) ||
		errors.Is(err, bzip2.StructuralError("bad magic value in continuation file")) ||
		err.Error() == "xz: invalid header magic bytes"
}

// members reads the members of a gzip file one after the other. Zeros between
// them and after the last one are padding, as gzip(1) has it; anything else
// after the last one is left out with a warning.
type members struct {
	src  *bufio.Reader
	z    *gzip.Reader
	warn func(string)
	done bool
}

func newMembers(r *bufio.Reader, warn func(string)) (*members, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	z.Multistream(false)
	return &members{src: r, z: z, warn: warn}, nil
}

func (m *members) Read(p []byte) (int, error) {
	for !m.done {
		n, err := m.z.Read(p)
		if n > 0 || err == nil {
			if errors.Is(err, io.EOF) {
				err = nil // said again by the next read
			}
			return n, err
		}
		if !errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("gzip: %w", err)
		}
		if err := m.next(); err != nil {
			return 0, fmt.Errorf("gzip: %w", err)
		}
	}
	return 0, io.EOF
}

// next goes on to the next member, if there is one.
func (m *members) next() error {
	for {
		b, err := m.src.ReadByte()
		if errors.Is(err, io.EOF) {
			m.done = true
			return nil
		}
		if err != nil {
			return err
		}
		if b == 0 {
			continue
		}
		if err := m.src.UnreadByte(); err != nil {
			return err
		}
		break
	}
	if start, _ := m.src.Peek(len(gzipMagic)); !bytes.Equal(start, gzipMagic) {
		m.done = true
		m.warn("what follows the last member of the gzip file is no gzip: it was left out")
		return nil
	}
	if err := m.z.Reset(m.src); err != nil {
		return err
	}
	m.z.Multistream(false)
	return nil
}

// text returns a reader of the text in r as UTF-8 without a mark of byte order.
func text(r *bufio.Reader, start []byte) io.Reader {
	utf16 := func(order unicode.Endianness) io.Reader {
		return transform.NewReader(r, unicode.UTF16(order, unicode.UseBOM).NewDecoder())
	}
	utf32of := func(order utf32.Endianness) io.Reader {
		return transform.NewReader(r, utf32.UTF32(order, utf32.UseBOM).NewDecoder())
	}
	switch {
	case bytes.HasPrefix(start, []byte{0xef, 0xbb, 0xbf}):
		_, _ = r.Discard(3) // has been seen
		return r
	case bytes.HasPrefix(start, []byte{0xff, 0xfe, 0, 0}):
		return utf32of(utf32.LittleEndian)
	case bytes.HasPrefix(start, []byte{0, 0, 0xfe, 0xff}):
		return utf32of(utf32.BigEndian)
	case bytes.HasPrefix(start, []byte{0xff, 0xfe}):
		return utf16(unicode.LittleEndian)
	case bytes.HasPrefix(start, []byte{0xfe, 0xff}):
		return utf16(unicode.BigEndian)
	case len(start) >= 4 && start[0] != 0 && start[1] == 0 && start[2] != 0 && start[3] == 0:
		return utf16(unicode.LittleEndian)
	case len(start) >= 4 && start[0] == 0 && start[1] != 0 && start[2] == 0 && start[3] != 0:
		return utf16(unicode.BigEndian)
	}
	return r
}
