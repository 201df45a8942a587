// Package vectors reads the conformance vectors and compares what the program
// did with what they expect. It is for tests; testdata/vectors/README.md
// describes the files.
package vectors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"handprint/attribution"
)

// Line is one line of a file.
type Line struct {
	File   string
	Number int // from 1
	Text   []byte
}

// Where names the line as a failing test prints it.
func (l Line) Where() string { return fmt.Sprintf("%s:%d", l.File, l.Number) }

// files are the vectors that there are.
var files = []string{"merge.jsonl", "scenarios.jsonl", "scenarios-identity.jsonl", "scenarios-hard.jsonl", "scenarios-previous.jsonl", "suspicion.jsonl", "cowrie.jsonl"}

// ScenarioFiles are the files that Scenarios reads.
var ScenarioFiles = []string{"scenarios.jsonl", "scenarios-identity.jsonl", "scenarios-hard.jsonl", "scenarios-previous.jsonl", "suspicion.jsonl"}

// moduleRoot is the nearest folder above the test that holds a go.mod.
func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	t.Fatalf("no go.mod above the working directory: %v", err)
	return ""
}

// Load reads a file of vectors from the folder that HANDPRINT_VECTORS names (a
// relative one is relative to the repository), or from the repository's own. A
// file that is missing in the former is skipped by name; one without a line
// fails the test, and so does a folder without any of the files.
func Load(t *testing.T, file string) []Line {
	t.Helper()
	root := moduleRoot(t)
	dir := os.Getenv("HANDPRINT_VECTORS")
	given := dir != ""
	switch {
	case !given:
		dir = filepath.Join(root, "testdata", "vectors")
	case !filepath.IsAbs(dir):
		dir = filepath.Join(root, dir)
	}
	text, err := os.ReadFile(filepath.Join(dir, file))
	if errors.Is(err, fs.ErrNotExist) && given {
		if !anyVectors(dir) {
			t.Fatalf("HANDPRINT_VECTORS: %s holds none of %s", dir, strings.Join(files, ", "))
		}
		t.Skipf("%s is not in HANDPRINT_VECTORS", file)
	}
	if err != nil {
		t.Fatal(err)
	}
	var lines []Line
	for i, l := range bytes.Split(text, []byte("\n")) {
		if len(bytes.TrimSpace(l)) > 0 {
			lines = append(lines, Line{File: file, Number: i + 1, Text: l})
		}
	}
	if len(lines) == 0 {
		t.Fatalf("%s holds no vectors", file)
	}
	return lines
}

func anyVectors(dir string) bool {
	for _, f := range files {
		if _, err := os.Stat(filepath.Join(dir, f)); err == nil {
			return true
		}
	}
	return false
}

// Scenario is a line of the scenario files.
type Scenario struct {
	Line
	Case     string
	Registry *attribution.Registry
	// Thresholds are the defaults but for the line's settings. Of a line without
	// any, the rule is primitives.
	Thresholds attribution.Thresholds
	Steps      []Step
	Rows       []Row
}

// Step is one input and all events that it, and nothing else, must cause.
type Step struct {
	Op     string // observe, identity, sweep, bad, restart
	Topic  string // the default name of the topic that Record goes to
	Key    string
	Type   string // the `type` header of an identity event; empty: none
	Record []byte
	Reason string  // of a bad record, for people
	TS     float64 // of a sweep: the tick's time; 0: any
	Events []Event
}

// Event is a transition or a suspicion without what is the program's own: its
// event_id, the ts of a suspicion without a status, the summary of one with it.
// A suspicion_id is a name in the vectors: see Matcher.
type Event struct {
	Type       string          `json:"type"`
	Identity   string          `json:"identity_uuid"`
	Primitive  string          `json:"primitive,omitempty"`
	OldState   *string         `json:"old_state,omitempty"`
	NewState   string          `json:"new_state,omitempty"`
	Value      json.RawMessage `json:"current_value,omitempty"`
	Previous   json.RawMessage `json:"previous_value,omitempty"` // not looked at if the vectors do not say it
	Confidence float64         `json:"confidence"`
	Count      int64           `json:"observation_count,omitempty"`
	TS         float64         `json:"ts,omitempty"`
	Primitives []string        `json:"primitives,omitempty"`
	Summary    string          `json:"evidence_summary,omitempty"`

	Status      string   `json:"status,omitempty"`
	SuspicionID string   `json:"suspicion_id,omitempty"`
	Reasons     []Reason `json:"reasons,omitempty"`
	Groups      []string `json:"groups,omitempty"`
}

// Reason is a reason of a suspicion.
type Reason struct {
	Primitive string            `json:"primitive"`
	Kind      string            `json:"kind"`
	Group     string            `json:"group"`
	Values    []json.RawMessage `json:"values"`
	New       bool              `json:"new"`
}

// Row is a state row.
type Row struct {
	Identity          string          `json:"identity_uuid"`
	Primitive         string          `json:"primitive"`
	State             string          `json:"state"`
	Value             json.RawMessage `json:"current_value"`
	Confidence        float64         `json:"confidence"`
	Count             int64           `json:"observation_count"`
	LastObservationTS float64         `json:"last_observation_ts"`
	LastChangeTS      float64         `json:"last_change_ts"`
	Returns           bool            `json:"returns,omitempty"`
}

// Scenarios reads a file of scenarios.
func Scenarios(t *testing.T, file string) []Scenario {
	t.Helper()
	var list []Scenario
	for _, l := range Load(t, file) {
		s, err := parseScenario(l)
		if err != nil {
			t.Fatalf("%s: %v", l.Where(), err)
		}
		list = append(list, s)
	}
	return list
}

func parseScenario(l Line) (Scenario, error) {
	var raw struct {
		Case  string
		Kinds map[string]*string

		Groups    map[string]string
		Returning []string
		Settings  map[string]any
		Steps     []map[string]json.RawMessage
		Rows      []Row
	}
	s := Scenario{Line: l}
	if err := json.Unmarshal(l.Text, &raw); err != nil {
		return s, err
	}
	var primitives []attribution.Primitive
	for name, kind := range raw.Kinds {
		if kind == nil {
			continue
		}
		k, err := attribution.ParseKind(*kind)
		if err != nil {
			return s, err
		}
		primitives = append(primitives, attribution.Primitive{
			Name: name, Kind: k, Group: raw.Groups[name], Returning: slices.Contains(raw.Returning, name),
		})
	}
	var err error
	if s.Registry, err = attribution.NewRegistry(primitives); err != nil {
		return s, err
	}
	if s.Thresholds, err = thresholds(raw.Settings); err != nil {
		return s, err
	}
	s.Case, s.Rows = raw.Case, raw.Rows
	for i := range s.Rows {
		s.Rows[i].Identity = resolve(s.Rows[i].Identity)
	}
	for i, fields := range raw.Steps {
		step, err := parseStep(fields, i)
		if err != nil {
			return s, fmt.Errorf("step %d: %w", i, err)
		}
		s.Steps = append(s.Steps, step)
	}
	return s, nil
}

// thresholds are those of a line with these settings; nil: it has none.
func thresholds(settings map[string]any) (attribution.Thresholds, error) {
	t := attribution.DefaultThresholds()
	if settings == nil {
		t.SuspicionRule = attribution.RulePrimitives
		return t, nil
	}
	for name, v := range settings {
		if name == "suspicion-rule" {
			rule, err := attribution.ParseSuspicionRule(fmt.Sprint(v))
			if err != nil {
				return t, err
			}
			t.SuspicionRule = rule
			continue
		}
		n, ok := v.(float64)
		if !ok {
			return t, fmt.Errorf("setting %s: %v is no number", name, v)
		}
		switch name {
		case "suspicion-quiet":
			t.SuspicionQuiet = n
		case "suspicion-groups":
			t.SuspicionGroups = int(n)
		case "return-min-seen":
			t.ReturnMinSeen = int(n)
		case "return-lag":
			t.ReturnLag = n
		case "return-lag-changes":
			t.ReturnLagChanges = int(n)
		case "return-lag-cv":
			t.ReturnLagCV = n
		case "multi-actor-confidence-cap":
			t.MultiActorCap = n
		case "multi-actor-min-primitives":
			t.MultiActorPrimitives = int(n)
		default:
			return t, fmt.Errorf("unknown setting %s", name)
		}
	}
	return t, nil
}

const (
	observations   = "attacker.observation"
	identityEvents = "identity.events"
)

func parseStep(fields map[string]json.RawMessage, i int) (s Step, err error) {
	take := func(name string, into any) {
		if raw, ok := fields[name]; ok && err == nil {
			err = json.Unmarshal(raw, into)
			delete(fields, name)
		}
	}
	take("op", &s.Op)
	take("events", &s.Events)
	for j := range s.Events {
		s.Events[j].Identity = resolve(s.Events[j].Identity)
	}
	switch s.Op {
	case "sweep":
		take("ts", &s.TS)
	case "restart":
	case "observe":
		s.Topic = observations
		_ = json.Unmarshal(fields["attacker_uuid"], &s.Key)
		s.Record = object(fields)
	case "identity":
		s.Topic = identityEvents
		take("event", &s.Type)
		if i%2 == 1 { // the type may stand in the record as well
			fields["type"], _ = json.Marshal(s.Type)
			s.Type = ""
		}
		s.Record = resolveAll(object(fields))
	case "bad":
		take("topic", &s.Topic)
		take("reason", &s.Reason)
		raw := fields["record"]
		var text string
		if json.Unmarshal(raw, &text) == nil && len(raw) > 0 && raw[0] == '"' {
			raw = []byte(text)
		}
		s.Record = resolveAll(raw)
	default:
		err = fmt.Errorf("unknown op %q", s.Op)
	}
	return s, err
}

// object writes fields as they stood, in the order of their names.
func object(fields map[string]json.RawMessage) []byte {
	names := make([]string, 0, len(fields))
	for n := range fields {
		names = append(names, n)
	}
	sort.Strings(names)
	b := []byte{'{'}
	for i, n := range names {
		if i > 0 {
			b = append(b, ',')
		}
		name, _ := json.Marshal(n)
		b = append(append(append(b, name...), ':'), fields[n]...)
	}
	return append(b, '}')
}

// resolve replaces stub(X) by the stub id of attacker X.
func resolve(id string) string {
	if attacker, ok := strings.CutPrefix(id, "stub("); ok && strings.HasSuffix(attacker, ")") {
		return attribution.Stub([]byte(strings.TrimSuffix(attacker, ")"))).String()
	}
	return id
}

// resolveAll replaces each string "stub(X)" of a record.
func resolveAll(record []byte) []byte {
	const mark = `"stub(`
	for from := 0; ; {
		i := bytes.Index(record[from:], []byte(mark))
		if i < 0 {
			return record
		}
		i += from
		end := bytes.Index(record[i:], []byte(`)"`))
		if end < 0 {
			return record
		}
		end += i + 2
		var text string
		if json.Unmarshal(record[i:end], &text) != nil {
			from = end
			continue
		}
		id := `"` + resolve(text) + `"`
		record = append(append(bytes.Clone(record[:i]), id...), record[end:]...)
		from = i + len(id)
	}
}
