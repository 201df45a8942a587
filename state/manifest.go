package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
)

// A manifest of Pebble is a log of edits in chunks; none of them crosses a
// block. The sum is over all from the kind on, masked as LevelDB does:
//
//	sum uint32 | length uint16 | kind byte | length bytes     (little-endian)
const (
	manifestBlock  = 32 << 10
	manifestHeader = 4 + 2 + 1
)

// checkManifest returns ErrCorrupt if the database in dir has a manifest with a
// chunk that is there as a whole and wrong.
//
// Pebble takes the first chunk that it cannot read for the end of the manifest,
// as after a crash in the middle of a write. That is right for a chunk that is
// cut off: nothing relied on its edit yet. Where a byte has changed, the edits
// from there on were relied on: logs of writes were removed because of them.
// What Pebble then opens is an old state with the newest writes upon it, those
// between missing, and a checkpoint that says that all is there.
func checkManifest(dir string, filesystem vfs.FS) error {
	name, err := atomicfs.ReadMarker(filesystem, dir, "manifest")
	if err != nil || name == "" {
		return nil // a fresh directory, or one that Pebble refuses
	}
	text, err := readManifest(filesystem, filesystem.PathJoin(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // Pebble says so
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	if at := manifestDamage(text); at >= 0 {
		return fmt.Errorf("%w: %s is damaged at byte %d", ErrCorrupt, name, at)
	}
	return nil
}

// readManifest reads all of a manifest. Pebble begins another at 128 MiB.
func readManifest(filesystem vfs.FS, path string) ([]byte, error) {
	f, err := filesystem.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// manifestDamage returns where the first chunk begins that is whole and wrong;
// -1 if there is none.
func manifestDamage(text []byte) int {
	at := 0
	for {
		// Less than a header at the end of a block is padding.
		if left := manifestBlock - at%manifestBlock; left < manifestHeader {
			at += left
		}
		if at+manifestHeader > len(text) {
			return -1
		}
		sum := binary.LittleEndian.Uint32(text[at:])
		length := int(binary.LittleEndian.Uint16(text[at+4:]))
		end := at + manifestHeader + length
		switch {
		case at%manifestBlock+manifestHeader+length > manifestBlock:
			return at
		case end > len(text), zeros(text[at:]):
			return -1 // cut off, or space that was never written
		case sum != chunkSum(text[at+6:end]):
			return at
		}
		at = end
	}
}

func zeros(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func chunkSum(b []byte) uint32 {
	sum := crc32.Checksum(b, castagnoli)
	return (sum>>15 | sum<<17) + 0xa282ead8
}
