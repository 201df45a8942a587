// Package memory knows how much memory this process may take, and how much of
// it the caches should, and sets up C's allocator where there is one. How the caches
// use it is not here but in state.
package memory

import (
	"math"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

// Limits are the limits of a process, in bytes; 0: there is none.
type Limits struct {
	Container uint64 // of its control group
	Heap      uint64 // of Go's heap: GOMEMLIMIT, which does not count the caches
}

// Read returns the limits of this process.
func Read() (l Limits) {
	l.Container, _ = Container()
	if n := debug.SetMemoryLimit(-1); n != math.MaxInt64 {
		l.Heap = uint64(n)
	}
	return l
}

// root is where control groups are mounted, and own where this process's are named.
const (
	root = "/sys/fs/cgroup"
	own  = "/proc/self/cgroup"
)

// Container returns the least memory limit of this process's control group and of the groups
// around it, of version 2 or 1, if there is one.
func Container() (bytes uint64, limited bool) {
	text, _ := os.ReadFile(own) // without it, what a container sees as the root
	return leastLimit(limitFiles(root, string(text)))
}

// leastLimit returns the least limit of the files that are there.
func leastLimit(files []string) (bytes uint64, limited bool) {
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if n, some := parse(string(text)); some && (!limited || n < bytes) {
			bytes, limited = n, true
		}
	}
	return bytes, limited
}

// limitFiles returns the files that may have a limit, the narrowest first: of the
// control groups that a process is in by /proc/self/cgroup, as in a systemd unit, of
// the groups that these lie in, such as a slice, and of the root, which is a
// container's own group.
func limitFiles(root, groups string) (files []string) {
	for line := range strings.Lines(groups) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, ok := strings.Cut(rest, ":")
		switch {
		case !ok || path == "/" || strings.Contains(path, ".."):
		case id == "0" && controllers == "":
			for ; len(path) > 1; path = path[:max(0, strings.LastIndexByte(path, '/'))] {
				files = append(files, root+path+"/memory.max")
			}
		case slices.Contains(strings.Split(controllers, ","), "memory"):
			for ; len(path) > 1; path = path[:max(0, strings.LastIndexByte(path, '/'))] {
				files = append(files, root+"/memory"+path+"/memory.limit_in_bytes")
			}
		}
	}
	return append(files, root+"/memory.max", root+"/memory/memory.limit_in_bytes")
}

// parse reads what a control group says: a number, or max; version 1 has a number
// near 2^63 for no limit.
func parse(text string) (bytes uint64, limited bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil || n >= 1<<60 {
		return 0, false
	}
	return n, true
}

const (
	// Memtables is what writes to the local store take besides the caches, at most.
	Memtables = 16 << 20

	unlimited = 512 << 20 // of the caches and memtables together, without a limit
	least     = 64 << 20  // likewise, whatever the limit
	most      = 1 << 30   // of the record cache

	unlimitedUnions = 256 << 20 // of unions, without a limit
	leastUnions     = 16 << 20
)

// Caches returns the sizes, in bytes, of the cache of records and that of blocks of
// the local store. With what the memtables take they are 512 MiB if there is no
// limit. In a container they are a third of it, and beyond 512 MiB an eighth. If Go's
// heap has a limit of its own there, they are nine tenths of the rest, and at most half
// of the container. Without a container they are half of the heap's limit.
func (l Limits) Caches() (record, store int) {
	total := uint64(unlimited)
	switch {
	case l.Container > 0 && l.Heap > 0:
		total = min((l.Container-min(l.Container, l.Heap))*9/10, l.Container/2)
	case l.Container > 0:
		total = min(l.Container/3, max(unlimited, l.Container/8))
	case l.Heap > 0:
		total = l.Heap / 2
	}
	left := int(max(min(total, 2*most), least)) - Memtables
	// Records that are in memory cost neither a read nor decompression, so most goes
	// to them; blocks are what a new attacker's keys and filters are in.
	store = left / 6
	return min(left-store, most), store
}

// GCPercent is by how many percent the heap of the program grows before garbage is
// collected, unless the environment says GOGC. What lives long has no pointers or is not
// on the heap, and a collection saves three quarters of what Go's default lets pile up.
const GCPercent = 25

// RunGCPercent is GCPercent of a process that does nothing but run tasks. Collections are a
// tenth of its CPU where most records open a row. So without a limit, where nobody has
// said that memory is short, it is Go's own default.
func (l Limits) RunGCPercent() int {
	if l == (Limits{}) {
		return 100
	}
	return GCPercent
}

// Unions returns how many bytes of Go's heap the unions of rows with several attackers
// may take: an eighth of the container, at most a quarter of the heap's limit, and
// 256 MiB if there is no limit.
func (l Limits) Unions() int {
	n := uint64(unlimitedUnions)
	switch {
	case l.Container > 0 && l.Heap > 0:
		n = min(l.Container/8, l.Heap/4)
	case l.Container > 0:
		n = l.Container / 8
	case l.Heap > 0:
		n = l.Heap / 4
	}
	return int(max(min(n, most), leastUnions))
}
