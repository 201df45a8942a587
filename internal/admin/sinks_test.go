package admin

import (
	"strings"
	"testing"

	"handprint/siem/deliver"
)

// A process that only delivers is live and ready, and not ready while a receiver
// is only probed.
func TestHealthOfSinks(t *testing.T) {
	s := new(Server)
	open := false
	s.Attach(Source{Sinks: func() []deliver.Status {
		return []deliver.Status{{Name: "elastic", Open: open, LastError: "502 Bad Gateway"}}
	}})
	if _, h, _ := s.look(); !h.Live || !h.Ready {
		t.Errorf("%+v", h)
	}
	open = true
	if _, h, _ := s.look(); !h.Live || h.Ready || len(h.Waiting) != 1 || !strings.Contains(h.Waiting[0], "502 Bad Gateway") {
		t.Errorf("%+v", h)
	}
}
