package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"handprint/siem"
)

// Files is a file of lines that is rotated: FILE, FILE.1, FILE.2. A batch is done
// when it is on the disk.
type Files struct {
	path      string
	maxBytes  int64
	keep      int
	formatter *siem.Formatter
	file      *os.File
	size      int64
}

func newFiles(path string, maxBytes int64, keep int, f *siem.Formatter) *Files {
	return &Files{path: path, maxBytes: maxBytes, keep: keep, formatter: f}
}

// Prepare implements Receiver.
func (f *Files) Prepare(it *Item) {
	it.Body = append(f.formatter.Append(it.Body[:0], it.Event), '\n')
}

// Deliver implements Receiver.
func (f *Files) Deliver(_ context.Context, items []*Item) error {
	if err := f.open(); err != nil {
		return err
	}
	var body []byte
	for _, it := range items {
		body = append(body, it.Body...)
	}
	if f.size > 0 && f.size+int64(len(body)) > f.maxBytes {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	n, err := f.file.Write(body)
	f.size += int64(n)
	if err == nil {
		err = f.file.Sync()
	}
	if err != nil {
		// Half a batch may be in the file: the next open cuts half a line off.
		err = errors.Join(err, f.file.Close())
		f.file = nil
		return fmt.Errorf("writing %s: %w", f.path, err)
	}
	judge(items, Done, "")
	return nil
}

// open opens the file if it is not open, and cuts off half a line that an earlier
// process left.
func (f *Files) open() error {
	if f.file != nil {
		return nil
	}
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return fmt.Errorf("opening %s: %w", f.path, err)
	}
	f.size, err = wholeLines(file)
	if err == nil {
		err = file.Truncate(f.size)
	}
	if err == nil {
		_, err = file.Seek(f.size, io.SeekStart)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("opening %s: %w", f.path, err), file.Close())
	}
	f.file = file
	return nil
}

// wholeLines returns how many bytes of a file are whole lines.
func wholeLines(file *os.File) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 64<<10)
	for end := info.Size(); end > 0; {
		n := min(end, int64(len(buf)))
		if _, err := file.ReadAt(buf[:n], end-n); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return end - n + int64(i) + 1, nil
		}
		end -= n
	}
	return 0, nil
}

// rotate renames FILE to FILE.1, FILE.1 to FILE.2, and drops what is too much.
func (f *Files) rotate() error {
	err := f.file.Close()
	f.file = nil
	if err != nil {
		return fmt.Errorf("closing %s: %w", f.path, err)
	}
	name := func(n int) string {
		if n == 0 {
			return f.path
		}
		return f.path + "." + strconv.Itoa(n)
	}
	for n := f.keep; n >= 0; n-- {
		if n == f.keep {
			err = os.Remove(name(n))
		} else {
			err = os.Rename(name(n), name(n+1))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rotating %s: %w", f.path, err)
		}
	}
	return f.open()
}

// Close implements Receiver.
func (f *Files) Close(context.Context) error {
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}
