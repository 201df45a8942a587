package ui

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// nextText is a next value; one that the row has not had is said so.
func nextText(value json.RawMessage) string {
	if len(value) == 0 {
		return "something else"
	}
	return valueText(value)
}

func shorter(s string, most int) string {
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:most-1]) + "…"
}

func number(of map[string]any, names ...string) (float64, bool) {
	for _, name := range names {
		if f, ok := of[name].(float64); ok {
			return f, true
		}
	}
	return 0, false
}

// plot is a numeric window: values as dots on an axis, the means as lines.
type plot struct {
	dots              []dot
	mean, older       int // older: -1, there is none
	band              *band
	least, most, says string
	meanText          string
}

type dot struct {
	x, y int
	old  bool
}

func asNumber(value json.RawMessage) (float64, bool) {
	switch s := string(value); s {
	case "null", "false":
		return 0, true
	case "true":
		return 1, true
	default:
		f, err := strconv.ParseFloat(s, 64)
		return f, err == nil && !math.IsInf(f, 0)
	}
}

// numberPlot lays a numeric row's window out, nil if it has no numbers.
func numberPlot(d *whyData) *plot {
	mean, ok := number(d.Facts, "mean", "ewma")
	if !ok {
		mean, ok = asNumber(d.Row.Value)
	}
	if !ok || len(d.Window.Recent) == 0 {
		return nil
	}
	older, hasOlder := number(d.Facts, "older_mean", "older_ewma")
	least, most := mean, mean
	if hasOlder {
		least, most = min(least, older), max(most, older)
	}
	for _, e := range d.Window.entries() {
		if f, ok := asNumber(e.Value); ok {
			least, most = min(least, f), max(most, f)
		}
	}
	// Halved, since the span of two finite numbers may be infinite.
	half := most/2 - least/2
	place := func(f float64) int {
		if half == 0 {
			return 320
		}
		return 20 + int(600*(f/2-least/2)/half)
	}
	g := &plot{mean: place(mean), older: -1, least: short(least), most: short(most), meanText: short(mean)}
	g.says = fmt.Sprintf("%d values between %s and %s, mean %s", len(d.Window.Recent), g.least, g.most, g.meanText)
	if hasOlder && len(d.Window.Older) > 0 {
		g.older = place(older)
		g.says += ", mean before " + short(older)
		if shift, ok := number(d.Facts, "shift"); ok {
			g.says += fmt.Sprintf(", shift %s of at least %s", short(shift), short(d.Thresholds["numeric_drift_mean_shift"]))
		}
	}
	if cv, ok := number(d.Facts, "cv"); ok {
		g.says += ", spread " + short(cv) + " of the mean"
		if dev := cv * math.Abs(mean); !math.IsInf(dev, 0) && cv < 1e8 {
			g.band = &band{from: max(place(mean-dev), 20), to: min(place(mean+dev), 620)}
		}
	}
	for i, e := range d.Window.entries() {
		if f, ok := asNumber(e.Value); ok {
			g.dots = append(g.dots, dot{x: place(f), y: 70 - 7*(i%3-1), old: i < len(d.Window.Older)})
		}
	}
	return g
}

func short(f float64) string { return strconv.FormatFloat(f, 'g', 4, 64) }
