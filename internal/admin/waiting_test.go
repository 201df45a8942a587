package admin

import (
	"testing"

	"handprint/processor"
)

// A process that waits for something outside is live, is not ready, and says
// what it waits for, before and after its processor is there.
func TestWaitingIsShown(t *testing.T) {
	what := ""
	waiting := func() string { return what }
	s := new(Server)
	s.AwaitStart(waiting)
	for _, attached := range []bool{false, true} {
		if attached {
			s.Attach(Source{Status: func() processor.Status { return processor.Status{} }, Waiting: waiting})
		}
		for _, what = range []string{"", "the registry", ""} {
			_, h, _ := s.look()
			last := ""
			if len(h.Waiting) > 0 {
				last = h.Waiting[len(h.Waiting)-1]
			}
			if !h.Live || h.Ready != (attached && what == "") || what != "" && last != what {
				t.Errorf("attached %v, waiting for %q: %+v", attached, what, h)
			}
		}
	}
}
