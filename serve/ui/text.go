package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// maxShown is how many characters of a value a page shows; the rest is said by
// its length. Values come from attackers and may have 256 KiB.
const maxShown = 120

// maxTitle is how many a title (a tooltip) holds.
const maxTitle = 600

// printable is text as a page may show it: control, bidirectional and other
// invisible characters as escapes, bytes that are no UTF-8 likewise, at most
// limit characters.
func printable(s string, limit int) string {
	var b strings.Builder
	shown := 0
	for i, r := range s {
		if shown++; shown > limit {
			fmt.Fprintf(&b, "… (%s)", byteCount(len(s)))
			break
		}
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == ' ' || unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

func byteCount(n int) string {
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%d KiB", n/1024)
}

// plain is a JSON value as people write it: a string without its quotes, null as
// a word, the rest as JSON.
func plain(value json.RawMessage) string {
	value = bytes.TrimSpace(value)
	var s string
	switch {
	case len(value) == 0:
		return "none"
	case value[0] == '"' && json.Unmarshal(value, &s) == nil:
		return s
	case bytes.Equal(value, []byte("null")):
		return "null: nothing could be told"
	default:
		if f, err := strconv.ParseFloat(string(value), 64); err == nil {
			return strconv.FormatFloat(f, 'g', 6, 64)
		}
		return string(value)
	}
}

// valueText is a value in a table; digests are shortened.
func valueText(value json.RawMessage) string {
	s := plain(value)
	if isDigest(s) {
		return s[:8] + "…"
	}
	return printable(s, maxShown)
}

// asciiJSON is a value as JSON in which everything that is not plainly printed is an
// escape: the same value, and nothing invisible in a page. One that is too long for
// a link is none.
func asciiJSON(value json.RawMessage) string {
	if len(value) > maxLinked {
		return ""
	}
	var b strings.Builder
	for _, r := range string(value) {
		switch {
		case r == ' ' || r < 0x10000 && unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func valueTitle(value json.RawMessage) string { return printable(plain(value), maxTitle) }

func isDigest(s string) bool {
	if len(s) < 32 || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// shortID is an id in a table: 13 characters; the whole is in the title.
func shortID(id string) string {
	if len(id) == 36 && id[8] == '-' {
		return id[:13]
	}
	return printable(id, 24)
}

// shortPrimitive is a primitive without its domain.
func shortPrimitive(name string) string {
	if _, rest, ok := strings.Cut(name, "."); ok {
		return printable(rest, maxShown)
	}
	return printable(name, maxShown)
}

func domainOf(name string) string {
	domain, _, _ := strings.Cut(name, ".")
	return domain
}

// words is the last token of a primitive as words.
func words(name string) string {
	return printable(strings.ReplaceAll(name[strings.LastIndexByte(name, '.')+1:], "_", " "), maxShown)
}

// stateWord is a state as pages say it.
func stateWord(state string) string {
	switch state {
	case "multi_actor":
		return "multi actor"
	case "unknown", "stable", "drifting", "conflicted":
		return state
	case "":
		return "new"
	default:
		return printable(state, 20)
	}
}

// knownState is the state for class names and symbols; unknown for any other.
func knownState(state string) string {
	switch state {
	case "stable", "drifting", "conflicted", "multi_actor":
		return state
	default:
		return "unknown"
	}
}

// states are all five, in the order in which pages show them.
var states = []string{"unknown", "stable", "drifting", "conflicted", "multi_actor"}

func stateSays(state string) string {
	switch state {
	case "stable":
		return "agrees with itself, lately and before"
	case "drifting":
		return "agrees lately, not with before"
	case "conflicted":
		return "does not agree with itself"
	case "multi_actor":
		return "alternates between two values"
	default:
		return "too little seen"
	}
}

func seconds(ts float64) time.Time {
	if math.IsNaN(ts) || ts < 0 || ts > 253402300799 {
		ts = 0
	}
	whole, part := math.Modf(ts)
	return time.Unix(int64(whole), int64(part*1e9)).UTC()
}

func machineTime(ts float64) string { return seconds(ts).Format("2006-01-02T15:04:05.000Z") }

// clock is the time of day, with the date if it is not that of now.
func clock(ts float64, now time.Time) string {
	t := seconds(ts)
	switch n := now.UTC(); {
	case t.YearDay() == n.YearDay() && t.Year() == n.Year():
		return t.Format("15:04:05")
	case t.Year() == n.Year():
		return t.Format("2 Jan 15:04:05")
	default:
		return t.Format("2 Jan 2006 15:04")
	}
}

// ago says how long ago something was, in its largest unit.
func ago(ts float64, now time.Time) string {
	d := now.Sub(seconds(ts))
	if d < -time.Second {
		return "in " + span(-d)
	}
	return span(max(d, 0))
}

// lasting is a duration from seconds that somebody else has said: at least 0, at most
// a hundred years.
func lasting(s float64) time.Duration {
	if !(s > 0) { // not a number is none either
		return 0
	}
	const maxSeconds = 100 * 365 * 24 * 3600
	return time.Duration(min(s, maxSeconds) * float64(time.Second))
}

func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d d", int(d.Hours()/24))
	}
}

// plural is a number with its noun: 1 row, 2 rows.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}

// grouped is a number with its thousands parted.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for at := len(s) - 3; at > 0 && s[at-1] != '-'; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

func twoPlaces(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

func bitsText(f float64) string {
	s := strconv.FormatFloat(f, 'f', 1, 64)
	switch {
	case f > 0:
		return "+" + s
	case f < 0:
		return "−" + s[1:]
	}
	return s
}

// pathPart is text as one part of a path.
func pathPart(s string) string { return url.PathEscape(s) }

// queryPart is text as one value in a query: there + & and = mean something.
func queryPart(s string) string { return url.QueryEscape(s) }

// with is a query with one parameter set, without a cursor.
func with(q url.Values, name, value string) string {
	out := url.Values{}
	for k, v := range q {
		if k != "cursor" {
			out[k] = v
		}
	}
	if value == "" {
		out.Del(name)
	} else {
		out.Set(name, value)
	}
	return "?" + out.Encode()
}

// without is a query without one value of a parameter.
func without(q url.Values, name, value string) string {
	out := url.Values{}
	for k, vs := range q {
		for _, v := range vs {
			if k != "cursor" && (k != name || v != value) {
				out.Add(k, v)
			}
		}
	}
	return "?" + out.Encode()
}
