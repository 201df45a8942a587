package topology_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/vectors"
	"handprint/processor"
)

// TestConformanceScenarios runs every line through the whole topology on the
// embedded broker, step by step: each step begins when all that the one before
// caused is done, and the events and tombstones that came in between are its. With
// one partition and with eight if HANDPRINT_CONFORMANCE is all, as make conformance
// has it; else half of the lines run with one and the other half with eight.
func TestConformanceScenarios(t *testing.T) {
	all := os.Getenv("HANDPRINT_CONFORMANCE") == "all"
	for _, file := range vectors.ScenarioFiles {
		for _, partitions := range []int32{1, 8} {
			t.Run(fmt.Sprintf("%s/partitions=%d", strings.TrimSuffix(file, ".jsonl"), partitions), func(t *testing.T) {
				t.Parallel()
				scenarios := vectors.Scenarios(t, file)
				b := startBroker(t)
				for i := range scenarios {
					s := &scenarios[i]
					if !all && (s.Number%2 == 0) != (partitions == 1) {
						continue
					}
					t.Run(fmt.Sprintf("%s/%s", s.Where(), s.Case), func(t *testing.T) {
						t.Parallel()
						a := newApp(t, b, options{prefix: fmt.Sprintf("line%d-", s.Number), partitions: partitions, registry: s.Registry, thresholds: &s.Thresholds})
						runScenario(t, a, s)
					})
				}
			})
		}
	}
}

func runScenario(t *testing.T, a *app, s *vectors.Scenario) {
	a.start()
	defer func() {
		if err := a.end(); err != nil {
			t.Errorf("%s: stopping: %v", s.Where(), err)
		}
	}()
	clock := time.UnixMilli(1_800_000_000_000)
	// The outputs end here after each step.
	ends := make([]map[processor.TopicPartition]int64, len(s.Steps))
	for i := range s.Steps {
		step := &s.Steps[i]
		clock = clock.Add(time.Second)
		switch {
		case step.Op == "sweep":
			ticks := a.names.Ticks(a.partitions, clock)
			if step.TS != 0 {
				ticks = a.names.TicksAt(a.partitions, step.TS)
			}
			for _, r := range ticks {
				r.Timestamp = clock
			}
			a.put(ticks...)
		case step.Op == "restart":
			a.restart()
		default:
			a.put(stepRecord(a, step, clock))
		}
		a.settle()
		ends[i] = a.ends()
	}
	events := make([][]vectors.Event, len(s.Steps))
	dead := make([][]*kgo.Record, len(s.Steps))
	rows, ids := map[string]vectors.Row{}, map[string]bool{}
	for _, r := range a.read(a.outputs()...) {
		at := 0
		for r.Offset >= ends[at][processor.TopicPartition{Topic: r.Topic, Partition: r.Partition}] {
			at++
		}
		switch r.Topic {
		case a.names.StateChanged:
			events[at] = append(events[at], event(t, "state_changed", r.Value))
		case a.names.MultiActorSuspects:
			events[at] = append(events[at], event(t, "multi_actor_suspected", r.Value))
		case a.names.Identities:
			continue // they have no event_id
		case a.names.DeadLetter:
			dead[at] = append(dead[at], r)
		case a.names.State:
			if r.Value == nil {
				delete(rows, string(r.Key))
				continue
			}
			rows[string(r.Key)] = vectorRow(t, r)
			continue
		}
		if id := eventID(r.Value); r.Topic != a.names.DeadLetter {
			if id == "" || ids[id] {
				t.Fatalf("%s: event id %q is missing or stands twice", s.Where(), id)
			}
			ids[id] = true
		}
	}
	var matcher vectors.Matcher
	for i := range s.Steps {
		step := &s.Steps[i]
		if diff := matcher.Diff(step.Events, events[i]); diff != "" {
			t.Fatalf("%s: step %d (%s %.300s): %s", s.Where(), i, step.Op, step.Record, diff)
		}
		if step.Op != "bad" {
			if len(dead[i]) > 0 {
				t.Fatalf("%s: step %d (%s %.300s): a dead letter: %v", s.Where(), i, step.Op, step.Record, dead[i][0].Headers)
			}
			continue
		}
		if len(dead[i]) != 1 || !bytes.Equal(dead[i][0].Value, stepRecord(a, step, clock).Value) {
			t.Fatalf("%s: step %d (%.300s, %s): %d dead letters, want its own", s.Where(), i, step.Record, step.Reason, len(dead[i]))
		}
	}
	got := make([]vectors.Row, 0, len(rows))
	for _, r := range rows {
		got = append(got, r)
	}
	if diff := vectors.DiffRows(s.Rows, got); diff != "" {
		t.Fatalf("%s: %s", s.Where(), diff)
	}
}

func stepRecord(a *app, step *vectors.Step, at time.Time) *kgo.Record {
	r := &kgo.Record{Topic: a.names.Observations, Key: []byte(step.Key), Value: step.Record, Timestamp: at}
	defer func() { a.avro.rewrite(a, r) }()
	if step.Topic == "identity.events" {
		r.Topic = a.names.IdentityEvents
	}
	if step.Type != "" {
		r.Headers = []kgo.RecordHeader{{Key: "type", Value: []byte(step.Type)}}
	}
	return r
}

func eventID(event []byte) string { return textField(event, "event_id") }

// textField returns the text of a field of an event, empty if it has none.
func textField(event []byte, name string) string {
	_, rest, ok := bytes.Cut(event, []byte(`"`+name+`":"`))
	if !ok {
		return ""
	}
	text, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(text)
}
