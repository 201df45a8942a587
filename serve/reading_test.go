package serve_test

import (
	"fmt"
	"testing"

	"handprint/serve/catalog"
	"handprint/serve/guard"
	"handprint/serve/servetest"
)

// What metrics and probes show is that of the read side.
func TestAReadSideTellsOfItself(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	s, _ := open(t, app, t.TempDir())
	w, secrets := web(t, s, nil)
	caught(t, s)
	until(t, "the catalogue is complete", func() bool { return w.Reading().Complete })
	before := w.Reading()
	if before.Lag != 0 || before.AsOf == 0 || before.Applied == 0 || before.CatalogBytes == 0 || before.Waiting != "" || len(before.Stuck) != 0 {
		t.Errorf("%+v", before)
	}
	ask(t, w, "GET", "/api/v1/overview", secrets[guard.Read], "")
	ask(t, w, "GET", "/api/v1/overview", "", "") // refused
	if n := w.Reading().Requests - before.Requests; n != 2 {
		t.Errorf("%d requests were counted, of 2", n)
	}
	c, _ := s.Follower.Catalog()
	c.Apply(func(w *catalog.Writer) {
		for n := 0; n < 1<<16; n++ { // more than it can hold
			w.PutRow([]byte("i"), fmt.Appendf(nil, "x.p%d", n), &catalog.Row{Value: []byte("1")})
		}
	})
	if w.Reading().Complete {
		t.Error("a catalogue that lacks primitives is complete")
	}
}
