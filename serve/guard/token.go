package guard

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// tokenPrefix begins every token, so that scanners of repositories know one.
const tokenPrefix = "hp_"

// Token is what is kept of a token: never the token itself.
type Token struct {
	Name    string    `json:"name"`
	Role    Role      `json:"role"`
	SHA256  string    `json:"sha256"` // hexadecimal
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
}

// NewToken returns a token and what is to be kept of it.
func NewToken(name string, role Role, created, expires time.Time) (secret string, t Token) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	secret = tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	sum := sha256.Sum256([]byte(secret))
	return secret, Token{Name: name, Role: role, SHA256: hex.EncodeToString(sum[:]), Created: created.UTC(), Expires: expires}
}

// ReadTokens reads a file of tokens; one that is not there has none.
func ReadTokens(file string) ([]Token, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("token-file: %w", err)
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("token-file: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("token-file %s can be written by others: chmod 600 it", file)
	}
	var list []Token
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("token-file %s: %w", file, err)
	}
	for _, t := range list {
		if _, err := ParseRole(string(t.Role)); err != nil {
			return nil, fmt.Errorf("token-file %s: token %q: %w", file, t.Name, err)
		}
	}
	return list, nil
}

// WriteTokens replaces a file of tokens, readable by its owner alone.
func WriteTokens(file string, list []Token) error {
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return fmt.Errorf("token-file: %w", err)
	}
	temp, err := os.CreateTemp(filepath.Dir(file), ".tokens-*") // with the mode 0600
	if err != nil {
		return fmt.Errorf("token-file: %w", err)
	}
	_, err = temp.Write(append(text, '\n'))
	if err = errors.Join(err, temp.Sync(), temp.Close()); err == nil {
		err = os.Rename(temp.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("token-file: %w", errors.Join(err, os.Remove(temp.Name())))
	}
	return nil
}

// tokens are those of a file, read again when the file changes.
type tokens struct {
	file  string
	now   func() time.Time
	fixed []Token // made at the start

	mu     sync.Mutex
	list   []Token
	mod    time.Time
	size   int64
	looked time.Time
}

// lookEvery is how often the file is looked at.
const lookEvery = time.Second

func (t *tokens) load() error {
	if t.file == "" {
		return nil
	}
	list, err := ReadTokens(t.file)
	if err != nil {
		return err
	}
	t.list = list
	if info, err := os.Stat(t.file); err == nil {
		t.mod, t.size = info.ModTime(), info.Size()
	}
	return nil
}

// find returns the subject of a token. All are compared, each in constant time.
func (t *tokens) find(secret string) (s Subject, ok bool) {
	if !strings.HasPrefix(secret, tokenPrefix) {
		return s, false
	}
	sum := sha256.Sum256([]byte(secret))
	given := []byte(hex.EncodeToString(sum[:]))
	now := t.now()
	for _, k := range t.current(now) {
		if subtle.ConstantTimeCompare(given, []byte(k.SHA256)) == 1 && (k.Expires.IsZero() || now.Before(k.Expires)) {
			s, ok = Subject{Name: k.Name, Role: k.Role, Method: "token"}, true
		}
	}
	return s, ok
}

func (t *tokens) current(now time.Time) []Token {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file != "" && (now.Sub(t.looked) >= lookEvery || now.Before(t.looked)) {
		t.looked = now
		if info, err := os.Stat(t.file); err != nil && errors.Is(err, os.ErrNotExist) {
			t.list = nil // all are revoked
		} else if err == nil && (!info.ModTime().Equal(t.mod) || info.Size() != t.size) {
			if err := t.load(); err != nil {
				t.list = nil // a file that cannot be read lets nobody in
			}
		}
	}
	return slices.Concat(t.fixed, t.list)
}
