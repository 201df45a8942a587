package cowrie

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"sort"
	"strings"
	"testing"
	"time"

	"handprint/ingest"
	"handprint/internal/vectors"
)

// vectorCase is one line of cowrie.jsonl: a whole input and all that is sent.
type vectorCase struct {
	Name         string           `json:"name"`
	Lines        []string         `json:"lines"`
	Observations []map[string]any `json:"observations"`
	DeadLetters  []struct {
		Line   int64  `json:"line"`
		Reason string `json:"reason_contains"`
	} `json:"dead_letters"`
	Settings struct {
		SessionTimeoutS *float64 `json:"session_timeout_s"`
		MaxOpenSessions *int     `json:"max_open_sessions"`
	} `json:"settings"`
}

// TestConformanceCowrie runs every line of cowrie.jsonl through the adapter.
func TestConformanceCowrie(t *testing.T) {
	for _, line := range vectors.Load(t, "cowrie.jsonl") {
		var c vectorCase
		if err := json.Unmarshal(line.Text, &c); err != nil {
			t.Errorf("%s: %v", line.Where(), err)
		} else if err := c.run(); err != nil {
			t.Errorf("%s: %s: %v", line.Where(), c.Name, err)
		}
	}
}

func (c *vectorCase) run() error {
	settings := DefaultSettings()
	if s := c.Settings.SessionTimeoutS; s != nil {
		settings.SessionTimeout = time.Duration(math.Round(*s*1e6)) * time.Microsecond
	}
	if n := c.Settings.MaxOpenSessions; n != nil {
		settings.MaxOpenSessions = *n
	}
	var sent []map[string]any
	var dead []ingest.DeadLetter
	adapter, err := New(settings,
		func(o ingest.Observation) error {
			var fields map[string]any
			if err := json.Unmarshal(o.AppendJSON(nil), &fields); err != nil {
				return err
			}
			sent = append(sent, fields)
			return nil
		},
		func(d ingest.DeadLetter) error {
			d.Line = bytes.Clone(d.Line)
			dead = append(dead, d)
			return nil
		})
	if err != nil {
		return err
	}
	for _, l := range c.Lines {
		if err := adapter.Line([]byte(l)); err != nil {
			return err
		}
	}
	if err := adapter.Close(); err != nil {
		return err
	}

	for i := range max(len(dead), len(c.DeadLetters)) {
		switch {
		case i >= len(c.DeadLetters):
			return fmt.Errorf("line %d is a dead letter (%s), want none", dead[i].Number-1, dead[i].Reason)
		case i >= len(dead):
			return fmt.Errorf("line %d is no dead letter, want one for %q", c.DeadLetters[i].Line, c.DeadLetters[i].Reason)
		case dead[i].Number-1 != c.DeadLetters[i].Line || !strings.Contains(dead[i].Reason, c.DeadLetters[i].Reason):
			return fmt.Errorf("dead letter of line %d (%s), want line %d for %q", dead[i].Number-1, dead[i].Reason, c.DeadLetters[i].Line, c.DeadLetters[i].Reason)
		case string(dead[i].Line) != c.Lines[dead[i].Number-1]:
			return fmt.Errorf("dead letter of line %d is %q", dead[i].Number-1, dead[i].Line)
		}
	}
	return compareObservations(sent, c.Observations)
}

// compareObservations returns the first difference, in the order of evidence,
// time and primitive.
func compareObservations(got, want []map[string]any) error {
	for _, list := range [][]map[string]any{got, want} {
		sort.SliceStable(list, func(i, j int) bool { return orderOf(list[i]) < orderOf(list[j]) })
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got) || i < len(want) && orderOf(want[i]) < orderOf(got[i]):
			return fmt.Errorf("missing %v", want[i])
		case i >= len(want) || orderOf(want[i]) > orderOf(got[i]):
			return fmt.Errorf("unexpected %v", got[i])
		}
		if len(got[i]) != len(want[i]) {
			return fmt.Errorf("fields of %v, want those of %v", got[i], want[i])
		}
		for name, w := range want[i] {
			g := got[i][name]
			if name == "ts" || strings.HasPrefix(name, "window_") {
				if gf, ok := g.(float64); ok && math.Abs(gf-w.(float64)) <= 0.5e-6 {
					continue
				}
			} else if reflect.DeepEqual(g, w) {
				continue
			}
			return fmt.Errorf("%v %v: %s is %v, want %v", want[i]["evidence_ref"], want[i]["primitive"], name, g, w)
		}
	}
	return nil
}

func orderOf(o map[string]any) string {
	start, _ := o["window_start_ts"].(float64)
	return fmt.Sprintf("%v\x00%018.5f\x00%v", o["evidence_ref"], start, o["primitive"])
}
