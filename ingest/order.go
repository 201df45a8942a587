package ingest

import (
	"bytes"
	"container/heap"
	"context"
	"path/filepath"
	"slices"
	"strings"
)

// ordered returns the inputs in the order of the first times in them. A shell
// expands cowrie.json* to the newest file first.
func (f *Files) ordered(ctx context.Context, stamper Stamper) []string {
	if stamper == nil || len(f.Names) < 2 {
		return f.Names
	}
	type stamped struct {
		name string
		at   int64
	}
	inputs := make([]stamped, len(f.Names))
	var last int64
	for i, name := range f.Names {
		if name == Stdin || storedSize(name) == 0 && !isRegular(name) {
			return f.Names
		}
		// One without a time stays behind the one that it was given after.
		if at, ok := firstStamp(ctx, name, stamper); ok {
			last = at
		}
		inputs[i] = stamped{name, last}
	}
	slices.SortStableFunc(inputs, func(a, b stamped) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return 0
	})
	names := make([]string, len(inputs))
	bases := make([]string, min(len(inputs), 5))
	for i, in := range inputs {
		names[i] = in.name
		if i < len(bases) {
			bases[i] = filepath.Base(in.name)
		}
	}
	if !slices.Equal(names, f.Names) {
		f.warn("the files were not given oldest first: they are read in the order of their first lines, %s%s",
			strings.Join(bases, ", "), map[bool]string{true: ", ..."}[len(names) > len(bases)])
	}
	return names
}

// maxLook bounds how many lines of a file are looked at for a time.
const maxLook = 100

func firstStamp(ctx context.Context, name string, stamper Stamper) (int64, bool) {
	in, err := Open(ctx, name)
	if err != nil {
		return 0, false // said when it is read
	}
	defer in.Close()
	lines := NewLines(in, 0)
	for range maxLook {
		if !lines.Next() {
			return 0, false
		}
		if at, ok := stamper.Stamp(lines.Line()); ok {
			return at, true
		}
	}
	return 0, false
}

const (
	maxSorted      = 200_000  // lines that wait to be put in order
	maxSortedBytes = 24 << 20 // their bytes
)

// sorter puts lines in the order of their times, within a bound: a line waits
// until one is stamped that much later, or too many wait.
type sorter struct {
	within int64 // microseconds
	stamp  func(text []byte) (int64, bool)

	lines  lineHeap
	bytes  int
	newest int64
	last   int64 // of the last line that had a time
	count  int64
}

type sortedLine struct {
	at, seq int64
	name    string
	number  int64
	text    []byte
}

func (s *sorter) add(name string, number int64, line []byte, give func(string, int64, []byte) error) error {
	// A line without a time stays with the one before it.
	if at, ok := s.stamp(line); ok {
		s.last = at
		s.newest = max(s.newest, at)
	}
	s.count++
	heap.Push(&s.lines, sortedLine{s.last, s.count, name, number, bytes.Clone(line)})
	s.bytes += len(line)
	for len(s.lines) > 0 && (s.newest-s.lines[0].at > s.within || len(s.lines) > maxSorted || s.bytes > maxSortedBytes) {
		if err := s.pop(give); err != nil {
			return err
		}
	}
	return nil
}

func (s *sorter) pop(give func(string, int64, []byte) error) error {
	l := heap.Pop(&s.lines).(sortedLine)
	s.bytes -= len(l.text)
	return give(l.name, l.number, l.text)
}

// drain gives all lines that wait.
func (s *sorter) drain(give func(string, int64, []byte) error) error {
	for len(s.lines) > 0 {
		if err := s.pop(give); err != nil {
			return err
		}
	}
	return nil
}

type lineHeap []sortedLine

func (h lineHeap) Len() int { return len(h) }
func (h lineHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h lineHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is for package heap.
func (h *lineHeap) Push(x any) { *h = append(*h, x.(sortedLine)) }

// Pop is for package heap.
func (h *lineHeap) Pop() any {
	old := *h
	last := len(old) - 1
	l := old[last]
	old[last] = sortedLine{}
	*h = old[:last]
	return l
}
