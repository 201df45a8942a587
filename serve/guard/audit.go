package guard

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// AuditLine is one line of the audit file.
type AuditLine struct {
	TS        float64         `json:"ts"` // Unix seconds
	Phase     string          `json:"phase" enum:"before,after,broken" doc:"broken: its answer did not come to its end."`
	Subject   string          `json:"subject"`
	Role      string          `json:"role"`
	Method    string          `json:"method" doc:"How the subject proved who it is."`
	From      string          `json:"from" doc:"Address."`
	Action    string          `json:"action"`
	Target    string          `json:"target" doc:"Path and query."`
	Status    int             `json:"status,omitempty"`
	RequestID string          `json:"request_id"`
	Body      json.RawMessage `json:"body,omitempty"`
}

// Audit is the file that says who did what. A line is on the disk before what it
// says is done.
type Audit struct {
	path   string
	also   func(line []byte) error // a topic; nil: none
	mu     sync.Mutex
	file   *os.File
	size   int64
	recent []AuditLine // the newest, for the API
}

const (
	maxAuditBytes  = 64 << 20 // of a file; then it is kept as .1, .2, ...
	maxAuditFiles  = 5
	maxAuditRecent = 1000
)

// OpenAudit opens the file; an empty path keeps the newest lines in memory alone.
// also is given each line as well, and an error of it is one of the audit; nil: nobody.
func OpenAudit(path string, also func(line []byte) error) (*Audit, error) {
	a := &Audit{path: path, also: also}
	if path == "" {
		return a, nil
	}
	if err := a.open(); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("audit-file: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l AuditLine
		if json.Unmarshal(lines.Bytes(), &l) == nil {
			a.remember(l)
		}
	}
	return a, nil
}

// Also gives each line from now on to somebody as well, as OpenAudit does.
func (a *Audit) Also(also func(line []byte) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.also = also
}

func (a *Audit) open() error {
	f, err := os.OpenFile(a.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("audit-file: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("audit-file: %w", errors.Join(err, f.Close()))
	}
	a.file, a.size = f, info.Size()
	return nil
}

// Write writes a line and waits until it is on the disk.
func (a *Audit) Write(l AuditLine) error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("writing the audit: %w", err)
	}
	b = append(b, '\n')
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file != nil {
		if a.size+int64(len(b)) > maxAuditBytes {
			if err := a.rotate(); err != nil {
				return err
			}
		}
		n, err := a.file.Write(b)
		a.size += int64(n)
		if err == nil {
			err = a.file.Sync()
		}
		if err != nil {
			return fmt.Errorf("writing the audit: %w", err)
		}
	}
	if a.also != nil {
		if err := a.also(b[:len(b)-1]); err != nil {
			return fmt.Errorf("writing the audit: %w", err)
		}
	}
	a.remember(l)
	return nil
}

func (a *Audit) rotate() error {
	err := a.file.Close()
	for n := maxAuditFiles - 1; n > 0; n-- {
		from := fmt.Sprintf("%s.%d", a.path, n-1)
		if n == 1 {
			from = a.path
		}
		if rerr := os.Rename(from, fmt.Sprintf("%s.%d", a.path, n)); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	if err != nil {
		return fmt.Errorf("beginning a new audit file: %w", err)
	}
	return a.open()
}

func (a *Audit) remember(l AuditLine) {
	if a.recent = append(a.recent, l); len(a.recent) > 2*maxAuditRecent {
		a.recent = append([]AuditLine{}, a.recent[len(a.recent)-maxAuditRecent:]...)
	}
}

// Recent returns the newest lines, the newest first, at most limit.
func (a *Audit) Recent(limit int) []AuditLine {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []AuditLine{}
	for n := len(a.recent) - 1; n >= 0 && len(list) < min(limit, maxAuditRecent); n-- {
		list = append(list, a.recent[n])
	}
	return list
}

// Close closes the file.
func (a *Audit) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return nil
	}
	return a.file.Close()
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
