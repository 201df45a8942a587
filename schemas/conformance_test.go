package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"handprint/attribution"
	"handprint/internal/canonical"
	"handprint/internal/vectors"
)

// TestConformanceRecords decodes every record of the conformance vectors
// (testdata/vectors, or the folder in HANDPRINT_VECTORS): each observation and
// identity event must be taken, each bad record refused, but the ones that only
// the registry or the identities can know to be bad.
func TestConformanceRecords(t *testing.T) {
	for _, name := range vectors.ScenarioFiles {
		t.Run(name, func(t *testing.T) {
			for _, line := range vectors.Load(t, name) {
				var scenario struct{ Steps []json.RawMessage }
				if err := json.Unmarshal(line.Text, &scenario); err != nil {
					t.Fatalf("%s: %v", line.Where(), err)
				}
				for i, step := range scenario.Steps {
					if problem := checkStep(step); problem != "" {
						t.Errorf("%s: step %d: %s: %.300s", line.Where(), i, problem, step)
					}
				}
			}
		})
	}
}

// checkStep returns what is wrong with what the decoders make of step.
func checkStep(step []byte) string {
	var s struct {
		Op, Event, Topic, Reason string
		Record                   json.RawMessage
	}
	if err := json.Unmarshal(step, &s); err != nil {
		return err.Error()
	}
	var err error
	switch s.Op {
	case "observe":
		if err := decodeObservation(withoutMembers(step, "op", "events")); err != nil {
			return "refused: " + err.Error()
		}
		return ""
	case "identity":
		if _, err := DecodeIdentityEvent(s.Event, withoutMembers(step, "op", "events", "event")); err != nil {
			return "refused: " + err.Error()
		}
		return ""
	case "sweep", "restart":
		return ""
	case "bad":
		record := []byte(s.Record)
		var text string
		if json.Unmarshal(s.Record, &text) == nil {
			record = []byte(text)
		}
		if s.Topic == "attacker.observation" {
			err = decodeObservation(record)
		} else {
			_, err = DecodeIdentityEvent("", record)
		}
	default:
		return "unknown op"
	}
	wellFormed := strings.HasPrefix(s.Reason, "value does not fit") || s.Reason == "circle" || s.Reason == "identity with itself"
	var b *Bad
	switch {
	case wellFormed && err != nil:
		return "refused: " + err.Error()
	case !wellFormed && err == nil:
		return "taken, but " + s.Reason
	case !wellFormed && !errors.As(err, &b):
		return "no *Bad: " + err.Error()
	}
	return ""
}

func decodeObservation(record []byte) error {
	var d ObservationDecoder
	var o attribution.Observation
	return d.Decode(record, &o)
}

// withoutMembers is the text of an object without some of its members, the
// others as they stand.
func withoutMembers(object []byte, names ...string) []byte {
	var s canonical.Scanner
	s.Reset(object)
	out := []byte("{")
	err := s.Object()
	for err == nil {
		var key []byte
		var ok bool
		if key, ok, err = s.Member(); err != nil || !ok {
			break
		}
		left := false
		for _, name := range names {
			left = left || name == string(key)
		}
		name := string(key)
		start := s.Offset()
		if err = s.Skip(); !left {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(canonical.AppendString(out, name), ':')
			out = append(out, bytes.TrimSpace(object[start:s.Offset()])...)
		}
	}
	return append(out, '}')
}
