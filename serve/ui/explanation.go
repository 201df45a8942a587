package ui

import (
	"encoding/json"
	"fmt"
)

// explanation is the API's answer to why a row says what it says.
type explanation struct {
	Primitive  string             `json:"primitive"`
	Kind       string             `json:"kind"`
	Merger     string             `json:"merger"`
	Row        explainedRow       `json:"row"`
	Agrees     bool               `json:"agrees"`
	Window     explainedWindow    `json:"window"`
	Facts      map[string]any     `json:"facts"`
	Thresholds map[string]float64 `json:"thresholds"`
	Steps      []step             `json:"steps"`
	Change     []wouldChange      `json:"would_change"`
	Evidence   string             `json:"evidence"`
	EndsAfter  int                `json:"ends_after"`
}

type explainedRow struct {
	State      string          `json:"state"`
	Confidence float64         `json:"confidence"`
	Value      json.RawMessage `json:"current_value"`
	ChangeTS   float64         `json:"last_change_ts"`
	Returns    bool            `json:"returns"`
}

type explainedWindow struct {
	Size      int     `json:"size"`
	Recent    []entry `json:"recent"`
	Older     []entry `json:"older"`
	Kept      int     `json:"kept"`
	PushedOut int     `json:"pushed_out"`
}

// entry is an observation of the window.
type entry struct {
	TS          float64         `json:"ts"`
	Value       json.RawMessage `json:"value"`
	Attacker    string          `json:"attacker_uuid"`
	EvidenceRef *string         `json:"evidence_ref"`
	Confidence  *float64        `json:"confidence"`
}

type step struct {
	Rule    string `json:"rule"`
	Text    string `json:"text"`
	Holds   bool   `json:"holds"`
	Decides bool   `json:"decides"`
}

type wouldChange struct {
	Next       json.RawMessage `json:"next_value"`
	State      string          `json:"state"`
	Confidence float64         `json:"confidence"`
}

func parseExplanation(text json.RawMessage) (*explanation, error) {
	var e explanation
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("reading an explanation: %w", err)
	}
	return &e, nil
}

// entries are those of the window in the order of the series.
func (w *explainedWindow) entries() []entry {
	return append(append([]entry(nil), w.Older...), w.Recent...)
}
