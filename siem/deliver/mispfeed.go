package deliver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"handprint/siem"
)

// FeedFolder keeps a MISP feed up to date. What an event is made of stands beside
// the feed, in the folder .handprint: the newest event of each trait with its
// offset, so that a late repeat never takes a newer one's place.
type FeedFolder struct {
	Feed
	lines  map[string][]byte // of the manifest; nil: not read yet
	hashes map[string][]byte // of events in the manifest
}

// memory is what an event of the feed is made of.
type memory struct {
	Event   *siem.MISP       `json:"event"`
	Offsets map[string]int64 `json:"offsets"` // by trait; "" is the suspicion's
}

func newFeedFolder(dir string, o siem.MISPOptions) *FeedFolder {
	return &FeedFolder{Feed: Feed{Dir: dir, Options: o}}
}

// Prepare implements Receiver.
func (f *FeedFolder) Prepare(it *Item) { it.Body = nil }

func (f *FeedFolder) memoryPath(uuid string) string {
	return filepath.Join(f.Dir, ".handprint", uuid+".json")
}

// Deliver implements Receiver.
func (f *FeedFolder) Deliver(_ context.Context, items []*Item) error {
	if err := f.load(); err != nil {
		return err
	}
	touched := map[string]*memory{}
	for _, it := range items {
		one := map[string]*siem.MISP{}
		siem.AddMISP(one, it.Event)
		for identity := range one {
			m := touched[identity]
			if m == nil {
				var err error
				if m, err = f.remember(identity); err != nil {
					return err
				}
				touched[identity] = m
			}
			it.Verdict = m.take(it)
		}
		if it.Outcome == unjudged {
			it.Verdict = Verdict{Done, ""} // of transitions: the row says the same
		}
	}
	for _, m := range touched {
		if err := f.write(m); err != nil {
			return err
		}
	}
	if len(touched) == 0 {
		return nil
	}
	return f.finish(f.lines, f.hashes)
}

// take adds an event, unless there is one that came later.
func (m *memory) take(it *Item) Verdict {
	slot := it.Event.Primitive
	if it.Event.Kind == siem.Identity {
		m.Event.Add(it.Event) // goes by the event's time: merges of one identity may lie in several partitions
		return Verdict{Done, ""}
	}
	if have, ok := m.Offsets[slot]; ok && it.Record.Offset <= have {
		return Verdict{Had, ""}
	}
	m.Offsets[slot] = it.Record.Offset
	m.Event.Add(it.Event)
	return Verdict{Done, ""}
}

// load reads the manifest, and the hashes of the events in it.
func (f *FeedFolder) load() error {
	if f.lines != nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(f.Dir, ".handprint"), 0o755); err != nil {
		return fmt.Errorf("making the MISP feed: %w", err)
	}
	lines, err := f.readManifest()
	if err != nil {
		return err
	}
	hashes := map[string][]byte{}
	text, err := os.ReadFile(filepath.Join(f.Dir, siem.FeedHashes))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the MISP feed: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if _, id, ok := strings.Cut(strings.TrimSpace(line), ","); ok {
			hashes[id] = append(hashes[id], line...)
		}
	}
	f.lines, f.hashes = lines, hashes
	return nil
}

func (f *FeedFolder) remember(identity string) (*memory, error) {
	m := &memory{Event: &siem.MISP{Identity: identity}, Offsets: map[string]int64{}}
	text, err := os.ReadFile(f.memoryPath(m.Event.UUID()))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(text, m)
	}
	if err != nil {
		return nil, fmt.Errorf("reading what the MISP feed has of an identity: %w", err)
	}
	return m, nil
}

// write writes an event, then what it is made of: after a crash between the two
// the event is written once more.
func (f *FeedFolder) write(m *memory) error {
	id := m.Event.UUID()
	if err := f.put(m.Event.FeedFile(), m.Event.Append(nil, &f.Options)); err != nil {
		return err
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // values stay as they are
	if err := e.Encode(m); err != nil {
		return fmt.Errorf("keeping what the MISP feed has of an identity: %w", err)
	}
	if err := writeWhole(f.memoryPath(id), text.Bytes()); err != nil {
		return fmt.Errorf("keeping what the MISP feed has of an identity: %w", err)
	}
	f.lines[id], f.hashes[id] = m.Event.ManifestLine(&f.Options), m.Event.HashLines()
	return nil
}

// Close implements Receiver.
func (f *FeedFolder) Close(context.Context) error { return nil }
