package operations

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/cockroachdb/pebble/v2/vfs"

	"handprint/internal/memory"
)

// Less free space than this on the state directory's filesystem is warned
// about, and less than that cannot work.
const (
	diskLow   = 2 << 30
	diskEmpty = 128 << 20
)

// disk looks at the state directory without opening the store: a process may
// have it.
func (d *doctor) disk(dir string) {
	const name = "state directory"
	at, err := existing(dir)
	if err != nil {
		d.add(name, Failed, "make it a directory that this user may write to", "%s: %v", dir, err)
		return
	}
	probe, err := os.CreateTemp(at, ".handprint-doctor-")
	if err != nil {
		d.add(name, Failed, "make it a directory that this user may write to", "%s: %v", at, errors.Unwrap(err))
		return
	}
	_ = probe.Close()
	if err := os.Remove(probe.Name()); err != nil {
		d.add(name, Warning, "remove "+probe.Name(), "%v", err)
	}
	usage, err := vfs.Default.GetDiskUsage(at)
	if err != nil {
		d.add(name, Warning, "look by hand how much room there is", "%s: %v", at, err)
		return
	}
	kind, fix := Filesystem(at)
	d.room(name, dir, usage, kind, fix)
	aside, err := filepath.Glob(filepath.Join(dir, "store.corrupt-*"))
	if err == nil && len(aside) > 0 {
		d.add("damaged stores", Warning, "look at the disk; delete them when nobody needs them any more", "%d were set aside in %s", len(aside), dir)
	}
}

// room judges the filesystem of dir: what is free of it, and what kind it is,
// with what to do if it is the wrong one.
func (d *doctor) room(name, dir string, usage vfs.DiskUsage, kind, fix string) {
	found := fmt.Sprintf("%s, %s free of %s", dir, size(usage.AvailBytes), size(usage.TotalBytes))
	if kind != "" {
		found += ", " + kind
	}
	switch {
	case usage.AvailBytes < diskEmpty:
		d.add(name, Failed, "make room, or move it to a larger disk", "%s", found)
	case usage.AvailBytes < diskLow:
		d.add(name, Warning, "make room before it is full: a full disk ends the process", "%s", found)
	case fix != "":
		d.add(name, Warning, fix, "%s", found)
	default:
		d.add(name, OK, "", "%s", found)
	}
}

// existing returns dir, or the nearest folder above it that is there.
func existing(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && info.IsDir():
			return dir, nil
		case err == nil:
			return "", errors.New("not a directory")
		case !errors.Is(err, fs.ErrNotExist) || filepath.Dir(dir) == dir:
			return "", errors.Unwrap(err)
		}
		dir = filepath.Dir(dir)
	}
}

// memory compares the limit of the container with Go's, which does not count the
// caches.
func (d *doctor) memory(caches uint64) {
	container, limited := memory.Container()
	d.limits(caches, debug.SetMemoryLimit(-1), container, limited)
}

func (d *doctor) limits(caches uint64, goLimit int64, container uint64, limited bool) {
	left := container - min(container, caches)
	set := fmt.Sprintf("set GOMEMLIMIT=%dMiB in the process's environment, or it may be killed when garbage piles up", left*9/10>>20)
	switch {
	case !limited && goLimit == math.MaxInt64:
		d.add("memory", OK, "", "no limit")
	case !limited:
		d.add("memory", OK, "", "GOMEMLIMIT is %s", size(uint64(goLimit)))
	case left < leastHeap:
		d.add("memory", Warning, "give it more, or set record-cache and store-cache lower",
			"the container has %s, and the caches take %s of it", size(container), size(caches))
	case goLimit == math.MaxInt64:
		d.add("memory", Warning, set, "the container has %s, and Go knows of no limit", size(container))
	case uint64(goLimit) > left*95/100:
		d.add("memory", Warning, set, "GOMEMLIMIT is %s in a container of %s, and the caches take %s of it", size(uint64(goLimit)), size(container), size(caches))
	default:
		d.add("memory", OK, "", "GOMEMLIMIT is %s in a container of %s", size(uint64(goLimit)), size(container))
	}
}

// leastHeap is what an application takes besides its caches, at least.
const leastHeap = 192 << 20

func size(n uint64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	default:
		return fmt.Sprintf("%d KiB", n>>10)
	}
}
