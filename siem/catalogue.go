package siem

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Catalogue is ATT&CK's own STIX bundle, which the user gives. It is read when
// it is first asked for something, and never before: it is tens of megabytes.
type Catalogue struct {
	path   string
	digest string // SHA-256 in hex
	once   sync.Once
	byID   map[string]catalogueEntry
	err    error
}

type catalogueEntry struct {
	name string
	gone bool // revoked or deprecated
}

// cataloguesRead counts catalogues that were read, for the test that no other
// command reads one.
var cataloguesRead atomic.Int64

// NewCatalogue returns the catalogue in a file whose SHA-256 is digest. The file
// is not opened.
func NewCatalogue(path, digest string) (*Catalogue, error) {
	if len(digest) != 2*sha256.Size {
		return nil, fmt.Errorf("the digest of an ATT&CK catalogue is the SHA-256 of its file: 64 hex digits")
	}
	return &Catalogue{path: path, digest: strings.ToLower(digest)}, nil
}

func (c *Catalogue) load() error {
	c.once.Do(func() {
		cataloguesRead.Add(1)
		c.byID, c.err = readCatalogue(c.path, c.digest)
	})
	return c.err
}

func readCatalogue(path, digest string) (map[string]catalogueEntry, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the ATT&CK catalogue: %w", err)
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != digest {
		return nil, fmt.Errorf("the ATT&CK catalogue %s has the SHA-256 %x, not %s", path, sum, digest)
	}
	var bundle struct {
		Objects []struct {
			Type, Name string
			Revoked    bool
			Deprecated bool `json:"x_mitre_deprecated"`
			Refs       []struct {
				Source   string `json:"source_name"`
				External string `json:"external_id"`
			} `json:"external_references"`
		}
	}
	if err := json.Unmarshal(text, &bundle); err != nil {
		return nil, fmt.Errorf("the ATT&CK catalogue %s: %w", path, err)
	}
	byID := map[string]catalogueEntry{}
	for _, o := range bundle.Objects {
		if o.Type != "attack-pattern" && o.Type != "x-mitre-tactic" {
			continue
		}
		for _, r := range o.Refs {
			if r.Source != "mitre-attack" {
				continue
			}
			e := catalogueEntry{name: o.Name, gone: o.Revoked || o.Deprecated}
			if have, twice := byID[r.External]; !twice || have.gone {
				byID[r.External] = e
			}
		}
	}
	if len(byID) == 0 {
		return nil, fmt.Errorf("the ATT&CK catalogue %s has no techniques", path)
	}
	return byID, nil
}

// Complete fills in the catalogue's names, and drops entries that
// it has revoked or does not know. The first call reads the file.
func (c *Catalogue) Complete(list []Technique) ([]Technique, error) {
	if len(list) == 0 {
		return list, nil
	}
	if err := c.load(); err != nil {
		return nil, err
	}
	list = slices.Clone(list)
	kept := list[:0]
	for _, t := range list {
		e, ok := c.byID[t.ID]
		if !ok || e.gone {
			continue
		}
		t.Name = e.name
		if parent, ok := c.byID[t.technique()]; ok {
			t.Parent = parent.name
		}
		kept = append(kept, t)
	}
	return kept, nil
}
