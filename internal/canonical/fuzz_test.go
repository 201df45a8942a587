package canonical

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// longNumber is the length from which strconv.ParseFloat may be wrong: it reads no
// exponent beyond five digits, which shows only in texts that can shift the point nearly
// as far.
const longNumber = 4096

// FuzzAppend compares with encoding/json: what is taken, and what it means.
func FuzzAppend(f *testing.F) {
	for _, seed := range []string{
		"null", "true", "-0.0", "1e999", "1e-400", "12345678901234567890", `"a\u0041\ud83d\ude00\n"`, `"\ud83d"`,
		`{"b":1,"a":[1.0,{"c":null}],"b":2}`, "[1,2", `{"a":1,}`, "\"\xff\"", " [ ] ", "01", "1 2", "[[[]]]", `{"":{"":{}}}`,
		`"plain text, longer than eight bytes, then é"`, "\"12345678\x00\"", "0.000001", "1e16", "\ufeff1", "[1e15,-1e15,1e-6]",
		"[5e-324,2.4703282292062327208e-324,1.7976931348623158079e308]", "9007199254740993.0000000000000000000001",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		out, rest, err := Append(nil, src)
		var s Scanner
		s.Reset(src)
		if skipped := s.Skip(); !errors.Is(skipped, err) || s.Offset() != len(src)-len(rest) {
			t.Fatalf("Append(%q): %v at byte %d; Skip: %v at byte %d", src, err, len(src)-len(rest), skipped, s.Offset())
		}
		switch {
		case errors.Is(err, ErrInvalidUTF8):
			if utf8.Valid(src) {
				t.Fatalf("Append(%q): %v", src, err)
			}
			return
		case errors.Is(err, ErrTooDeep):
			return
		case errors.Is(err, ErrNotFinite):
			digits := string(rest[:numberLen(rest)])
			if _, parse := strconv.ParseFloat(digits, 64); len(digits) < longNumber && parse == nil {
				t.Fatalf("Append(%q): %v at %s", src, err, digits)
			}
			return
		}
		taken := err == nil && len(bytes.Trim(rest, " \t\r\n")) == 0
		if taken != json.Valid(src) {
			t.Fatalf("Append(%q) = %q, rest %q, %v; encoding/json says %v", src, out, rest, err, !taken)
		}
		if err != nil {
			return
		}
		src = src[:len(src)-len(rest)]
		if len(out) > 4*len(src) || (out[0] == '[' || out[0] == '{') && 5*len(out) > 17*len(src) {
			t.Fatalf("Append(%q) = %q: %d bytes of %d", src, out, len(out), len(src))
		}
		again, rest, err := Append(nil, out)
		if err != nil || len(rest) > 0 || !bytes.Equal(again, out) {
			t.Fatalf("Append(%q) = %q, then %q, rest %q, %v", src, out, again, rest, err)
		}
		if want, got := decode(t, src), decode(t, out); !reflect.DeepEqual(want, got) {
			t.Fatalf("Append(%q) = %q: %v became %v", src, out, want, got)
		}
	})
}

func numberLen(b []byte) int {
	i := bytes.IndexFunc(b, func(r rune) bool { return !strings.ContainsRune("+-.0123456789eE", r) })
	if i < 0 {
		return len(b)
	}
	return i
}

// decode is what encoding/json makes of text. Lone surrogates, which it folds
// into one, and numbers too long for it are seen to elsewhere.
func decode(t *testing.T, text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("encoding/json takes and then refuses %q: %v", text, err)
	}
	return doubles(v)
}

func doubles(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil || len(v) >= longNumber {
			return math.MaxFloat64
		}
		return f + 0 // -0 + 0 is 0
	case []any:
		for i := range v {
			v[i] = doubles(v[i])
		}
	case map[string]any:
		// Keys that differ only in a lone surrogate are one to encoding/json.
		for k := range v {
			if strings.ContainsRune(k, utf8.RuneError) {
				return "an object with a key beyond Unicode"
			}
			v[k] = doubles(v[k])
		}
	}
	return v
}

func FuzzUnescape(f *testing.F) {
	for _, seed := range []string{`"a"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\u00e9\"\\"`, `"\/\b"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var s Scanner
		s.Reset(src)
		raw, escaped, err := s.Text()
		if err != nil {
			return
		}
		text, ok := Unescape(nil, raw)
		if ok != utf8.Valid(text) {
			t.Fatalf("Unescape(%q) = %q, %v", raw, text, ok)
		}
		if !escaped && !bytes.Equal(raw, text) {
			t.Fatalf("Unescape(%q) = %q, without an escape", raw, text)
		}
		if !ok {
			return
		}
		var want string
		if err := json.Unmarshal(src[:s.Offset()], &want); err != nil || want != string(text) {
			t.Fatalf("Unescape(%q) = %q; encoding/json: %q, %v", raw, text, want, err)
		}
	})
}
