package endpoint

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Role is what a token must be for to send here.
const Role = "ingest"

// Tokens are the tokens of a file as handprint token writes it: a JSON array of
// objects with name, role, sha256 and, for some, expires. The file is read
// again when it changes.
type Tokens struct {
	file string
	now  func() time.Time

	mu       sync.Mutex
	list     []token
	modified time.Time
	size     int64
	looked   time.Time
}

type token struct {
	Name    string    `json:"name"`
	Role    string    `json:"role"`
	SHA256  string    `json:"sha256"`
	Expires time.Time `json:"expires"`
}

// ReadTokens reads the tokens of a file.
func ReadTokens(file string) (*Tokens, error) {
	t := &Tokens{file: file, now: time.Now}
	if err := t.read(); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Tokens) read() error {
	info, err := os.Stat(t.file)
	if err != nil {
		return fmt.Errorf("token-file: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("token-file %s can be written by others: chmod 600 it", t.file)
	}
	text, err := os.ReadFile(t.file)
	if err != nil {
		return fmt.Errorf("token-file: %w", err)
	}
	var list []token
	if err := json.Unmarshal(text, &list); err != nil {
		return fmt.Errorf("token-file %s: %w", t.file, err)
	}
	t.list, t.modified, t.size = list, info.ModTime(), info.Size()
	return nil
}

// lookEvery is how often the file is looked at.
const lookEvery = time.Second

func (t *Tokens) current(now time.Time) []token {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.looked) >= lookEvery || now.Before(t.looked) {
		t.looked = now
		info, err := os.Stat(t.file)
		switch {
		case errors.Is(err, os.ErrNotExist):
			t.list = nil // all are revoked
		case err == nil && (!info.ModTime().Equal(t.modified) || info.Size() != t.size):
			if t.read() != nil {
				t.list = nil // a file that cannot be read lets nobody in
			}
		}
	}
	return t.list
}

// Find returns the name and the role of a token. All are compared, each in
// constant time.
func (t *Tokens) Find(secret string) (name, role string, ok bool) {
	sum := sha256.Sum256([]byte(secret))
	given := []byte(hex.EncodeToString(sum[:]))
	now := t.now()
	for _, k := range t.current(now) {
		if subtle.ConstantTimeCompare(given, []byte(k.SHA256)) == 1 && (k.Expires.IsZero() || now.Before(k.Expires)) {
			name, role, ok = k.Name, k.Role, true
		}
	}
	return name, role, ok
}
