package ui

import (
	"encoding/json"
	"fmt"
	"net/url"
	"testing"

	"pgregory.net/rapid"

	"handprint/serve/query"
)

func series(values string, at ...float64) []entry {
	var out []entry
	for i, c := range values {
		ts := float64(i)
		if i < len(at) {
			ts = at[i]
		}
		out = append(out, entry{TS: ts, Value: json.RawMessage(`"` + string(c) + `"`)})
	}
	return out
}

func lettersIn(l letters, entries []entry) string {
	var s []byte
	for _, e := range entries {
		s = append(s, l[key(e.Value)])
	}
	return string(s)
}

func TestLettersFollowTheTopmostRow(t *testing.T) {
	for _, c := range []struct{ top, other, want string }{
		{"xyxy", "pqpq", "ABAB"},
		{"xyzx", "pqpp", "ABAA"}, // p comes with A twice and with C once
		{"xyxy", "pppp", "AAAA"},
		{"xxyy", "pqpq", "ABAB"}, // p and q come with both as often: the earlier letter to the earlier value
		{"xy", "pqr", "ABC"},
	} {
		top := series(c.top)
		l := lettersOf(top)
		if got := lettersIn(l.follow(top, series(c.other)), series(c.other)); got != c.want {
			t.Errorf("%s above %s: %s, want %s", c.top, c.other, got, c.want)
		}
	}
}

func TestEachLetterIsUsedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		alphabet := rapid.StringOfN(rapid.RuneFrom([]rune("abcde")), 1, 12, -1)
		top, other := series(alphabet.Draw(t, "top")), series(alphabet.Draw(t, "other"))
		l := lettersOf(top).follow(top, other)
		used := map[byte]string{}
		for _, e := range other {
			letter := l[key(e.Value)]
			if letter < 'A' || letter > 'Z' {
				t.Fatalf("%s has the letter %q", e.Value, letter)
			}
			if v, ok := used[letter]; ok && v != key(e.Value) {
				t.Fatalf("%s and %s have the letter %c", v, e.Value, letter)
			}
			used[letter] = key(e.Value)
		}
	})
}

func TestColumnsAreSessionsInBursts(t *testing.T) {
	c := columnsOf([][]entry{series("abc", 100, 101, 200), series("ab", 101, 201)})
	if len(c.times) != 4 || c.bursts[1] != 0 || c.bursts[2] != 1 || c.bursts[3] != 1 {
		t.Errorf("times %v in bursts %v", c.times, c.bursts)
	}
	if c.place(50) != 0 || c.place(300) != c.width() || c.place(150) <= c.x(1) || c.place(150) >= c.x(2)+c.cell {
		t.Errorf("places %d, %d, %d of %d", c.place(50), c.place(150), c.place(300), c.width())
	}
	var many []entry
	for i := range 40 {
		many = append(many, entry{TS: float64(i), Value: json.RawMessage(`1`)})
	}
	if c := columnsOf([][]entry{many}); len(c.times) != maxColumns || c.left != 28 || c.times[0] != 28 {
		t.Errorf("%d columns from %v, %d left", len(c.times), c.times[0], c.left)
	}
}

// Bands never overlap, and lie within the picture, whatever the times.
func TestBandsLieWithinTheLane(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOfN(rapid.Float64Range(0, 1e9), 1, 20)
		c := columnsOf([][]entry{series(string(make([]byte, 0)), 0), seriesAt(times.Draw(t, "entries"))})
		var changes []query.Happening
		for i, ts := range times.Draw(t, "changes") {
			changes = append(changes, query.Happening{TS: ts, Kind: "state", Primitive: "p.q", NewState: states[i%5]})
		}
		row := query.Row{Primitive: "p.q", State: "stable"}
		view := url.Values{"axis": {rapid.SampledFrom([]string{"sessions", "time", ""}).Draw(t, "axis")}, "by": {rapid.SampledFrom([]string{"recorded", ""}).Draw(t, "by")}}
		if rapid.Bool().Draw(t, "a stretch") {
			view.Set("from", fmt.Sprint(rapid.Float64Range(-1, 2e9).Draw(t, "from")))
			view.Set("to", fmt.Sprint(rapid.Float64Range(-1, 2e9).Draw(t, "to")))
		}
		a := axisOf(view, &c, changes)
		end := 0
		for _, b := range laneOf(&a, letters{}, changes, &row, nil, &page{}).bands {
			if b.from < end || b.to > a.width() || b.to <= b.from {
				t.Fatalf("band %+v after %d, in %d", b, end, a.width())
			}
			end = b.to
		}
	})
}

func seriesAt(times []float64) []entry {
	var out []entry
	for _, ts := range times {
		out = append(out, entry{TS: ts, Value: json.RawMessage(`"v"`)})
	}
	return out
}

func TestWhatReturnsIsMarked(t *testing.T) {
	entries := series("abaab")
	c := columnsOf([][]entry{entries})
	var back []int
	for i, x := range cellsOf(&c, lettersOf(entries), nil, entries, true) {
		if x.back {
			back = append(back, i)
		}
	}
	if len(back) != 2 || back[0] != 2 || back[1] != 4 {
		t.Errorf("marked %v, want 2 and 4", back)
	}
}

func FuzzPrintable(f *testing.F) {
	for _, s := range hostile {
		f.Add(s[:min(len(s), 100)])
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range printable(s, 50) {
			if r < ' ' || r == 0x7f || r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069 || r == 0x200B || r == 0xFEFF {
				t.Errorf("%q shows %U", s, r)
			}
		}
	})
}
