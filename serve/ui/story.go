package ui

import (
	"cmp"
	"slices"
	"time"

	"handprint/serve/query"
)

// Story is what the demo's first page tells somebody who has never heard of a
// primitive: what was recorded, and where to look.
type Story struct {
	Title    string
	Chapters []Chapter // the tour, at most four
	Lines    []StoryLine
}

// Chapter is a step of the tour: a sentence and the page that shows it.
type Chapter struct{ Text, Link, Path string }

// StoryLine is what is known of an address.
type StoryLine struct{ Identity, Address, Text string }

func windowWord(w string) string {
	switch w {
	case "15m":
		return "15 min"
	case "24h":
		return "24 h"
	case "168h":
		return "7 d"
	default:
		return "1 h"
	}
}

// windowOf reads the overview's window; an hour if it is none of those offered.
func windowOf(text string) (string, time.Duration) {
	switch text {
	case "15m", "24h", "168h":
		d, _ := time.ParseDuration(text)
		return text, d
	default:
		return "1h", time.Hour
	}
}

// barOf lays counts out on a bar of a thousand, each at least three wide.
func barOf(counts query.States) []band {
	var bands []band
	total, at := counts.Total(), 0
	widths := make([]int, len(states))
	sum := 0
	for i, s := range states {
		widths[i] = share(counts.Of(s), total)
		sum += widths[i]
	}
	for i, s := range states {
		if widths[i] == 0 {
			continue
		}
		w := widths[i] * 1000 / sum
		bands = append(bands, band{state: s, from: at, to: at + w})
		at += w
	}
	return bands
}

// changedIdentity is an identity whose rows changed their state.
type changedIdentity struct {
	identity string
	address  *query.Address
	changes  int     // of rows that had a state before
	last     float64 // recorded
	into     query.States
}

// whoChanged finds the identities that changed within a window, most changes first.
// Of rows that are new nothing has changed. The second result is how many
// transitions were looked at if the window has more; 0: it was looked at as a whole.
func whoChanged(latest []Recent, since float64) ([]changedIdentity, int) {
	byID := map[string]*changedIdentity{}
	whole := len(latest) < maxRecentLooked
	for i := range latest {
		e := &latest[i]
		if e.Recorded < since {
			whole = true
			continue
		}
		if e.Kind != "state" || e.OldState == nil || *e.OldState == "unknown" {
			continue
		}
		c := byID[e.Identity]
		if c == nil {
			c = &changedIdentity{identity: e.Identity}
			byID[e.Identity] = c
		}
		c.changes++
		c.last = max(c.last, e.Recorded)
		addState(&c.into, e.NewState)
	}
	out := make([]changedIdentity, 0, len(byID))
	for _, c := range byID {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(x, y changedIdentity) int {
		return cmp.Or(cmp.Compare(y.changes, x.changes), cmp.Compare(y.last, x.last), cmp.Compare(x.identity, y.identity))
	})
	if whole {
		return out, 0
	}
	return out, len(latest)
}
