package catalog

import (
	"fmt"
	"strings"
	"testing"
)

// Suspicions that are over are kept up to a number and up to a size, whatever identities they
// are of: the newest ones. The ones that hold are all kept.
func TestSuspicionsThatAreOverAreBounded(t *testing.T) {
	for what, of := range map[string]struct {
		n, size int
	}{"many": {4*maxCleared + 10, 0}, "large": {3000, 100_000}} {
		c := New()
		c.Apply(func(w *Writer) {
			for n := range of.n {
				id := fmt.Sprintf("i%d", n)
				s := &Suspicion{ID: "s" + id, EventID: "e" + id, Identity: id, Status: Raised, TS: float64(n), Summary: strings.Repeat("x", of.size)}
				w.PutSuspicion(s)
				if n > 0 {
					s.Status, s.EventID = Cleared, s.EventID+"c"
					w.PutSuspicion(s)
				}
			}
		})
		page, total := c.Suspicions(&SuspicionFilter{Statuses: []string{Cleared}}, nil, 1)
		bytes := 0
		for _, s := range c.suspicions {
			if !s.IsOpen() {
				bytes += s.memory()
			}
		}
		if total > 2*maxCleared || bytes > 2*maxClearedBytes || len(c.latest) != total+1 {
			t.Errorf("%s: %d of %d bytes, %d identities have one", what, total, bytes, len(c.latest))
		}
		if total < maxCleared && bytes < maxClearedBytes/2 || page[0].TS != float64(of.n-1) {
			t.Errorf("%s: %d of %d bytes are left, the newest of %v", what, total, bytes, page[0].TS)
		}
		if c.over != total || c.overBytes != bytes || c.SuspicionOf("i0") == nil {
			t.Errorf("%s: counted %d of %d bytes; there are %d of %d", what, c.over, c.overBytes, total, bytes)
		}
	}
}
