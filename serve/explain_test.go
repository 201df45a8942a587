package serve_test

import (
	"bufio"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"handprint/attribution"
	"handprint/ingest"
	"handprint/ingest/cowrie"
	"handprint/ingest/cowrie/lab"
	"handprint/serve/servetest"
)

// Every row that the sample log of the lab leads to is explained by what it says.
func TestEveryRowOfTheLabIsExplained(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	var records []*kgo.Record
	adapter, err := cowrie.New(cowrie.DefaultSettings(), func(o ingest.Observation) error {
		records = append(records, &kgo.Record{Topic: app.Names.Observations, Key: []byte(o.Attacker), Timestamp: app.Now, Value: o.AppendJSON(nil)})
		return nil
	}, func(ingest.DeadLetter) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(lab.Log())
	for lines.Scan() {
		if err := adapter.Line(lines.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	if err := adapter.Close(); err != nil || len(records) < 1000 {
		t.Fatalf("%d observations, %v", len(records), err)
	}
	app.Send(records...)
	s, _ := open(t, app, t.TempDir())
	caught(t, s)
	checkRows(t, app, s)
}

// After random histories of observations and identity events, late ones and odd values
// among them, two read sides say the same as the application, and explain each row by
// what it says.
func TestRandomHistoriesAreShownAndExplained(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	one, _ := open(t, app, t.TempDir())
	two, _ := open(t, app, t.TempDir())
	history := 0
	rapid.Check(t, func(r *rapid.T) {
		history++
		// Looking at everything takes longer than sending it. One that is looked at
		// has an application of its own: what an earlier one did does not fail it.
		app, one, two, look := app, one, two, rapid.IntRange(0, 9).Draw(r, "look") == 0
		if look {
			app = servetest.Start(t)
			var stops [2]func()
			one, stops[0] = open(t, app, t.TempDir())
			two, stops[1] = open(t, app, t.TempDir())
			defer func() {
				for _, stop := range stops {
					stop()
				}
			}()
		}
		attacker := func(label string) string {
			return fmt.Sprintf("h%d %s", history, rapid.SampledFrom([]string{"a", "b", "ü", "=c", "d\u202e"}).Draw(r, label))
		}
		var records []*kgo.Record
		for n := range rapid.IntRange(1, 40).Draw(r, "records") {
			if rapid.IntRange(0, 9).Draw(r, "kind") > 0 {
				primitive := rapid.SampledFrom([]string{hassh, "cognitive.planning_depth", "motor.keystroke_cadence", "no.such", "environmental.locale"}).Draw(r, "primitive")
				value := rapid.SampledFrom([]string{`"x"`, `"y"`, `"<script>"`, `"\u202e=1+1"`, "0.5", "70", "null", `{"a":[1]}`}).Draw(r, "value")
				ts := float64(1_699_990_000 + 10*n + rapid.SampledFrom([]int{0, 0, 0, -5000, 3}).Draw(r, "skew"))
				records = append(records, app.Observation(attacker("attacker"), primitive, value, ts))
				continue
			}
			x, y := stub(attacker("x")), stub(attacker("y"))
			e := attribution.IdentityEvent{Type: attribution.Merged, Identity: x, Loser: y}
			switch rapid.IntRange(0, 3).Draw(r, "event") {
			case 0:
				e = attribution.IdentityEvent{Type: attribution.Unmerged, Identity: x, Loser: y, Attackers: []string{attacker("out")}}
			case 1:
				e = attribution.IdentityEvent{Type: attribution.Formed, Identity: fmt.Sprint("f", history), Attackers: []string{attacker("in"), attacker("in too")}}
			}
			records = append(records, app.Event(e))
		}
		app.Send(records...)
		if !look {
			return
		}
		caught(r, one)
		caught(r, two)
		checkRows(r, app, one)
		checkRows(r, app, two)
	})
	caught(t, one)
	caught(t, two)
	checkRows(t, app, one)
	checkRows(t, app, two)
	if a, b := ids(t, one), ids(t, two); a != b {
		t.Errorf("one says\n%s\nthe other\n%s", a, b)
	}
}
