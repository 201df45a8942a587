package guard

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// sessionAge is how long somebody who has logged in stays so.
const sessionAge = 8 * time.Hour

// sessions seals subjects into cookies. There is no state in the process, so a
// replica with the same key takes them.
type sessions struct {
	aead   cipher.AEAD
	secure bool // the interface is reached by TLS
	path   string
	now    func() time.Time
}

type session struct {
	Subject Subject   `json:"s"`
	Expires time.Time `json:"e"`
	Token   string    `json:"t,omitempty"` // of a token's session: it ends with the token
}

func newSessions(key []byte, secure bool, path string, now func() time.Time) (*sessions, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("the key of the sessions has to have 32 bytes: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	return &sessions{aead: aead, secure: secure, path: path, now: now}, err
}

// sessionKey reads a key, or makes one where there is none, which is kept if keep is set.
func sessionKey(file string, keep bool) ([]byte, error) {
	key := make([]byte, 32)
	if file == "" {
		_, _ = rand.Read(key) // it never fails
		return key, nil
	}
	have, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		_, _ = rand.Read(key) // it never fails
		if keep {
			err = os.WriteFile(file, key, 0o600)
		} else {
			err = canWrite(filepath.Dir(file))
		}
		if err != nil {
			return nil, fmt.Errorf("web-session-key: %w", err)
		}
		return key, nil
	}
	if err == nil && len(have) != 32 {
		err = fmt.Errorf("%s has %d bytes, not 32: name a file that is not there, and it is made", file, len(have))
	}
	if err != nil {
		return nil, fmt.Errorf("web-session-key: %w", err)
	}
	return have, nil
}

// canWrite returns an error for a folder in which no file can be made. It leaves none.
func canWrite(folder string) error {
	f, err := os.CreateTemp(folder, ".handprint-*")
	if err != nil {
		var at *os.PathError
		if errors.As(err, &at) {
			err = at.Err // the path is one that nobody has named
		}
		return fmt.Errorf("no file can be made in %s: %w", folder, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func (s *sessions) name() string {
	if s.secure && s.path == "/" {
		return "__Host-handprint"
	}
	return "handprint"
}

func (s *sessions) seal(v any, purpose string) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, s.aead.NonceSize())
	_, _ = rand.Read(nonce) // it never fails
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, text, []byte(purpose))), nil
}

func (s *sessions) open(sealed, purpose string, v any) bool {
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil || len(b) < s.aead.NonceSize() {
		return false
	}
	text, err := s.aead.Open(nil, b[:s.aead.NonceSize()], b[s.aead.NonceSize():], []byte(purpose))
	return err == nil && json.Unmarshal(text, v) == nil
}

// begin sets the cookie of a subject who has logged in.
func (s *sessions) begin(w http.ResponseWriter, v session) error {
	v.Expires = s.now().Add(sessionAge)
	sealed, err := s.seal(v, "session")
	if err != nil {
		return err
	}
	http.SetCookie(w, &http.Cookie{Name: s.name(), Value: sealed, Path: s.path, MaxAge: int(sessionAge / time.Second), Secure: s.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return nil
}

func (s *sessions) end(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{Name: s.name(), Path: s.path, MaxAge: -1, Secure: s.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// of returns the subject of a request's cookie.
func (s *sessions) of(r *http.Request) (v session, ok bool) {
	c, err := r.Cookie(s.name())
	if err != nil || !s.open(c.Value, "session", &v) || s.now().After(v.Expires) {
		return session{}, false
	}
	return v, true
}
