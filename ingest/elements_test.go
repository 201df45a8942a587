package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// partsOf takes a line apart that comes in pieces of a size.
func partsOf(line string, maxLine, piece int) (parts []string, tooLong int) {
	e := &elements{max: maxLine}
	add := func() {
		if e.whole > int64(maxLine) {
			tooLong++
		} else {
			parts = append(parts, string(e.part))
		}
	}
	for chunk := range slices.Chunk([]byte(line), piece) {
		rest, found := e.next(chunk)
		for found {
			add()
			rest, found = e.next(rest)
		}
	}
	if e.end() {
		add()
	}
	return parts, tooLong
}

func TestPartsOfALine(t *testing.T) {
	long := strings.Repeat("x", 100)
	for name, c := range map[string]struct {
		line    string
		parts   []string
		tooLong int
	}{
		"an array":               {`[{"a":1},{"b":[{"c":2}]}]`, []string{`{"a":1}`, `{"b":[{"c":2}]}`}, 0},
		"objects":                {`{"a":1} {"b":2}`, []string{`{"a":1}`, `{"b":2}`}, 0},
		"a document":             {`{"n":1,"hits":{"hits":[{"a":1},{"b":2}]},"x":"` + long + `"}`, []string{`{"a":1}`, `{"b":2}`}, 0},
		"arrays":                 {`{"values":[["1","{}"],["2","{}"]],"x":"` + long + `"}`, []string{`["1","{}"]`, `["2","{}"]`}, 0},
		"brackets in texts":      {`[{"a":"]}\"[{"},{"b":"\\"}]`, []string{`{"a":"]}\"[{"}`, `{"b":"\\"}`}, 0},
		"one that does not fit":  {`[{"a":1},{"x":"` + long + `"},{"b":2}]`, []string{`{"a":1}`, `{"b":2}`}, 1},
		"parts of one too large": {`[{"x":"` + long + `","l":[{"a":1},{"b":2}]},{"c":3}]`, []string{`{"a":1}`, `{"b":2}`, `{"c":3}`}, 0},
		"one byte too long":      {`{"hits":[{"a":1},{"bb":22}],"x":"123456"}`, []string{`{"a":1}`, `{"bb":22}`}, 0},
		"nothing":                {`{"x":"` + long + `"}`, nil, 1},
		"cut":                    {`[{"a":1},{"b":"` + long, []string{`{"a":1}`}, 1},
		"deep":                   {strings.Repeat("[", 5000) + strings.Repeat("]", 5000), nil, 1},
		"deep and open":          {strings.Repeat(`[{"a":`, 5000), nil, 1},
		"closing brackets":       {strings.Repeat("]", 500) + `{"a":1}`, []string{`{"a":1}`}, 0},
	} {
		for _, piece := range []int{1, 7, 1 << 20} {
			parts, tooLong := partsOf(c.line, 40, piece)
			if !slices.Equal(parts, c.parts) || tooLong != c.tooLong {
				t.Errorf("%s in pieces of %d: %.300q and %d too long, want %q and %d", name, piece, parts, tooLong, c.parts, c.tooLong)
			}
		}
	}
}

// Whatever an array of objects holds, each comes out whole, once, in its place.
func TestEachObjectOfAnArrayComesOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.StringOfN(rapid.RuneFrom([]rune(`{}[]",\x ü`)), 0, 12, -1), 1, 12).Draw(t, "texts")
		var want []string
		for i, s := range texts {
			b, err := json.Marshal(map[string]any{"n": i, "s": s, "l": []any{s, map[string]any{s: []int{1}}}})
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, string(b))
		}
		line := rapid.SampledFrom([]string{"[%s]", `{"hits":{"hits":[%s]}}`, `{"x":[[],{}],"responses":[{"hits":{"hits":[%s]}}],"y":"` + strings.Repeat("z", 300) + `"}`}).Draw(t, "around")
		parts, tooLong := partsOf(fmt.Sprintf(line, strings.Join(want, ", ")), 200, rapid.IntRange(1, 50).Draw(t, "piece"))
		parts = slices.DeleteFunc(parts, func(p string) bool { return p == "[]" || p == "{}" })
		// A document that is within the bound is handed out as it is.
		if len(parts) == 1 && len(want) > 0 && strings.HasPrefix(parts[0], `{"hits"`) {
			var whole map[string]any
			if json.Unmarshal([]byte(parts[0]), &whole) != nil {
				t.Fatal(parts[0])
			}
			return
		}
		if !slices.Equal(parts, want) || tooLong > 0 {
			t.Fatalf("%q, %d too long, want %q", parts, tooLong, want)
		}
	})
}

func FuzzElements(f *testing.F) {
	f.Add([]byte(`[{"a":1},{"b":[{"c":2}]}]`), 10, 3)
	f.Add([]byte(`{"hits":{"hits":[{"a":"]}\"[{"}]}}`), 12, 100)
	f.Fuzz(func(t *testing.T, line []byte, maxLine, piece int) {
		if maxLine < 2 || maxLine > 1<<12 || piece < 1 || len(line) > 1<<14 {
			return
		}
		parts, _ := partsOf(string(line), maxLine, piece)
		for _, p := range parts {
			if len(p) > maxLine || !bytes.Contains(line, []byte(p)) {
				t.Fatalf("%q is no part", p)
			}
		}
	})
}
