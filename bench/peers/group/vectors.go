package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"

	"handprint/attribution"
	"handprint/internal/canonical"
)

// vectors runs the merge vectors through the rows of this program.
func vectors(path string) (passed, failed int, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, err
	}
	for _, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		problem, err := vector(line)
		if err != nil {
			return passed, failed, fmt.Errorf("%w: %s", err, line)
		}
		if problem == "" {
			passed++
			continue
		}
		failed++
		fmt.Printf("%s: %s\n", problem, line)
	}
	return passed, failed, nil
}

func vector(line []byte) (problem string, err error) {
	var v struct {
		Kind   *string `json:"kind"`
		Series []struct {
			Value json.RawMessage `json:"value"`
			TS    float64         `json:"ts"`
		} `json:"series"`
		Expect struct {
			State      string          `json:"state"`
			Value      json.RawMessage `json:"current_value"`
			Confidence float64         `json:"confidence"`
			Count      int64           `json:"observation_count"`
			TS         float64         `json:"last_observation_ts"`
		} `json:"expect"`
	}
	if err := json.Unmarshal(line, &v); err != nil {
		return "", err
	}
	kind := attribution.Unregistered
	if v.Kind != nil {
		if kind, err = attribution.ParseKind(*v.Kind); err != nil {
			return "", err
		}
	}
	r, w := newRows(), &row{series: map[string]*attribution.Series{}}
	c := attribution.Conclusion{Value: attribution.Null}
	for i, e := range v.Series {
		value, _, err := canonical.Append(nil, e.Value)
		if err != nil {
			return "", err
		}
		at := attribution.Arrival{Offset: int64(i)}
		c, err = r.conclude(w, "a", kind, attribution.Entry{TS: e.TS, Value: value, Evidence: uint64(i), Place: at, Latest: at})
		if err != nil {
			return "", err
		}
	}
	want, _, err := canonical.Append(nil, v.Expect.Value)
	if err != nil {
		return "", err
	}
	a, isNumber := canonical.Number(want)
	b, _ := canonical.Number(c.Value)
	switch {
	case !bytes.Equal(want, c.Value) && !(isNumber && near(a, b)):
		return "value " + string(c.Value), nil
	case c.State.String() != v.Expect.State:
		return "state " + c.State.String(), nil
	case !near(c.Confidence, v.Expect.Confidence) || c.Count != v.Expect.Count || c.LastTS != v.Expect.TS:
		return fmt.Sprintf("confidence %v, count %d, ts %v", c.Confidence, c.Count, c.LastTS), nil
	}
	return "", nil
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b)) }
