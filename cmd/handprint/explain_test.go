package main

import (
	"encoding/json"
	"strings"
	"testing"

	"handprint/attribution"
	"handprint/serve/servetest"
)

// A primitive with a long name is explained by the name that a suspicion gives it, cut.
func TestExplainTakesTheNamesOfSuspicions(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	long := "odd." + strings.Repeat("abcdefgh", 40)
	app.Send(app.Observation("a1", long, `"f1"`, 1_699_999_000), app.Observation("a1", long+"x", `"f2"`, 1_699_999_000))
	environ := []string{"HANDPRINT_BROKERS=" + strings.Join(app.Broker.Addrs(), ","), "HANDPRINT_APPLICATION_ID=app"}
	id := attribution.Stub([]byte("a1")).String()
	for _, name := range []string{long, attribution.ShortPrimitive(long)} {
		r := handprint(deadline(t), "", environ, "explain", id, name, "--json")
		var x struct {
			Primitive     string
			Agrees        bool
			Contributions int
		}
		if err := json.Unmarshal([]byte(r.out), &x); r.code != exitOK || err != nil || x.Primitive != long || !x.Agrees || x.Contributions != 1 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	none := attribution.ShortPrimitive(long + "y")
	if r := handprint(deadline(t), "", environ, "explain", id, none); r.code == exitOK || !strings.Contains(r.err, "has no row of") {
		t.Errorf("a name that nobody has: %+v", r)
	}
}
