package unpack

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// archive reads the files of a tar archive one after the other, each unpacked
// in its turn. A newline separates two of them.
type archive struct {
	u      *Reader
	tar    *tar.Reader
	layers int

	file io.Reader // nil between two files
	last byte      // that was read
}

func newArchive(u *Reader, r io.Reader) *archive {
	return &archive{u: u, tar: tar.NewReader(r), last: '\n'}
}

func (a *archive) Read(p []byte) (int, error) {
	for {
		if a.file != nil {
			n, err := a.file.Read(p)
			if n > 0 {
				a.last = p[n-1]
			}
			if errors.Is(err, io.EOF) {
				a.file, err = nil, nil
			}
			if n > 0 || err != nil {
				return n, err
			}
			continue
		}
		if a.last != '\n' && len(p) > 0 {
			p[0], a.last = '\n', '\n'
			return 1, nil
		}
		if err := a.next(); err != nil {
			return 0, err
		}
	}
}

func (a *archive) next() error {
	for {
		h, err := a.tar.Next()
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		if err != nil {
			return fmt.Errorf("tar: %w", err)
		}
		// What macOS adds for each file is no log.
		if h.Typeflag != tar.TypeReg || strings.HasPrefix(path.Base(h.Name), "._") {
			continue
		}
		a.file, err = a.u.open(bufio.NewReaderSize(a.tar, bufferSize), max(a.layers, 1))
		if err != nil {
			return fmt.Errorf("tar: %w", err)
		}
		return nil
	}
}
