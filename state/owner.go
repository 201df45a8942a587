package state

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// ownerFile names whoever has opened the store last. The lock keeps other processes
// out only as long as the directory is the same, and as the filesystem keeps locks.
const ownerFile = "owner"

// ErrTakenAway means that the store's directory was deleted under the process, or
// that somebody else uses it.
var ErrTakenAway = errors.New("the store was taken away")

// takeOwnership writes a name of its own into the directory.
func (s *Store) takeOwnership() error {
	s.owner = rand.Text()
	return writeFile(s.fs, s.dir, ownerFile, s.owner+"\n")
}

// CheckOwner returns an error that wraps ErrTakenAway if the directory is not there
// any more, or somebody else has opened it since. Nothing is wrong with a store that
// was opened for reading, or is closed.
func (s *Store) CheckOwner() error {
	if s.frozen || s.usable() != nil {
		return nil
	}
	text, err := readFile(s.fs, s.fs.PathJoin(s.dir, ownerFile))
	switch {
	case s.usable() != nil:
		return nil // closed meanwhile
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s was deleted while the process ran; nothing is lost that the changelog has, so start it again", ErrTakenAway, s.dir)
	case err != nil:
		return fmt.Errorf("looking whose store %s is: %w", s.dir, err)
	case strings.TrimSpace(text) != s.owner:
		return fmt.Errorf("%w: another process uses %s; give each process a state directory of its own", ErrTakenAway, s.dir)
	}
	return nil
}
