package ui

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// chartPlot is a series drawn as bars: 286 pixels, so that it fits a telephone too.
// It is SVG from the server and no chart library, since three small charts need
// neither its size nor scripts.
type chartPlot struct {
	title, says    string
	most, from, to string
	points         []chartBar
}

type chartBar struct{ x, w, h int }

// The size of a chart's inside, in pixels.
const (
	chartWidth  = 286
	chartHeight = 56
)

func chartOf(p *page, s *Series) *chartPlot {
	c := &chartPlot{title: printable(s.Title, 60)}
	if len(s.Values) == 0 || s.Step <= 0 {
		c.says = "nothing noted yet"
		return c
	}
	values := slices.Clone(s.Values[max(0, len(s.Values)-chartWidth):])
	most := 0.0
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			values[i] = 0
		}
		most = max(most, values[i])
	}
	unit := " " + printable(s.Unit, 30)
	last := values[len(values)-1]
	c.most = chartNumber(most) + unit
	c.says = fmt.Sprintf("now %s%s, at most %s", chartNumber(last), unit, chartNumber(most))
	c.to = seconds(s.Until).Format("15:04")
	c.from = seconds(s.Until - s.Step*float64(len(values))).Format("15:04")
	for i, v := range values {
		b := chartBar{x: chartWidth * i / len(values)}
		b.w = max(chartWidth*(i+1)/len(values)-b.x, 1)
		if b.w > 2 {
			b.w--
		}
		if most > 0 && v > 0 {
			b.h = max(int(chartHeight*(v/most)), 1)
		}
		c.points = append(c.points, b)
	}
	return c
}

func chartNumber(f float64) string {
	if f == math.Trunc(f) && f < 1e12 {
		return grouped(int(f))
	}
	return strconv.FormatFloat(f, 'g', 3, 64)
}

func topologyHeight(d *Operations) int { return max(34*max(len(d.Reads), len(d.Writes)), 90) }

// wireY is the middle of the i-th of n topics beside the tasks.
func wireY(d *Operations, n, i int) int {
	return topologyHeight(d)/2 + 34*i - 17*(n-1)
}

func topologyInWords(d *Operations) string {
	names := func(wires []Wire) []string {
		var out []string
		for _, w := range wires {
			out = append(out, printable(w.Topic, 100))
		}
		return out
	}
	return "Tasks read " + list(names(d.Reads)) + " and write " + list(names(d.Writes))
}
