package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kadm"
	"pgregory.net/rapid"

	"handprint/state"
)

// Whatever an attacker sends, a terminal gets nothing to obey.
func TestPrintableTextHasNoControls(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(rt, "text")
		got := printable(s)
		if !utf8.ValidString(got) {
			rt.Fatalf("%q is not UTF-8", got)
		}
		for _, r := range got {
			if r != ' ' && !unicode.IsPrint(r) {
				rt.Fatalf("%q holds %U", got, r)
			}
		}
	})
	for in, want := range map[string]string{
		"\x1b[2J": `\u001b[2J`, "a\u202eb": `a\u202eb`, "\xff": `\xff`, "ü ✓": "ü ✓", "\U000e0001": `\U000e0001`,
	} {
		if got := printable(in); got != want {
			t.Errorf("%q gave %q, want %q", in, got, want)
		}
	}
}

func TestColoursDoNotShiftColumns(t *testing.T) {
	t.Parallel()
	rows := [][]cell{{{text: "a"}, {text: "red", sgr: "31"}, {text: "x"}}, {{text: "ü✓b"}, {text: "g", sgr: "32"}, {text: "y"}}}
	var plain, coloured strings.Builder
	header := columns("H", "C", "L")
	if err := errors.Join(paper{false, 80}.writeTable(&plain, header, rows), paper{true, 80}.writeTable(&coloured, header, rows)); err != nil {
		t.Fatal(err)
	}
	want := "H    C    L\na    red  x\nü✓b  g    y\n"
	if plain.String() != want {
		t.Errorf("plain\n%s", plain.String())
	}
	stripped := coloured.String()
	for _, sgr := range []string{"31", "32", "1", "0"} {
		stripped = strings.ReplaceAll(stripped, "\x1b["+sgr+"m", "")
	}
	if stripped != want || !strings.Contains(coloured.String(), "\x1b[31mred\x1b[0m") {
		t.Errorf("coloured %q", coloured.String())
	}
}

func TestShowTimeTakesAnyNumber(t *testing.T) {
	t.Parallel()
	for in, want := range map[float64]string{0: "1970-01-01 00:00:00", 1.7e9 + 0.5: "2023-11-14 22:13:20", 1e300: "1e+300", -1: "-1"} {
		if got := showTime(in); got != want {
			t.Errorf("%v gave %s", in, got)
		}
	}
}

func TestErrorsOfTheStateDirectoryHaveTheirExitCode(t *testing.T) {
	t.Parallel()
	for _, err := range []error{state.ErrLocked, state.ErrNewerVersion, state.ErrUnwritable, state.ErrNotAStore} {
		if got := exitCode(fmt.Errorf("opening: %w", err)); got != exitState {
			t.Errorf("%v gave %d", err, got)
		}
	}
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	if got := oneLine(errors.Join(errors.New("a"), errors.New("b\x1b"))); got != `a; b\u001b` {
		t.Errorf("%q", got)
	}
}

// What the client library says of its parts is left out, on the command line and
// in the log.
func TestErrorsNameNoShards(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("asking for the newest offsets: %w", &kadm.ShardErrors{Name: "ListOffsets", Errs: []kadm.ShardError{{Err: errors.New("unable to dial 192.0.2.1:9092")}}})
	const want = "asking for the newest offsets: ListOffsets: unable to dial 192.0.2.1:9092"
	if got := oneLine(err); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := plainError(nil, slog.Any("error", err)); got.Value.String() != want {
		t.Errorf("in the log %q, want %q", got.Value, want)
	}
	if got := plainError(nil, slog.Int("n", 1)); got.Value.Int64() != 1 {
		t.Errorf("%v", got)
	}
}

// JSON that is shown on a terminal has escapes in the place of what a terminal
// obeys, and is the same JSON.
func TestEscapedJSONIsTheSame(t *testing.T) {
	t.Parallel()
	for _, tt := range [][2]string{
		{"{\"a\":\"x\"}\n", "{\"a\":\"x\"}\n"},
		{"{\"a\":\"\u202ex\"}", `{"a":"\u202ex"}`},
		{"{\"a\":\"\U000e0001é\"}", `{"a":"\udb40\udc01é"}`},
	} {
		got := escapeJSON([]byte(tt[0]))
		var a, b any
		if string(got) != tt[1] || json.Unmarshal([]byte(tt[0]), &a) != nil || json.Unmarshal(got, &b) != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%q is shown as %q, want %q", tt[0], got, tt[1])
		}
	}
}

// A table fits its paper: what is least needed is left out, what is long is
// shortened, and what may be neither stays.
func TestTablesFit(t *testing.T) {
	t.Parallel()
	columns := []column{{head: "ID"}, {head: "NAME", least: 4, tail: true}, {head: "VALUE", least: 5}, {head: "LAST", drop: 1}}
	rows := [][]cell{{{text: "ab"}, {text: "one.two"}, {text: "long value"}, {text: "today"}}}
	for width, want := range map[int]string{
		40: "ID  NAME     VALUE       LAST\nab  one.two  long value  today\n",
		26: "ID  NAME     VALUE   LAST\nab  one.two  long …  today\n",
		20: "ID  NAME     VALUE\nab  one.two  long v…\n",
		15: "ID  NAME  VALUE\nab  …two  long…\n",
		3:  "ID  NAME  VALUE\nab  …two  long…\n",
	} {
		var out strings.Builder
		if err := (paper{false, width}).writeTable(&out, columns, rows); err != nil || out.String() != want {
			t.Errorf("%d wide, %v:\n%swant\n%s", width, err, out.String(), want)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		var columns []column
		var row []cell
		least := -len(gap)
		for range rapid.IntRange(1, 6).Draw(rt, "columns") {
			c := column{head: "H", least: rapid.IntRange(1, 9).Draw(rt, "least"), tail: rapid.Bool().Draw(rt, "tail"), drop: rapid.IntRange(0, 2).Draw(rt, "drop")}
			columns = append(columns, c)
			row = append(row, cell{text: rapid.StringMatching(`[a-zé]{0,30}`).Draw(rt, "text"), right: rapid.Bool().Draw(rt, "right")})
			if c.drop == 0 {
				least += c.least + len(gap)
			}
		}
		width := rapid.IntRange(1, 100).Draw(rt, "width")
		var out strings.Builder
		if err := (paper{false, width}).writeTable(&out, columns, [][]cell{row}); err != nil {
			rt.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > max(width, least) {
				rt.Fatalf("%d characters on paper of %d that needs %d:\n%s", n, width, least, out.String())
			}
		}
	})
}

func TestTextIsWrapped(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := (paper{false, 24}).wrap(&out, "  ", "one two three four five six "+strings.Repeat("x", 30)); err != nil {
		t.Fatal(err)
	}
	if want := "  one two three four\n  five six\n  " + strings.Repeat("x", 21) + "…\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
