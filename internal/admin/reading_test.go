package admin

import (
	"net/http/httptest"
	"testing"

	"handprint/internal/metrics"
)

// A read side is ready once its catalogue is complete, and live while it gets on.
func TestHealthOfAReadSide(t *testing.T) {
	s := new(Server)
	var r metrics.Reading
	s.Attach(Source{Reading: func() *metrics.Reading { return &r }})
	for _, c := range []struct {
		reading     metrics.Reading
		live, ready bool
	}{
		{metrics.Reading{Waiting: "the catalogue is being built: 5 %"}, true, false},
		{metrics.Reading{Complete: true}, true, true},
		{metrics.Reading{Complete: true, Alone: "no broker has answered since the start"}, true, true},
		{metrics.Reading{Complete: true, Stuck: []string{"the copy of partition 3 is stuck: no progress"}}, false, true},
	} {
		r = c.reading
		if _, h, _ := s.look(); h.Live != c.live || h.Ready != c.ready {
			t.Errorf("%+v: %+v", c.reading, h)
		}
	}
	r = metrics.Reading{Complete: true, Alone: "as of then", LeavesOut: true, MissingTopics: []string{"a"}}
	w := httptest.NewRecorder()
	if s.readyz(w, nil); w.Code != 200 || w.Body.String() != "ready\nas of then\nlists leave out primitives that are not registered: there are too many\ntopic a is not there: what it said is shown as it was\n" {
		t.Errorf("/readyz: %d %q", w.Code, w.Body)
	}
}
