package ingest

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func TestLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		maxLine := rapid.SampledFrom([]int{1, 10, 2000, 70_000, 200_000}).Draw(t, "max")
		lengths := rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 9, 10, 11, 1023, 1024, 1025, 65535, 65536, 65537, 150_000}), 0, 5).Draw(t, "lengths")
		var text []byte
		for i, n := range lengths {
			text = append(append(text, strings.Repeat(string(rune('a'+i)), n)...), '\n')
		}
		open := rapid.Bool().Draw(t, "last line open") && len(lengths) > 0 && lengths[len(lengths)-1] > 0
		if open {
			text = text[:len(text)-1]
		}
		lines := NewLines(bytes.NewReader(text), maxLine)
		for i, n := range lengths {
			if !lines.Next() {
				t.Fatalf("no line %d", i+1)
			}
			held := n
			if n > maxLine {
				held = min(maxLine, excerpt)
			}
			if got := lines.Line(); string(got) != strings.Repeat(string(rune('a'+i)), held) {
				t.Fatalf("line %d has %d bytes, want %d", i+1, len(got), held)
			}
			if lines.Length() != int64(n) || lines.Number() != int64(i+1) || lines.TooLong() != (n > maxLine) {
				t.Fatalf("line %d: length %d, number %d, too long %v", i+1, lines.Length(), lines.Number(), lines.TooLong())
			}
		}
		if lines.Next() || lines.Err() != nil {
			t.Fatalf("a line too many, or %v", lines.Err())
		}
	})
}

func TestLinesHoldNoMoreThanTheBound(t *testing.T) {
	lines := NewLines(io.LimitReader(endless{}, 64<<20), 100_000)
	if !lines.Next() || lines.Length() != 64<<20 || cap(lines.pieces) > 400_000 {
		t.Errorf("a line of %d bytes holds %d", lines.Length(), cap(lines.pieces))
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestALineThatAFailureCutsOffIsNone(t *testing.T) {
	broken := errors.New("broken")
	lines := NewLines(io.MultiReader(strings.NewReader("one\ntwo"), iotest.ErrReader(broken)), 0)
	if !lines.Next() || string(lines.Line()) != "one" || lines.Next() || !errors.Is(lines.Err(), broken) {
		t.Errorf("line %q, error %v", lines.Line(), lines.Err())
	}
}
