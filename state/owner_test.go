package state

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A store says when its directory was deleted, or when somebody else has opened
// it, lock or no lock; not before, not when it is closed, and not one that only reads.
func TestOwnerOfAStore(t *testing.T) {
	for name, take := range map[string]func(dir string) error{
		"was deleted": os.RemoveAll,
		"another process uses": func(dir string) error {
			return writeFile(vfs.Default, dir, ownerFile, "somebody else\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir() + "/store"
			s, err := Open(dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.CheckOwner(); err != nil {
				t.Errorf("at once: %v", err)
			}
			if err := take(dir); err != nil {
				t.Fatal(err)
			}
			if err := s.CheckOwner(); !errors.Is(err, ErrTakenAway) || !strings.Contains(err.Error(), name) {
				t.Errorf("error %v", err)
			}
			_ = s.Close() // its files may be gone
			if err := s.CheckOwner(); err != nil {
				t.Errorf("when it is closed: %v", err)
			}
		})
	}
}

func TestReadersOwnNothing(t *testing.T) {
	dir := t.TempDir() + "/store"
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(dir + "/" + ownerFile)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	after, err := os.ReadFile(dir + "/" + ownerFile)
	if err != nil || string(after) != string(before) || r.CheckOwner() != nil {
		t.Errorf("the owner was %s and is %s, %v, %v", before, after, err, r.CheckOwner())
	}
}
