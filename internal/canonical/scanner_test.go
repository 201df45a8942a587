package canonical

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestScannerWalksARecord(t *testing.T) {
	var s Scanner
	s.Reset([]byte(` { "a" : "x\ty" , "\u0062" : 1.5 , "c":{"d":[1,2]},"e":[ "f" , [ ] ],"g":null,"h":true} `))
	var got []string
	if err := s.Object(); err != nil {
		t.Fatal(err)
	}
	for {
		key, ok, err := s.Member()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		entry := string(key) + " is " + s.Peek().String()
		switch s.Peek() {
		case StringToken:
			raw, escaped, err := s.Text()
			if err != nil {
				t.Fatal(err)
			}
			text, ok := Unescape(nil, raw)
			entry += fmt.Sprintf(" %q %v %v", text, escaped, ok)
		case NumberToken:
			f, err := s.Float()
			if err != nil {
				t.Fatal(err)
			}
			entry += fmt.Sprintf(" %v", f)
		case ArrayToken:
			if err := s.Array(); err != nil {
				t.Fatal(err)
			}
			for {
				ok, err := s.Element()
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					break
				}
				out, err := s.Value(nil)
				if err != nil {
					t.Fatal(err)
				}
				entry += " " + string(out)
			}
		default:
			if err := s.Skip(); err != nil {
				t.Fatal(err)
			}
		}
		got = append(got, entry)
	}
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	want := "a is a string \"x\\ty\" true true; b is a number 1.5; c is an object; e is an array \"f\" []; g is null; h is a boolean"
	if strings.Join(got, "; ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "; "), want)
	}
}

func TestScannerRefusesOtherTypes(t *testing.T) {
	for _, in := range []string{"", "?", "null"} {
		for name, read := range map[string]func(*Scanner) error{
			"Text":   func(s *Scanner) error { _, _, err := s.Text(); return err },
			"Float":  func(s *Scanner) error { _, err := s.Float(); return err },
			"Object": (*Scanner).Object,
			"Array":  (*Scanner).Array,
		} {
			var s Scanner
			s.Reset([]byte(in))
			if err := read(&s); err == nil {
				t.Errorf("%s(%q): no error", name, in)
			}
		}
	}
	var s Scanner
	s.Reset([]byte("1 x"))
	if err := s.Skip(); err != nil {
		t.Fatal(err)
	}
	if err := s.End(); !errors.Is(err, errTrail) || s.Offset() != 2 {
		t.Errorf("End = %v at byte %d", err, s.Offset())
	}
}

func TestUnescapeKeepsHalfPairsApart(t *testing.T) {
	for _, tt := range []struct {
		raw, want string
		ok        bool
	}{
		{`a\"\\\/\b\f\n\r\t\u00e9`, "a\"\\/\b\f\n\r\té", true},
		{`\ud83d\ude00`, "😀", true},
		{`\ud800`, "\xed\xa0\x80", false},
		{`\udfff!`, "\xed\xbf\xbf!", false},
		{`\ufffd`, "\uFFFD", true},
	} {
		got, ok := Unescape(nil, []byte(tt.raw))
		if string(got) != tt.want || ok != tt.ok {
			t.Errorf("Unescape(%s) = %q, %v; want %q, %v", tt.raw, got, ok, tt.want, tt.ok)
		}
	}
}

func TestStringsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		quoted := AppendString(nil, text)
		if same := AppendString(nil, []byte(text)); string(same) != string(quoted) {
			t.Fatalf("AppendString of the string %s, of the bytes %s", quoted, same)
		}
		again, rest, err := Append(nil, quoted)
		if err != nil || len(rest) > 0 || string(again) != string(quoted) {
			t.Fatalf("Append(%s) = %s, %v", quoted, again, err)
		}
		back, ok := Unescape(nil, quoted[1:len(quoted)-1])
		if !ok || string(back) != text {
			t.Fatalf("%s reads as %q, not %q", quoted, back, text)
		}
	})
}

func TestAppendStringRepairsInvalidUTF8(t *testing.T) {
	for in, want := range map[string]string{
		"a\xffb":        "\"a\uFFFDb\"",
		"\xed\xa0\x80":  "\"\uFFFD\uFFFD\uFFFD\"",
		"\xe2\x82":      "\"\uFFFD\uFFFD\"",
		"ok \uFFFD\x01": "\"ok \uFFFD\\u0001\"",
	} {
		got := string(AppendString(nil, in))
		if got != want || !utf8.ValidString(got) {
			t.Errorf("AppendString(%q) = %q, want %q", in, got, want)
		}
	}
}

// A scanner keeps nothing of a value of very many members.
func TestScannersKeepLittle(t *testing.T) {
	const members, scanners = 50_000, 16
	text := []byte("{")
	for i := range members {
		text = fmt.Appendf(text, `"%d":1,`, members-i)
	}
	text = append(text, `"":1}`...)
	kept := func() uint64 {
		for range 3 { // a pool is empty after two
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var all [scanners]Scanner
	var dst []byte
	before := kept()
	for i := range all {
		all[i].Reset(text)
		var err error
		if dst, err = all[i].Value(dst[:0]); err != nil {
			t.Fatal(err)
		}
	}
	dst = nil
	if more := int64(kept()) - int64(before); more > scanners<<16 {
		t.Errorf("%d scanners keep %d bytes", scanners, more)
	}
	runtime.KeepAlive(&all)
	runtime.KeepAlive(text)
	runtime.KeepAlive(dst)
}
