package ui

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"handprint/serve/query"
)

// lifeEvent is an event of a suspicion: raised, grown or cleared, with what it
// names for the first time and what it names no more.
type lifeEvent struct {
	query.Happening
	suspicion   string
	names       []string
	added, gone []string
}

// livesOf puts the events of an identity's suspicions in order, by suspicion. An
// entry of the history that cannot be read is left out.
func livesOf(happened []query.Happening) map[string][]lifeEvent {
	lives := map[string][]lifeEvent{}
	for _, h := range happened {
		if h.Kind != "suspicion" {
			continue
		}
		var record struct {
			ID         string   `json:"suspicion_id"`
			Event      string   `json:"event_id"`
			Primitives []string `json:"primitives"`
		}
		if json.Unmarshal(h.Record, &record) != nil {
			continue
		}
		if record.ID == "" { // the rule primitives: each event is a suspicion
			record.ID = record.Event
		}
		lives[record.ID] = append(lives[record.ID], lifeEvent{Happening: h, suspicion: record.ID, names: record.Primitives})
	}
	for _, life := range lives {
		slices.SortStableFunc(life, func(x, y lifeEvent) int { return cmp.Compare(x.TS, y.TS) })
		for i := range life {
			if i == 0 || life[i].Status == "cleared" {
				continue
			}
			life[i].added = missingIn(life[i].names, life[i-1].names)
			life[i].gone = missingIn(life[i-1].names, life[i].names)
		}
	}
	return lives
}

// missingIn returns what the first list has and the second has not.
func missingIn(list, from []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(from, s) {
			out = append(out, s)
		}
	}
	return out
}

func statusWord(status string) string {
	switch status {
	case "raised", "grown", "cleared", "replaced":
		return status
	case "":
		return "raised"
	default:
		return printable(status, 20)
	}
}

func holdWord(n int) string {
	if n == 1 {
		return "holds"
	}
	return "hold"
}

func lifeInWords(p *page, life []lifeEvent) string {
	parts := make([]string, len(life))
	for i, e := range life {
		parts[i] = statusWord(e.Status) + " " + p.clock(e.TS)
		if len(e.added) > 0 {
			parts[i] += " (+ " + list(inWords(e.added)) + ")"
		}
	}
	if len(parts) > 6 {
		parts = append(append(parts[:3:3], "…"), parts[len(parts)-2:]...)
	}
	return "Sent " + times(len(life)) + ": " + strings.Join(parts, ", ")
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	default:
		return grouped(n) + " times"
	}
}

// lifeMark is an event on the axis, and how far the line after it goes.
type lifeMark struct {
	status, label string
	x, to         int
}

func lifeMarks(life []lifeEvent) []lifeMark {
	const width = 288
	first, last := life[0].TS, life[len(life)-1].TS
	end := width - 14
	if life[len(life)-1].Status != "cleared" {
		end = width - 60 // it holds: the line goes on
	}
	marks := make([]lifeMark, len(life))
	free := 0
	for i, e := range life {
		x := 6
		if last > first {
			x += int(float64(end-6) * (e.TS - first) / (last - first))
		}
		marks[i] = lifeMark{status: statusWord(e.Status), x: x}
		if i > 0 {
			marks[i-1].to = x
		}
		if i == 0 || i == len(life)-1 || x >= free && x < end-70 {
			if x >= free {
				marks[i].label = seconds(e.TS).Format("15:04:05")
				free = x + 64
			}
		}
	}
	if last := &marks[len(marks)-1]; last.status != "cleared" {
		last.to = width
	}
	return marks
}

// maxLives is how many suspicions of a page are drawn with their evidence.
const maxLives = 20
