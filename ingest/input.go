package ingest

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"handprint/ingest/internal/unpack"
)

// Stdin is the name of the standard input where a file's is expected.
const Stdin = "-"

// Input is one open input. What it reads is the text that the input holds: it
// is unpacked (gzip, zstd, xz, bzip2, tar) and made UTF-8, whatever its name;
// the first bytes decide.
type Input struct {
	Name string
	io.Reader

	unpacked *unpack.Reader
	file     io.Closer // nil for the standard input, which stays open
	read     *atomic.Int64
	size     int64
	warn     func(text string) // told what is left out; may be nil
}

// Open opens the file of that name, or the standard input for [Stdin]. A read
// of an input that keeps its reader waiting ends with ctx.
func Open(ctx context.Context, name string) (*Input, error) {
	if name == Stdin {
		return open(name, patient(ctx, os.Stdin), nil, sizeOf(os.Stdin))
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err // names the file already
	}
	in, err := open(name, patient(ctx, file), file, sizeOf(file))
	if err != nil {
		file.Close()
		return nil, err
	}
	return in, nil
}

// patient returns a reader of the file that does not wait beyond ctx. A regular
// file keeps nobody waiting and is read as it is.
func patient(ctx context.Context, file *os.File) io.Reader {
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		return file
	}
	return newWaitingReader(ctx, file)
}

// storedSize returns the size of the input of that name in bytes, 0 if it has
// none that is known.
func storedSize(name string) int64 {
	if name == Stdin {
		return sizeOf(os.Stdin)
	}
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

// sizeOf returns the size of a regular file in bytes, 0 for anything else.
func sizeOf(file *os.File) int64 {
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

func open(name string, r io.Reader, file io.Closer, size int64) (*Input, error) {
	in := &Input{Name: name, file: file, read: new(atomic.Int64), size: size}
	unpacked, err := unpack.NewReader(counted{r, in.read}, func(text string) {
		if in.warn != nil {
			in.warn(text)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("unpacking %s: %w", name, err)
	}
	in.Reader, in.unpacked = unpacked, unpacked
	return in, nil
}

func isRegular(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// Size returns the size of the input in bytes as it is stored, 0 if that is
// not known.
func (in *Input) Size() int64 { return in.size }

// BytesRead returns how many bytes of it have been read, as they are stored.
func (in *Input) BytesRead() int64 { return in.read.Load() }

// Close closes the input.
func (in *Input) Close() error {
	in.unpacked.Close()
	if in.file == nil {
		return nil
	}
	return in.file.Close()
}

// counted counts what is read through it.
type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}
