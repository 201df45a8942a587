package state

import (
	"bytes"
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

// What a disk writes at once, and how much of it has to be zero, in bytes, to count as
// never written.
const (
	diskSector   = 512
	minUnwritten = 16
)

// maxTorn is how long an edit may be, in bytes, that counts as half written.
const maxTorn = 1 << 20

// Kinds of chunks with which an edit begins.
const (
	chunkFull  = 1
	chunkFirst = 2
)

// checkManifest returns ErrCorrupt if the database in dir has a manifest with a
// chunk that is there as a whole and wrong.
//
// Pebble takes the first chunk that it cannot read for the end of the manifest,
// as after a crash in the middle of a write. That is right for a chunk that is
// cut off, or was written only in part before the power failed: it is the newest,
// and nothing relied on its edit yet. Where a byte has changed, the edits
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
		case zeros(text[at:]):
			return -1 // space that was never written
		case end > len(text):
			if followed(text, at) {
				return at
			}
			return -1 // cut off
		case sum != chunkSum(text[at+6:end]):
			if torn(text, at) {
				return -1
			}
			return at
		}
		at = end
	}
}

// torn reports whether the chunk at at is of the newest edit, and a part of that was never
// written: a file may have got longer before all of its blocks were on the disk. Pebble
// waits for each edit to be on the disk before it writes the next.
func torn(text []byte, at int) bool {
	if len(text)-at > maxTorn {
		return false
	}
	for begin := at; begin < len(text); {
		end := min(begin-begin%diskSector+diskSector, len(text))
		if end-begin >= minUnwritten && zeros(text[begin:end]) {
			return !followed(text, at)
		}
		begin = end
	}
	end := len(bytes.TrimRight(text, "\x00"))
	return len(text)-max(end, at) >= minUnwritten && !followed(text, at)
}

// followed reports whether an edit begins behind at that is whole: one before it that is
// wrong was relied on.
func followed(text []byte, at int) bool {
	for begin := at + 1; begin+manifestHeader <= len(text); begin++ {
		length := int(binary.LittleEndian.Uint16(text[begin+4:]))
		end := begin + manifestHeader + length
		if kind := text[begin+6]; kind != chunkFull && kind != chunkFirst || end > len(text) || begin%manifestBlock+manifestHeader+length > manifestBlock {
			continue
		}
		if binary.LittleEndian.Uint32(text[begin:]) == chunkSum(text[begin+6:end]) {
			return true
		}
	}
	return false
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
