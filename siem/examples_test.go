package siem

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"handprint/attribution"
)

// names are the topics of the examples.
var names = Topics{
	StateChanged: "attribution.profile.state_changed", Suspected: "attribution.profile.multi_actor_suspected",
	IdentityChanged: "attribution.profile.identity_changed", State: "attribution.state",
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func decode(t testing.TB, topic string, value []byte) *Event {
	t.Helper()
	d := Decoder{Topics: names}
	e, err := d.Decode(&Record{Topic: topic, Value: value})
	if err != nil {
		t.Fatalf("%s: %v", value, err)
	}
	return e
}

// examples are the events of docs/siem.md: a transition, a suspicion, a row, a
// tombstone and a merge.
func examples(t testing.TB) (transition, suspicion, row, tombstone, merge *Event) {
	transition = decode(t, names.StateChanged, bytes.TrimSpace(readFile(t, "examples/state_changed.ndjson")))
	suspicion = decode(t, names.Suspected, bytes.TrimSpace(readFile(t, "examples/multi_actor_suspected.ndjson")))
	row = decode(t, names.State, bytes.TrimSpace(readFile(t, "examples/rows.ndjson")))
	const loser = "586707ea-d005-8f63-a1a8-3d9e117df6a5"
	tombstone = &Event{Kind: Tombstone, ID: "25752ec5-3e2d-547a-beee-8ef60b41e516", Topic: names.State, Time: 1795958900250, Identity: loser, Primitive: "toolchain.ssh.hassh_client"}
	merge = &Event{Kind: Identity, Change: attribution.Merged, ID: "13e08548-0500-590c-a9ae-3614a0f5d972", Topic: "identity.events", Time: 1795958900250,
		Identity: "6af1e32f-384d-8f7e-8f1b-ba38aeb755a8", Other: loser}
	return transition, suspicion, row, tombstone, merge
}

func sameJSON(t *testing.T, got, want []byte) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	if err := json.Unmarshal(want, &w); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// The examples of the specification, line by line.
func TestExamplesOfLines(t *testing.T) {
	transition, suspicion, row, tombstone, merge := examples(t)
	o := Options{Version: "0.0.0"}
	for _, c := range []struct {
		file   string
		format Format
		events []*Event
	}{
		{"examples/ocsf.ndjson", OCSF, []*Event{transition, suspicion, tombstone, merge}},
		{"examples/ecs.ndjson", ECS, []*Event{transition, suspicion, row, merge}},
		{"examples/cef.log", CEF, []*Event{transition, suspicion, row, merge}},
		{"examples/leef.log", LEEF, []*Event{transition, suspicion, row, merge}},
	} {
		f := NewFormatter(c.format, o)
		lines := strings.Split(strings.TrimSuffix(string(readFile(t, c.file)), "\n"), "\n")
		for i, e := range c.events {
			got := string(f.Append(nil, e))
			if got == lines[i] {
				continue
			}
			if c.format == OCSF || c.format == ECS {
				sameJSON(t, []byte(got), []byte(lines[i]))
				continue
			}
			t.Errorf("%s:%d\ngot  %s\nwant %s", c.file, i+1, got, lines[i])
		}
	}
}

func TestExampleOfStix(t *testing.T) {
	transition, suspicion, _, _, merge := examples(t)
	b := NewBundle()
	for _, e := range []*Event{transition, suspicion, transition, merge} {
		b.Add(e)
	}
	sameJSON(t, b.Append(nil), readFile(t, "examples/stix.json"))
}

func TestExampleOfMISP(t *testing.T) {
	_, suspicion, row, _, _ := examples(t)
	m := MISP{Identity: row.Identity}
	m.Add(row)
	m.Add(suspicion)
	sameJSON(t, m.Append(nil, &MISPOptions{}), readFile(t, "examples/misp.json"))
}
