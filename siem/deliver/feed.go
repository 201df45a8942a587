package deliver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"handprint/siem"
)

// Feed is a folder that MISP fetches: a file an event, manifest.json and
// hashes.csv. Each file is written under another name first, and the manifest
// last, so that a fetch never meets half a file or an entry without its event.
type Feed struct {
	Dir     string
	Options siem.MISPOptions
}

// WriteAll makes the folder hold these events and no others.
func (f *Feed) WriteAll(events map[string]*siem.MISP) error {
	if err := os.MkdirAll(f.Dir, 0o755); err != nil {
		return fmt.Errorf("writing the MISP feed: %w", err)
	}
	lines, hashes := map[string][]byte{}, map[string][]byte{}
	for _, m := range events {
		if err := f.put(m.FeedFile(), m.Append(nil, &f.Options)); err != nil {
			return err
		}
		lines[m.UUID()], hashes[m.UUID()] = m.ManifestLine(&f.Options), m.HashLines()
	}
	if err := f.finish(lines, hashes); err != nil {
		return err
	}
	return f.removeOthers(lines)
}

// finish writes what lists the events: the hashes, then the manifest.
func (f *Feed) finish(lines, hashes map[string][]byte) error {
	ids := make([]string, 0, len(hashes))
	for id := range hashes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var csv []byte
	for _, id := range ids {
		csv = append(csv, hashes[id]...)
	}
	if err := f.put(siem.FeedHashes, csv); err != nil {
		return err
	}
	return f.put(siem.FeedManifest, siem.AppendManifest(nil, lines))
}

// put writes a file, unless it holds that already: MISP imports again what is
// newer than what it has.
func (f *Feed) put(name string, text []byte) error {
	path := filepath.Join(f.Dir, name)
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, text) {
		return nil
	}
	if err := writeWhole(path, text); err != nil {
		return fmt.Errorf("writing the MISP feed: %w", err)
	}
	return nil
}

// writeWhole writes a file that is there as a whole or not at all.
func writeWhole(path string, text []byte) error {
	part := path + ".part"
	file, err := os.Create(part)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(part, path)
}

// removeOthers removes events that are not in the manifest.
func (f *Feed) removeOthers(lines map[string][]byte) error {
	entries, err := os.ReadDir(f.Dir)
	if err != nil {
		return fmt.Errorf("reading the MISP feed: %w", err)
	}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if _, listed := lines[id]; !ok || listed || len(id) != 36 {
			continue
		}
		if err := os.Remove(filepath.Join(f.Dir, e.Name())); err != nil {
			return fmt.Errorf("cleaning the MISP feed: %w", err)
		}
	}
	return nil
}

// readManifest returns the entries of the manifest that is there.
func (f *Feed) readManifest() (map[string][]byte, error) {
	text, err := os.ReadFile(filepath.Join(f.Dir, siem.FeedManifest))
	if errors.Is(err, fs.ErrNotExist) {
		return map[string][]byte{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the MISP feed: %w", err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("reading the MISP feed's manifest: %w", err)
	}
	lines := make(map[string][]byte, len(raw))
	for id, line := range raw {
		lines[id] = line
	}
	return lines, nil
}
