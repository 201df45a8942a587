package main

import (
	"fmt"
	"math"
	"strings"
)

// The size of a chart, in pixels, and the space around its plot.
const (
	width, height           = 300, 220
	left, right, top, below = 60, 15, 35, 40
)

// draw returns four charts side by side.
func draw(bySize, byThreads, bySweep []point) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n", 4*width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", 4*width, height)
	size := func(p point) string { return short(float64(p.Attackers)) }
	chart(&b, 0, "observations a second", "identities", bySize, size, func(p point) float64 { return p.PerSecond })
	chart(&b, width, "peak memory, MB", "identities", bySize, size, func(p point) float64 { return p.Memory })
	chart(&b, 2*width, "observations a second", "worker threads", byThreads,
		func(p point) string { return fmt.Sprint(p.Threads) }, func(p point) float64 { return p.PerSecond })
	chart(&b, 3*width, "a sweep, ms", "identities, 100 suspects", bySweep, size, func(p point) float64 { return p.Sweep })
	b.WriteString("</svg>\n")
	return b.String()
}

// chart draws one line. The points stand at equal distances; the other axis
// begins at 0, so that flat looks flat.
func chart(b *strings.Builder, x int, title, axis string, points []point, label func(point) string, of func(point) float64) {
	most := 0.0
	for _, p := range points {
		most = math.Max(most, of(p))
	}
	most = round(most)
	plotW, plotH := float64(width-left-right), float64(height-top-below)
	at := func(i int, v float64) (float64, float64) {
		step := plotW / float64(max(1, len(points)))
		return float64(x+left) + step*(float64(i)+0.5), float64(top) + plotH*(1-v/most)
	}
	fmt.Fprintf(b, `<text x="%d" y="18" font-weight="bold">%s</text>`+"\n", x+left, title)
	for _, share := range []float64{0, 0.5, 1} {
		_, y := at(0, share*most)
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/>`+"\n", x+left, x+width-right, y, y)
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", x+left-6, y+4, short(share*most))
	}
	var line []string
	for i, p := range points {
		px, py := at(i, of(p))
		line = append(line, fmt.Sprintf("%.1f,%.1f", px, py))
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="#1f5fa8"/>`+"\n", px, py)
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", px, py-8, short(of(p)))
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", px, height-below+16, label(p))
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="#1f5fa8" stroke-width="1.5"/>`+"\n", strings.Join(line, " "))
	fmt.Fprintf(b, `<text x="%d" y="%d">%s</text>`+"\n", x+left, height-6, axis)
}

// round is the next number up of 1, 2 or 5 and zeros.
func round(n float64) float64 {
	if n <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(n)))
	for _, m := range []float64{1, 2, 5} {
		if n <= m*unit {
			return m * unit
		}
	}
	return 10 * unit
}

// short writes a number with a k or an M.
func short(n float64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.3gM", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.3gk", n/1e3)
	case n != 0 && n < 10:
		return fmt.Sprintf("%.2g", n)
	}
	return fmt.Sprintf("%.0f", n)
}
