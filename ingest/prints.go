package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
)

// printSizes are how many bytes of a file's text its prints are of.
var printSizes = [...]int{64, 128, 256, 512, 1024}

const (
	minPrint = 64
	maxPrint = 1024
)

// prints tell a file by the beginning of its text, packed or not: digests of
// its first bytes, as many as there are. They hold nothing of the text itself.
type prints struct {
	length int // bytes that were there, at most maxPrint
	sums   [len(printSizes)]string
}

// matches reports whether two files begin alike, as far as both are there.
func (p *prints) matches(other *prints) bool {
	for i := len(printSizes) - 1; i >= 0; i-- {
		if size := printSizes[i]; p.length >= size && other.length >= size {
			return p.sums[i] == other.sums[i]
		}
	}
	return false
}

// printsFrom reads the prints of a text.
func printsFrom(r io.Reader) (p prints) {
	text := make([]byte, maxPrint)
	n, _ := io.ReadFull(r, text) // what is there
	p.length = n
	for i, size := range printSizes {
		if n < size {
			break
		}
		sum := sha256.Sum256(text[:size])
		p.sums[i] = hex.EncodeToString(sum[:16])
	}
	return p
}

// printsOf reads the prints of a file, none if it cannot be read.
func printsOf(path string) (p prints) {
	in, err := Open(context.Background(), path)
	if err != nil {
		return p
	}
	defer in.Close()
	return printsFrom(in)
}
