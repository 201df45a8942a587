package ui

import (
	"fmt"
	"strings"

	"handprint/serve/query"
)

// What pictures show, in words: for screen readers, and for whoever copies it.

// burstSpan is a burst of sessions on the lanes' axis.
type burstSpan struct {
	from, to int
	label    string
}

func (c *columns) burstSpans() []burstSpan {
	var spans []burstSpan
	for i := range c.times {
		if i == 0 || c.bursts[i] != c.bursts[i-1] {
			spans = append(spans, burstSpan{from: c.x(i) + c.cell/6, label: seconds(c.times[i]).Format("15:04:05")})
		}
		spans[len(spans)-1].to = c.x(i) + c.cell - c.cell/6
	}
	// A label needs some 60 pixels; where a burst is narrower than that to the
	// next label, it goes without.
	free := 0
	for i := range spans {
		if spans[i].from < free {
			spans[i].label = ""
			continue
		}
		free = spans[i].from + 62
	}
	return spans
}

func scaleInWords(p *page, c *columns) string {
	if len(c.times) == 0 {
		return "no sessions are kept"
	}
	return fmt.Sprintf("%s in %s between %s and %s UTC", plural(len(c.times), "session", "sessions"), plural(c.bursts[len(c.bursts)-1]+1, "burst", "bursts"),
		p.clock(c.times[0]), p.clock(c.times[len(c.times)-1]))
}

func cellsInWords(p *page, cells []cell) string {
	parts := make([]string, len(cells))
	for i, c := range cells {
		parts[i] = p.clock(c.ts) + " " + valueText(c.value)
		if c.back {
			parts[i] += " (came back)"
		}
	}
	return strings.Join(parts, ", ")
}

func laneInWords(p *page, l *lane) string {
	var parts []string
	for _, b := range l.bands {
		parts = append(parts, stateWord(b.state))
	}
	text := "states in order: " + strings.Join(parts, ", ")
	if len(l.values) > 0 {
		text += "; values: " + cellsInWords(p, l.values)
	}
	return text
}

func countsInWords(n query.States) string {
	var parts []string
	for _, s := range []string{"multi_actor", "conflicted", "drifting", "stable", "unknown"} {
		if c := n.Of(s); c > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c, stateWord(s)))
		}
	}
	return strings.Join(parts, ", ")
}

func inWords(primitives []string) []string {
	out := make([]string, len(primitives))
	for i, name := range primitives {
		out[i] = words(name)
	}
	return out
}

func other(pair query.Pair, id string) string {
	if pair.A == id {
		return pair.B
	}
	return pair.A
}

func anchorOf(x, width int) string {
	switch {
	case x < 40:
		return "start"
	case x > width-60:
		return "end"
	default:
		return "middle"
	}
}

// marksInWords says what the dotted lines over the lanes are.
func marksInWords(marks []eventMark) string {
	parts := make([]string, 0, 4)
	for _, m := range marks[:min(len(marks), 4)] {
		if m.outside {
			m.says += " (beyond the edge)"
		}
		parts = append(parts, m.says)
	}
	text := "Dotted lines: " + strings.Join(parts, "; ")
	if n := len(marks) - len(parts); n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text + "."
}

func happenedInWords(d *identityData) string {
	if d.more {
		return fmt.Sprintf("What happened last, as a table (%d)", len(d.happened))
	}
	return fmt.Sprintf("All that happened, as a table (%d)", len(d.happened))
}

// notSuspected says what speaks for several actors in an identity that is not
// suspected.
func notSuspected(d *identityData) string {
	returns := 0
	for _, r := range d.Rows {
		if r.Returns {
			returns++
		}
	}
	text := "Nothing says that these are several people: no fingerprint returns, and no primitive alternates."
	switch n := d.counts.MultiActor; {
	case returns > 0:
		text = "Not suspected now, though " + plural(returns, "fingerprint returns", "fingerprints return") + "."
	case n == 1:
		text = "Nothing says that these are several people: no fingerprint returns, and one primitive alternates; one alone is no suspicion."
	case n > 1:
		text = "Not suspected now: no fingerprint returns, and " + itoa(n) + " primitives alternate."
	}
	if past := len(d.lives); past > 0 {
		text += " It was suspected " + times(past) + " before."
	}
	return text
}
