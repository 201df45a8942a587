package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

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

// paper is what output for people is written on: with colours or without, and so
// many characters wide.
type paper struct {
	palette
	width int
}

// defaultWidth is the width of a terminal that does not tell, and of what is no
// terminal.
const defaultWidth = 80

// paper returns what a.out is. COLUMNS says how wide it is where it is no
// terminal.
func (a *app) paper() paper {
	p := paper{palette: palette(a.coloured()), width: defaultWidth}
	if f, ok := a.out.(*os.File); ok && isTerminal(f) {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			p.width = w
		}
	} else if w, err := strconv.Atoi(a.env("COLUMNS")); err == nil && w > 0 {
		p.width = w
	}
	return p
}

// column is a column of a table.
type column struct {
	head string
	// least is the width down to which the column's texts are shortened where
	// the table is too wide; 0: they are not.
	least int
	// tail says that a text is shortened from the left, for its end says more,
	// and after all others: it is a name.
	tail bool
	// drop is when the column is left out, where shortening is not enough: the
	// highest first; 0: never.
	drop int
}

// columns returns columns that stay as they are.
func columns(heads ...string) []column {
	list := make([]column, len(heads))
	for i, h := range heads {
		list[i].head = h
	}
	return list
}

// gap is what stands between two columns.
const gap = "  "

// fit returns the widths of columns whose texts want these widths, so that a
// row fits: columns are left out (width -1), then shortened, the widest first.
// What can be neither is as wide as it is.
func fit(columns []column, want []int, width int) []int {
	widths := slices.Clone(want)
	total := func(least bool) int {
		sum := -len(gap)
		for i, w := range widths {
			if w < 0 {
				continue
			}
			if c := columns[i].least; least && c > 0 {
				w = min(w, c)
			}
			sum += w + len(gap)
		}
		return sum
	}
	for total(true) > width {
		last := -1
		for i, c := range columns {
			if widths[i] >= 0 && c.drop > 0 && (last < 0 || c.drop > columns[last].drop) {
				last = i
			}
		}
		if last < 0 {
			break
		}
		widths[last] = -1
	}
	for _, tail := range []bool{false, true} { // names stay whole as long as they can
		for total(false) > width {
			widest := -1
			for i, c := range columns {
				if c.tail == tail && c.least > 0 && widths[i] > c.least && (widest < 0 || widths[i] > widths[widest]) {
					widest = i
				}
			}
			if widest < 0 {
				break
			}
			widths[widest]--
		}
	}
	return widths
}

// writeTable writes rows under a header, with columns that are aligned and fit.
// Widths are of the texts without their colours.
func (p paper) writeTable(w io.Writer, columns []column, rows [][]cell) error {
	want := make([]int, len(columns))
	head := make([]cell, len(columns))
	for i, c := range columns {
		head[i] = cell{text: c.head, sgr: bold}
		want[i] = len(c.head)
	}
	for _, r := range rows {
		for i, c := range r {
			want[i] = max(want[i], utf8.RuneCountInString(c.text))
			head[i].right = head[i].right || c.right
		}
	}
	widths := fit(columns, want, p.width)
	if err := p.writeRow(w, columns, widths, head); err != nil {
		return err
	}
	for _, r := range rows {
		if err := p.writeRow(w, columns, widths, r); err != nil {
			return err
		}
	}
	return nil
}

func (p paper) writeRow(w io.Writer, columns []column, widths []int, row []cell) error {
	var b strings.Builder
	pad := 0 // blanks that are due, if anything follows
	for i, c := range row {
		if widths[i] < 0 {
			continue
		}
		if columns[i].tail {
			c.text = shortenLeft(c.text, widths[i])
		} else {
			c.text = shorten(c.text, widths[i])
		}
		blanks := max(0, widths[i]-utf8.RuneCountInString(c.text))
		if c.right {
			pad, blanks = pad+blanks, 0
		}
		if c.text != "" {
			b.WriteString(strings.Repeat(" ", pad) + p.paint(c.sgr, c.text))
			pad = 0
		}
		pad += blanks + len(gap)
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}

// wrap writes text in lines that fit, broken between words, each after an
// indent.
func (p paper) wrap(w io.Writer, indent, text string) error {
	var line strings.Builder
	flush := func() (err error) {
		if line.Len() > 0 {
			_, err = fmt.Fprintf(w, "%s%s\n", indent, line.String())
		}
		line.Reset()
		return err
	}
	room := max(20, p.width-utf8.RuneCountInString(indent))
	for _, word := range strings.Fields(text) {
		word = shorten(word, room)
		if line.Len() > 0 && utf8.RuneCountInString(line.String())+1+utf8.RuneCountInString(word) > room {
			if err := flush(); err != nil {
				return err
			}
		}
		if line.Len() > 0 {
			line.WriteByte(' ')
		}
		line.WriteString(word)
	}
	return flush()
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

// shorten cuts text to a number of characters.
func shorten(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:max(0, limit-1)]) + "…"
}

// shortenLeft cuts text to a number of characters, its beginning first.
func shortenLeft(s string, limit int) string {
	n := utf8.RuneCountInString(s)
	if n <= limit {
		return s
	}
	return "…" + string([]rune(s)[n-max(0, limit-1):])
}
