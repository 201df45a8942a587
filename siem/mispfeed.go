package siem

import (
	"crypto/md5" //nolint:gosec // a feed's hashes.csv is MD5 by MISP's definition
	"encoding/hex"
	"maps"
	"slices"
)

// The files of a MISP feed beside its events.
const (
	FeedManifest = "manifest.json"
	FeedHashes   = "hashes.csv"
)

// FeedFile is the name of the event's file in a feed.
func (m *MISP) FeedFile() string { return m.UUID() + ".json" }

// ManifestLine is the event's entry in the manifest of a feed, without its key.
func (m *MISP) ManifestLine(o *MISPOptions) []byte {
	return append(m.appendHead([]byte{'{'}, o), '}')
}

// HashLines are the event's lines of hashes.csv: the MD5 of each value that the
// event has, and the event's id.
func (m *MISP) HashLines() []byte {
	var out []byte
	line := func(value []byte) {
		sum := md5.Sum(value)
		out = hex.AppendEncode(out, sum[:])
		out = append(append(append(out, ','), m.UUID()...), '\n')
	}
	for _, name := range slices.Sorted(maps.Keys(m.Rows)) {
		if r := m.Rows[name]; r.Kind == Row && r.mispType() != "" {
			line(appendText(nil, r.Value))
		}
	}
	for _, a := range m.Addresses {
		line([]byte(a.IP))
	}
	return out
}

// AppendManifest appends a manifest: an object of entries by the id of their
// event, never a list.
func AppendManifest(dst []byte, lines map[string][]byte) []byte {
	dst = append(dst, '{')
	for i, id := range slices.Sorted(maps.Keys(lines)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, "\n\""...), id...), `":`...)
		dst = append(dst, lines[id]...)
	}
	return append(dst, "\n}\n"...)
}
