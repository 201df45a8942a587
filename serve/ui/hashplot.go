package ui

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// dayPlot is the window of a HASH row: the whole window as a bar, the part with
// observations enlarged below it, a lane for each value.
type dayPlot struct {
	width, left, right   int
	usedFrom             int
	lanes                []valueLane
	hours, ticks         []dayTick
	height               int
	windowText, usedText string
	says                 string
}

type valueLane struct {
	text   string
	letter byte
	at     []int
}

// dayTick is a time on the bar or on the enlarged part.
type dayTick struct {
	x             int
	label, anchor string
}

// maxValueLanes is how many values a HASH picture has a lane for.
const maxValueLanes = 8

// The widths of the picture: of the page, and of a telephone.
const (
	wideDay   = 1200
	narrowDay = 286
)

// hashPlot lays the picture out, nil if nothing is kept.
func hashPlot(d *whyData, width int) *dayPlot {
	entries := d.Window.entries()
	if len(entries) == 0 {
		return nil
	}
	newest := entries[len(entries)-1].TS
	for _, e := range entries {
		newest = max(newest, e.TS)
	}
	window := d.Thresholds["hash_window"]
	if window <= 0 || math.IsInf(window, 0) || math.IsNaN(window) {
		window = (24 * time.Hour).Seconds()
	}
	entries = slices.DeleteFunc(entries, func(e entry) bool { return e.TS < newest-window })
	first := newest
	for _, e := range entries {
		first = min(first, e.TS)
	}
	g := &dayPlot{width: width, left: 110, right: width - 6}
	text := 14
	if width == narrowDay {
		g.left, text = 86, 8
	}
	full := float64(g.right - g.left)
	g.usedFrom = min(g.right-int(full*(newest-first)/window), g.right-3)
	whole := span(time.Duration(min(window, 1e9) * 1e9))
	g.windowText, g.usedText = "window, "+whole, "the last "+span(time.Duration((newest-first)*1e9))
	if width == narrowDay {
		g.windowText, g.usedText = whole, span(time.Duration((newest-first)*1e9))
	}
	parts := 4
	if width == narrowDay {
		parts = 1
	}
	for i := range parts + 1 {
		t := dayTick{x: g.left + int(full)*i/parts, anchor: "middle"}
		before := window * float64(parts-i) / float64(parts)
		t.label = span(time.Duration(min(before, 1e9)*1e9)) + " before"
		switch i {
		case 0:
			t.anchor = "start"
		case parts:
			t.anchor, t.label = "end", "last seen"
		}
		g.hours = append(g.hours, t)
	}
	from, to := padded(first, newest)
	place := func(ts float64) int { return g.left + int(full*(ts-from)/(to-from)) }
	values := map[string]int{}
	unseen := 0
	for _, e := range entries {
		i, ok := values[key(e.Value)]
		if !ok {
			if len(g.lanes) == maxValueLanes {
				unseen++
				continue
			}
			i = len(g.lanes)
			values[key(e.Value)] = i
			g.lanes = append(g.lanes, valueLane{text: shorter(valueText(e.Value), text), letter: d.letters[key(e.Value)]})
		}
		g.lanes[i].at = append(g.lanes[i].at, place(e.TS))
	}
	slices.SortStableFunc(g.lanes, func(x, y valueLane) int { return int(x.letter) - int(y.letter) })
	a := axis{linear: true, from: from, to: to, pixels: g.right - g.left}
	for _, t := range a.ticks() {
		g.ticks = append(g.ticks, dayTick{x: g.left + t.x, label: t.label, anchor: anchorOf(t.x, a.pixels)})
	}
	g.height = 66 + 28*len(g.lanes) + 28
	g.says = fmt.Sprintf("%s within %s, from %s to %s UTC", plural(len(g.lanes), "value", "values"), whole, seconds(first).Format("15:04:05"), seconds(newest).Format("15:04:05"))
	if unseen > 0 {
		g.says += fmt.Sprintf("; %s of further values have no lane", plural(unseen, "observation", "observations"))
	}
	return g
}
