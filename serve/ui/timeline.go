package ui

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"handprint/serve/query"
)

// axis places times on the lanes of an identity: one column for each session, or
// linear time from one moment to another.
type axis struct {
	columns  *columns // of the sessions
	linear   bool
	recorded bool // transitions lie where they were written, not where they were observed
	from, to float64
	pixels   int // of linear time
	// All that happened, and what was observed of it.
	first, last, seen float64
}

// The widths of a linear axis: beside the table's columns, and on a telephone.
const (
	wideAxis   = 520
	narrowAxis = 286
)

// maxTicks bounds the values of a lane on a linear axis that are drawn.
const maxTicks = 400

// axisOf reads what part of an identity's time is asked for: axis (sessions or
// time), from and to in Unix seconds, by (observed or recorded). Without a choice
// sessions are shown while all of them have a column.
func axisOf(q url.Values, c *columns, happened []query.Happening) axis {
	a := axis{columns: c.lanes(), pixels: wideAxis, first: math.Inf(1), last: math.Inf(-1), recorded: q.Get("by") == "recorded"}
	a.linear = c.left > 0 || a.recorded
	switch q.Get("axis") {
	case "sessions":
		a.linear = false
	case "time":
		a.linear = true
	}
	a.seen = math.Inf(-1)
	grow := func(ts float64, observed bool) {
		if ts <= 0 || math.IsNaN(ts) || math.IsInf(ts, 0) {
			return
		}
		a.first, a.last = min(a.first, ts), max(a.last, ts)
		if observed {
			a.seen = max(a.seen, ts)
		}
	}
	if !a.recorded {
		for _, ts := range c.all {
			grow(ts, true)
		}
	}
	for i := range happened {
		grow(a.when(&happened[i]), happened[i].Kind == "state" || happened[i].Kind == "value")
	}
	if a.first > a.last {
		a.first, a.last, a.seen = 0, 1, 1
	}
	a.seen = max(a.seen, a.first)
	a.from, a.to = padded(a.first, a.seen)
	from, err1 := strconv.ParseFloat(q.Get("from"), 64)
	to, err2 := strconv.ParseFloat(q.Get("to"), 64)
	if err1 == nil && err2 == nil && from >= 0 && to-from >= minSpan && to < 253402300799 {
		a.from, a.to = from, to
	}
	return a
}

// minSpan is the shortest time that a linear axis shows, in seconds.
const minSpan = 0.1

// padded is a stretch of time with a little room on both sides.
func padded(from, to float64) (float64, float64) {
	pad := max((to-from)*0.03, minSpan)
	return max(from-pad, 0), to + pad
}

// when is the time at which an entry is drawn.
func (a *axis) when(h *query.Happening) float64 {
	if a.recorded {
		return h.Recorded
	}
	return h.TS
}

// narrow is the same axis for a telephone.
func (a *axis) narrow() *axis {
	out := *a
	out.pixels = narrowAxis
	return &out
}

func (a *axis) width() int {
	if a.linear {
		return a.pixels
	}
	return a.columns.width()
}

// place is where a time lies. Times outside are at the edges.
func (a *axis) place(ts float64) int {
	if !a.linear {
		return a.columns.place(ts)
	}
	x := float64(a.pixels) * (ts - a.from) / (a.to - a.from)
	return int(min(max(x, 0), float64(a.pixels)))
}

// shows reports whether a time lies within what is shown.
func (a *axis) shows(ts float64) bool {
	if !a.linear {
		_, ok := a.columns.at(ts)
		return ok
	}
	return ts >= a.from && ts <= a.to
}

// tickMark is a mark on a linear axis.
type tickMark struct {
	x     int
	label string
}

// tickSteps are the distances of marks that people read easily, in seconds.
var tickSteps = []float64{0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000, 157680000, 1576800000}

// ticks are the marks of a linear axis, each with room for its label.
func (a *axis) ticks() []tickMark {
	span := a.to - a.from
	room := max(a.pixels/88, 2)
	step := tickSteps[len(tickSteps)-1]
	for _, s := range tickSteps {
		if span/s <= float64(room) {
			step = s
			break
		}
	}
	layout := "2 Jan 2006"
	switch {
	case step < 1:
		layout = "15:04:05.0"
	case step < 60:
		layout = "15:04:05"
	case span < 86400:
		layout = "15:04"
	case step < 86400:
		layout = "2 Jan 15:04"
	case step < 7776000:
		layout = "2 Jan"
	}
	var marks []tickMark
	for ts := math.Ceil(a.from/step) * step; ts <= a.to && len(marks) < 24; ts += step {
		marks = append(marks, tickMark{a.place(ts), seconds(ts + 1e-6).Format(layout)})
	}
	return marks
}

// view is the query of this page with another part of the time.
func (a *axis) view(q url.Values, from, to float64) string {
	out := url.Values{}
	for k, v := range q {
		out[k] = v
	}
	out.Set("axis", "time")
	from = max(from, 0)
	out.Set("from", strconv.FormatFloat(from, 'f', 3, 64))
	out.Set("to", strconv.FormatFloat(max(to, from+minSpan), 'f', 3, 64))
	return "?" + out.Encode()
}

// closer, wider, earlier and later are the steps of the controls.
func (a *axis) closer(q url.Values) string {
	quarter := (a.to - a.from) / 4
	return a.view(q, a.from+quarter, a.to-quarter)
}

func (a *axis) wider(q url.Values) string {
	half := (a.to - a.from) / 2
	return a.view(q, a.from-half, a.to+half)
}

func (a *axis) earlier(q url.Values) string {
	half := (a.to - a.from) / 2
	return a.view(q, a.from-half, a.to-half)
}

func (a *axis) later(q url.Values) string {
	half := (a.to - a.from) / 2
	return a.view(q, a.from+half, a.to+half)
}

// whole is everything that is known, the identity's events included.
func (a *axis) whole(q url.Values) string {
	from, to := padded(a.first, a.last)
	return a.view(q, from, to)
}

// other is the query with the other kind of axis.
func (a *axis) other(q url.Values) string {
	out := url.Values{}
	for k, v := range q {
		if k != "from" && k != "to" && k != "by" {
			out[k] = v
		}
	}
	if a.linear {
		out.Set("axis", "sessions")
	} else {
		out.Set("axis", "time")
	}
	return "?" + out.Encode()
}

// switched is the query with the other clock.
func (a *axis) switched(q url.Values) string {
	out := url.Values{}
	for k, v := range q {
		if k != "from" && k != "to" && k != "by" {
			out[k] = v
		}
	}
	out.Set("axis", "time")
	if !a.recorded {
		out.Set("by", "recorded")
	}
	return "?" + out.Encode()
}

// columnTimes are the times of the columns, for the script.
func (a *axis) columnTimes() string {
	if a.linear {
		return ""
	}
	parts := make([]string, len(a.columns.times))
	for i, ts := range a.columns.times {
		parts[i] = fmt.Sprintf("%d:%s", a.columns.middle(i), strconv.FormatFloat(ts, 'f', 3, 64))
	}
	return strings.Join(parts, ",")
}

// spanInWords is what the axis shows.
func (a *axis) spanInWords(p *page) string {
	if !a.linear {
		return scaleInWords(p, a.columns)
	}
	return fmt.Sprintf("%s to %s UTC, %s", p.clock(a.from), p.clock(a.to), span(time.Duration((a.to-a.from)*1e9)))
}

// eventMark is a suspicion or an identity event, over all lanes.
type eventMark struct {
	x       int
	kind    string // suspicion or identity
	says    string
	outside bool // it lies before or after what is shown
}

// maxEventMarks bounds the lines over the lanes.
const maxEventMarks = 60

// marksOf are the events of an identity on the axis.
func marksOf(p *page, a *axis, happened []query.Happening) []eventMark {
	var marks []eventMark
	for i := range happened {
		h := &happened[i]
		if h.Kind != "suspicion" && h.Kind != "identity" || len(marks) == maxEventMarks {
			continue
		}
		ts := a.when(h)
		m := eventMark{x: a.place(ts), kind: h.Kind, says: p.clock(ts) + " UTC, " + eventWord(h)}
		if a.linear {
			m.outside = ts < a.from || ts > a.to
		} else if n := len(a.columns.times); n > 0 {
			m.outside = ts < a.columns.times[0] || ts > a.columns.times[n-1]
		}
		m.x = min(max(m.x, 1), a.width()-2)
		marks = append(marks, m)
	}
	return marks
}

func eventWord(h *query.Happening) string {
	if h.Kind == "suspicion" {
		return "suspicion " + statusWord(h.Status)
	}
	return "identity " + printable(h.Status, 20)
}

// markX is where a mark lies on an axis of another width than it was made for.
func markX(a *axis, m eventMark) int {
	if a.linear && a.pixels != wideAxis {
		return m.x * a.pixels / wideAxis
	}
	return m.x
}

// tableColumns is how many columns the table of primitives has.
func tableColumns(linear bool) int {
	if linear {
		return 5
	}
	return 8
}
