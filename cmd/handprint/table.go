package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"handprint/attribution"
)

// The colours of the states, the same wherever one is shown: SGR parameters.
var stateColours = [...]string{
	attribution.Unknown:    "2",    // faint
	attribution.Stable:     "32",   // green
	attribution.Drifting:   "33",   // yellow
	attribution.Conflicted: "31",   // red
	attribution.MultiActor: "1;35", // bold magenta
}

const (
	faint = "2"
	bold  = "1"
)

// palette colours text, or does not.
type palette bool

func (p palette) paint(sgr, text string) string {
	if !p || sgr == "" || text == "" {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

// cell is one field of a table.
type cell struct {
	text  string
	sgr   string // colour
	right bool   // flush right
}

// stateCell shows a state in its colour.
func stateCell(s attribution.State) cell {
	c := cell{text: s.String()}
	if int(s) < len(stateColours) {
		c.sgr = stateColours[s]
	}
	return c
}

// rowStateCell shows the state of a row, and that a value of it returns.
func rowStateCell(r *attribution.Row) cell {
	c := stateCell(r.State)
	if r.Returns {
		c.text += ", returns"
	}
	return c
}

// writeTable writes rows under a header with columns aligned. Widths are those
// of the text without its colours.
func writeTable(w io.Writer, p palette, header []string, rows [][]cell) error {
	widths := make([]int, len(header))
	head := make([]cell, len(header))
	for i, h := range header {
		head[i] = cell{text: h, sgr: bold}
		widths[i] = len(h)
	}
	for _, r := range rows {
		for i, c := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
			head[i].right = head[i].right || c.right
		}
	}
	if err := writeRow(w, p, widths, head); err != nil {
		return err
	}
	for _, r := range rows {
		if err := writeRow(w, p, widths, r); err != nil {
			return err
		}
	}
	return nil
}

func writeRow(w io.Writer, p palette, widths []int, row []cell) error {
	var b strings.Builder
	for i, c := range row {
		pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(c.text)))
		if i > 0 {
			b.WriteString("  ")
		}
		switch {
		case c.right:
			b.WriteString(pad + p.paint(c.sgr, c.text))
		case i == len(row)-1:
			b.WriteString(p.paint(c.sgr, c.text))
		default:
			b.WriteString(p.paint(c.sgr, c.text) + pad)
		}
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}

// printable makes text safe to show: attackers choose some of it, and a
// terminal obeys what it is shown. Everything that is no visible character is
// written as an escape.
func printable(s string) string {
	if strings.IndexFunc(s, invisible) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case invisible(r) && r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		case invisible(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

func invisible(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }

// shorten cuts text to most characters.
func shorten(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}
