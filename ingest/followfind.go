package ingest

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"handprint/ingest/internal/unpack"
)

// look is what was seen of a file, until it changes.
type look struct {
	inode    uint64
	size     int64
	modified time.Time

	prints prints
	packed bool
	order  int64 // its first time, or when it was written last, if the log has no times
}

func inodeOf(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}

// candidate is a file that may be one of a log.
type candidate struct {
	path string
	look
}

// find looks for the files of all logs.
func (r *followRun) find() error {
	for _, path := range r.Paths {
		info, err := os.Stat(path)
		switch {
		case err == nil && info.IsDir():
			if err := r.findIn(path, func(name string) string {
				stem, _, _ := strings.Cut(name, ".")
				return filepath.Join(path, stem)
			}, false); err != nil {
				return err
			}
		default:
			base := filepath.Base(path)
			err := r.findIn(filepath.Dir(path), func(name string) string {
				if !strings.HasPrefix(name, base) {
					return ""
				}
				return path
			}, true)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// findIn looks for files in a folder. logOf names the log of a file, empty if
// it is of none.
func (r *followRun) findIn(dir string, logOf func(name string) string, explicit bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("looking for files: %w", err)
	}
	found := map[string][]candidate{}
	var names []string
	for _, e := range entries {
		log := ""
		if !strings.HasPrefix(e.Name(), ".") {
			log = logOf(e.Name())
		}
		path := filepath.Join(dir, e.Name())
		if log == "" || path == r.State || strings.HasPrefix(path, r.State+".") {
			continue
		}
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		l, err := r.log(log, explicit)
		if err != nil {
			return err
		}
		seen, ok := r.lookAt(path, info, l)
		if !ok {
			continue // too little to know it by, or gone
		}
		if found[log] == nil {
			names = append(names, log)
		}
		found[log] = append(found[log], candidate{path, seen})
	}
	for _, name := range names {
		r.logs[name].sort(found[name])
	}
	return nil
}

// maxLooked bounds how much of a file's text is looked at for a time, in bytes.
const maxLooked = 64 << 10

// lookAt looks at a file, unless it is as it was. All that is seen is of one
// file, even if it is renamed meanwhile.
func (r *followRun) lookAt(path string, info fs.FileInfo, l *followedLog) (look, bool) {
	old, known := r.looked[path]
	if known && old.inode == inodeOf(info) && old.size == info.Size() && old.modified.Equal(info.ModTime()) {
		return old, old.prints.length >= minPrint
	}
	file, err := os.Open(path)
	if err != nil {
		return look{}, false
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return look{}, false
	}
	seen := look{inode: inodeOf(info), size: info.Size(), modified: info.ModTime(), order: info.ModTime().UnixMicro()}
	in, err := unpack.NewReader(file, nil)
	if err != nil {
		return look{}, false
	}
	defer in.Close()
	text := make([]byte, maxLooked)
	n, _ := io.ReadFull(in, text) // what is there
	seen.prints = printsFrom(bytes.NewReader(text[:n]))
	seen.packed = in.Changed()
	if stamper, ok := l.adapter.(Stamper); ok {
		if at, ok := stamper.Stamp(text[:n]); ok {
			seen.order = at
		}
	}
	r.looked[path] = seen
	return seen, seen.prints.length >= minPrint
}

// maxKnown bounds the files that are remembered as read.
const maxKnown = 2000

// sort finds out which files are those of the log that are known, and puts new
// ones behind them.
func (l *followedLog) sort(files []candidate) {
	var fresh []*segment
	for _, c := range files {
		if s := l.segmentOf(c); s != nil {
			s.looks++
			l.seen(s, c)
			continue
		}
		if slices.ContainsFunc(l.known, func(k prints) bool { return k.matches(&c.prints) }) ||
			slices.ContainsFunc(fresh, func(s *segment) bool { return s.prints.matches(&c.prints) }) {
			continue
		}
		fresh = append(fresh, &segment{prints: c.prints, path: c.path, inode: c.inode, packed: c.packed, order: c.order})
	}
	if l.unseen && l.explicit {
		// What was rotated before the first run is not asked for.
		for _, s := range fresh {
			if s.path != l.name {
				l.remember(s.prints)
			}
		}
		fresh = slices.DeleteFunc(fresh, func(s *segment) bool { return s.path != l.name })
	}
	l.unseen = l.unseen && len(fresh) == 0 && len(files) == 0
	if len(fresh) == 0 {
		return
	}
	l.segments = append(l.segments, fresh...)
	// A file that was renamed while the folder was read may be found after later
	// files, so the segments that are not begun are sorted again.
	slices.SortStableFunc(l.waiting(), func(a, b *segment) int { return cmp.Compare(a.order, b.order) })
}

// waiting returns the segments that are not begun.
func (l *followedLog) waiting() []*segment {
	i := l.current
	for i < len(l.segments) && l.segments[i].begun {
		i++
	}
	return l.segments[i:]
}

func (l *followedLog) remember(p prints) {
	l.known = append(l.known, p)
	if over := len(l.known) - maxKnown; over > 0 {
		l.known = slices.Delete(l.known, 0, over)
	}
}

// segmentOf returns the segment that a file is, nil if it is none: the latest
// that begins like it.
func (l *followedLog) segmentOf(c candidate) *segment {
	for _, s := range slices.Backward(l.segments) {
		if s.prints.matches(&c.prints) {
			return s
		}
	}
	return nil
}

// seen takes a look at the file of a segment: it may have grown, or have
// another name.
func (l *followedLog) seen(s *segment, c candidate) {
	if s.inode == c.inode && c.prints.length > s.prints.length {
		s.prints = c.prints
	}
	if s.done || s.path == c.path {
		return
	}
	if s.inode == c.inode {
		s.path = c.path
		return
	}
	if known, ok := l.run.looked[s.path]; !ok || !known.prints.matches(&s.prints) || !isRegular(s.path) {
		s.path, s.packed, s.inode = c.path, c.packed, c.inode
	}
}

// copyOf returns another file that begins like a segment.
func (r *followRun) copyOf(l *followedLog, s *segment) (path string, packed, ok bool) {
	if r.find() != nil {
		return "", false, false
	}
	for path, seen := range r.looked {
		if path != s.path && isRegular(path) && seen.prints.matches(&s.prints) && strings.HasPrefix(path, l.name) {
			return path, seen.packed, true
		}
	}
	return "", false, false
}
