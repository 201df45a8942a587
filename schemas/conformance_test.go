package schemas

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"handprint/attribution"
	"handprint/canonical"
)

// TestConformanceRecords decodes every record of the conformance vectors
// (testdata/vectors, or the folder in HANDPRINT_VECTORS): each observation and
// identity event must be taken, each bad record refused, but those that only
// the registry or the identities can know to be bad.
func TestConformanceRecords(t *testing.T) {
	folder := os.Getenv("HANDPRINT_VECTORS")
	if folder == "" {
		folder = filepath.Join("..", "testdata", "vectors")
	}
	for _, name := range []string{"scenarios.jsonl", "scenarios-identity.jsonl", "scenarios-hard.jsonl"} {
		t.Run(name, func(t *testing.T) {
			file, err := os.Open(filepath.Join(folder, name))
			if errors.Is(err, fs.ErrNotExist) && os.Getenv("HANDPRINT_VECTORS") != "" {
				t.Skipf("no %s", filepath.Join(folder, name))
			}
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			lines := bufio.NewScanner(file)
			lines.Buffer(nil, 64<<20)
			records := 0
			for line := 1; lines.Scan(); line++ {
				var scenario struct{ Steps []json.RawMessage }
				if err := json.Unmarshal(lines.Bytes(), &scenario); err != nil {
					t.Fatalf("%s:%d: %v", name, line, err)
				}
				for i, step := range scenario.Steps {
					if problem := checkStep(step); problem != "" {
						t.Errorf("%s:%d: step %d: %s: %.300s", name, line, i, problem, step)
					}
					records++
				}
			}
			if err := lines.Err(); err != nil {
				t.Fatal(err)
			}
			if records == 0 {
				t.Fatal("no case")
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
	case "sweep":
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
