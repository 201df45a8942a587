package canonical

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAppend(t *testing.T) {
	tests := []struct{ in, want string }{
		{"null", "null"},
		{" \t\r\ntrue", "true"},
		{"false", "false"},
		{"1", "1"}, {"1.0", "1"}, {"1e0", "1"}, {"0.1E+1", "1"}, {"10e-1", "1"}, {"100e-2", "1"},
		{"0", "0"}, {"-0", "0"}, {"-0.0", "0"}, {"0e999", "0"}, {"-0e-999999999999999999999", "0"},
		{"1e-400", "0"}, {"-1e-400", "0"}, {"5e-324", "5e-324"}, {"2.4703282292062328e-324", "5e-324"},
		{"-5", "-5"}, {"-0.5", "-0.5"}, {"0.50", "0.5"}, {"1E2", "100"},
		{"9007199254740992", "9007199254740992"},
		{"9007199254740993", "9007199254740992"},
		{"9007199254740995", "9007199254740996"},
		{"9999999999999998", "9999999999999998"},
		{"10000000000000000", "1e16"}, {"1e15", "1000000000000000"}, {"1e21", "1e21"}, {"1E+22", "1e22"},
		{"123456789012345678901234567890", "1.2345678901234568e29"},
		{"0.000001", "0.000001"}, {"1e-6", "0.000001"}, {"0.0000001", "1e-7"}, {"1.5e-7", "1.5e-7"}, {"1e-10", "1e-10"},
		{"1701015245.825", "1701015245.825"}, {"1700000000.1234567", "1700000000.1234567"},
		{"0.1", "0.1"}, {"0.30000000000000004", "0.30000000000000004"}, {"0.3000000000000000444", "0.30000000000000004"},
		{"1.7976931348623157e308", "1.7976931348623157e308"},
		{"1" + strings.Repeat("0", 308), "1e308"},
		{`""`, `""`}, {`"abc"`, `"abc"`}, {`"\u0041"`, `"A"`}, {`"\/"`, `"/"`}, {`"<&>"`, `"<&>"`},
		{`"\u0000\u001F\u007f"`, `"\u0000\u001f` + "\x7f" + `"`},
		{`"\u0008\u000c\u000A\u000d\u0009\b\f\n\r\t"`, `"\b\f\n\r\t\b\f\n\r\t"`},
		{`"\"\\\u0022\u005c"`, `"\"\\\"\\"`},
		{`"é` + "\u2028" + `"`, `"é` + "\u2028" + `"`}, {`"\u00e9"`, `"é"`}, {`"e\u0301"`, "\"e\u0301\""},
		{`"\ud83d\ude00"`, `"😀"`}, {`"\uD83D\uDE00"`, `"😀"`},
		{`"\uD83D"`, `"\ud83d"`}, {`"\uDE00\uD83D"`, `"\ude00\ud83d"`}, {`"\ud83d\ud83d\ude00"`, `"\ud83d😀"`},
		{`"\ud83d\n\ude00"`, `"\ud83d\n\ude00"`}, {`"\ufffd"`, "\"\uFFFD\""}, {`"\ud83d\\ude00"`, `"\ud83d\\ude00"`},
		{"[]", "[]"}, {"{ }", "{}"}, {"[ 1 , [ ] , { } ]", "[1,[],{}]"},
		{`{"b":1,"a":2}`, `{"a":2,"b":1}`},
		{`{"a":1,"a":2}`, `{"a":2}`},
		{`{"a":1,"\u0061":2,"b":{"y":1,"x":[{"d":4,"c":3}]},"a":3}`, `{"a":3,"b":{"x":[{"c":3,"d":4}],"y":1}}`},
		{`{"a!":1,"a":2,"":3}`, `{"":3,"a":2,"a!":1}`},
		{`{"A":1,"a":2,"é":3,"Z":4}`, `{"A":1,"Z":4,"a":2,"é":3}`},
		{`{"b":1,"a":{"b":1,"a":{"b":1,"a":2}}}`, `{"a":{"a":{"a":2,"b":1},"b":1},"b":1}`},
	}
	for _, tt := range tests {
		out, rest, err := Append([]byte("x"), []byte(tt.in))
		if err != nil || string(out) != "x"+tt.want || len(rest) != 0 {
			t.Errorf("Append(%q) = %q, rest %q, %v; want %q", tt.in, out, rest, err, tt.want)
		}
	}
}

func TestAppendLeavesTheRest(t *testing.T) {
	for _, tt := range []struct{ in, want, rest string }{
		{"1 2", "1", " 2"},
		{"nullx", "null", "x"},
		{"01", "0", "1"},
		{"[] ,", "[]", " ,"},
		{`"a""b"`, `"a"`, `"b"`},
		{`{}}`, "{}", "}"},
	} {
		out, rest, err := Append(nil, []byte(tt.in))
		if err != nil || string(out) != tt.want || string(rest) != tt.rest {
			t.Errorf("Append(%q) = %q, rest %q, %v; want %q, rest %q", tt.in, out, rest, err, tt.want, tt.rest)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	tests := []struct {
		in   string
		want error
		at   int
	}{
		{"", errEnd, 0}, {"  ", errEnd, 2}, {"\x00", errValue, 0}, {"\ufeff1", errValue, 0},
		{"NaN", errValue, 0}, {"Infinity", errValue, 0}, {"+1", errValue, 0}, {".5", errValue, 0},
		{"nul", errEnd, 3}, {"nule", errLiteral, 3}, {"t", errEnd, 1}, {"falsy", errLiteral, 4},
		{"-", errEnd, 1}, {"-a", errNumber, 1}, {"1.", errEnd, 2}, {"1.e1", errNumber, 2}, {"1e", errEnd, 2},
		{"1e+", errEnd, 3}, {"1ex", errNumber, 2}, {"-Infinity", errNumber, 1}, {"[01]", errComma, 2}, {"[0x1]", errComma, 2},
		{"1e999", ErrNotFinite, 0}, {"-1e309", ErrNotFinite, 0}, {`[1,{"a":[1e400]}]`, ErrNotFinite, 9},
		{`{"a":1e999,"a":1}`, ErrNotFinite, 5}, {"1.7976931348623159e308", ErrNotFinite, 0},
		{`"abc`, errEnd, 4}, {`"a\`, errEnd, 2}, {`"\x"`, errEscape, 1}, {`"\u12"`, errEscape, 1}, {`"\u12`, errEnd, 1},
		{"\"a\nb\"", errControl, 2}, {"\"12345678\x01\"", errControl, 9}, {"\"\x80\"", ErrInvalidUTF8, 1},
		{"\"\xed\xa0\x80\"", ErrInvalidUTF8, 1}, {"\"\xc0\x80\"", ErrInvalidUTF8, 1}, {"{\"\xff\":1}", ErrInvalidUTF8, 2},
		{"[", errEnd, 1}, {"[1", errEnd, 2}, {"[1 2]", errComma, 3}, {"[1,]", errValue, 3}, {"[,1]", errValue, 1}, {"[1}", errComma, 2},
		{"{", errEnd, 1}, {"{1:2}", errKey, 1}, {`{"a"}`, errColon, 4}, {`{"a":}`, errValue, 5}, {`{"a":1,}`, errKey, 7},
		{`{"a":1 "b":2}`, errComma, 7}, {`{"a":1]`, errComma, 6}, {`{,}`, errKey, 1}, {"]", errValue, 0},
		{strings.Repeat("[", MaxDepth+1), ErrTooDeep, MaxDepth},
		{strings.Repeat(`{"a":`, MaxDepth+1), ErrTooDeep, 5 * MaxDepth},
		{strings.Repeat("[", 1<<18), ErrTooDeep, MaxDepth},
	}
	for _, tt := range tests {
		out, rest, err := Append([]byte("x"), []byte(tt.in))
		if !errors.Is(err, tt.want) || string(out) != "x" || len(tt.in)-len(rest) != tt.at {
			t.Errorf("Append(%.60q) = %q, %v at byte %d; want %v at byte %d", tt.in, out, err, len(tt.in)-len(rest), tt.want, tt.at)
		}
		var s Scanner
		s.Reset([]byte(tt.in))
		if err := s.Skip(); !errors.Is(err, tt.want) || s.Offset() != tt.at {
			t.Errorf("Skip(%.60q) = %v at byte %d; want %v at byte %d", tt.in, err, s.Offset(), tt.want, tt.at)
		}
	}
}

func TestAppendTakesTheDeepestNesting(t *testing.T) {
	for _, in := range []string{
		strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth),
		strings.Repeat(`{"a":`, MaxDepth) + "1" + strings.Repeat("}", MaxDepth),
		"[" + strings.Repeat(strings.Repeat("[", MaxDepth-1)+strings.Repeat("]", MaxDepth-1)+",", 3) + "1]",
	} {
		out, rest, err := Append(nil, []byte(in))
		if err != nil || string(out) != in || len(rest) > 0 {
			t.Errorf("Append(%.20q...) = %.20q, rest %.20q, %v", in, out, rest, err)
		}
		var s Scanner
		s.Reset([]byte(in))
		if err := s.Skip(); err != nil || s.End() != nil {
			t.Errorf("Skip(%.20q...): %v", in, err)
		}
	}
}

func TestAppendSortsManyMembers(t *testing.T) {
	var in, want []byte
	for i := 999; i >= 0; i-- {
		in = append(in, `,"`...)
		in = append(in, byte('0'+i/100), byte('0'+i/10%10), byte('0'+i%10))
		in = append(in, `":1`...)
	}
	in = append(append([]byte{'{'}, in[1:]...), `,"500":2}`...)
	for i := range 1000 {
		v := byte('1')
		if i == 500 {
			v = '2'
		}
		want = append(want, ',', '"', byte('0'+i/100), byte('0'+i/10%10), byte('0'+i%10), '"', ':', v)
	}
	want = append(append([]byte{'{'}, want[1:]...), '}')
	out, _, err := Append(nil, in)
	if err != nil || !bytes.Equal(out, want) {
		t.Errorf("Append = %.80q..., %v; want %.80q...", out, err, want)
	}
}

func TestValueAllocatesNothing(t *testing.T) {
	var dst []byte
	var s Scanner
	for _, in := range []string{
		`"a short string"`, "12.5", "1e300", `"\u0041\ud83d\ude00"`,
		`{"b":[1,2,{"z":0.1,"y":"é"}],"a":null,"b":true}`,
	} {
		src := []byte(in)
		if n := testing.AllocsPerRun(100, func() {
			s.Reset(src)
			dst, _ = s.Value(dst[:0])
		}); n != 0 {
			t.Errorf("Value(%s): %v allocations", in, n)
		}
	}
}

// Members of very many keys are put into the order in which a few are.
func TestMembersOfAnyKeysAreSorted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching(rapid.SampledFrom([]string{`[ab]{0,3}`, `[a-z]{0,9}`, `aaaaaaaa[ab]{0,9}`, `aaaaaaaaaaaaaaaa[a-c]{0,2}`, `(aaaaaaaa){0,4}`, `\\u00e[0-9]\\n[ab]{0,9}`}).Draw(t, "of")).Draw
		want := make(map[string]string)
		text := []byte("{")
		var names []string
		for i := range rapid.IntRange(1, 300).Draw(t, "members") {
			k := key(t, "key")
			if i > 0 {
				text = append(text, ',')
			}
			text = fmt.Appendf(text, `"%s":[%d]`, k, i)
			name, _, err := Append(nil, fmt.Appendf(nil, `"%s"`, k))
			if err != nil {
				t.Fatal(err)
			}
			if _, known := want[string(name)]; !known {
				names = append(names, string(name))
			}
			want[string(name)] = fmt.Sprintf("[%d]", i)
		}
		text = append(text, '}')
		// The quote at the end is no part of a key.
		slices.SortFunc(names, func(a, b string) int { return strings.Compare(a[:len(a)-1], b[:len(b)-1]) })
		sorted := "{"
		for i, name := range names {
			if i > 0 {
				sorted += ","
			}
			sorted += name + ":" + want[name]
		}
		if out, _, err := Append(nil, text); err != nil || string(out) != sorted+"}" {
			t.Fatalf("Append(%s) = %s, %v; want %s}", text, out, err, sorted)
		}
	})
}
