package jsonscan

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// members reads an object into a map, the last of a repeated name counting.
func members(data []byte) (map[string]string, error) {
	got := map[string]string{}
	err := Object(data, func(name, value []byte) { got[string(name)] = string(value) })
	return got, err
}

func TestObject(t *testing.T) {
	for text, want := range map[string]map[string]string{
		`{}`:                                     {},
		" {\t} \r\n":                             {},
		`{"a":1,"A":2}`:                          {"a": "1", "A": "2"},
		`{"a":1,"a":null}`:                       {"a": "null"},
		`{"\u0061\ud83d\ude00":[{"b":[]}, {} ]}`: {"a😀": `[{"b":[]}, {} ]`},
		`{"x":"\"}","y":{"z":{"a":"]"}}}`:        {"x": `"\"}"`, "y": `{"z":{"a":"]"}}`},
		`{"n":-0.5e+10 , "t":true,"f":false}`:    {"n": "-0.5e+10", "t": "true", "f": "false"},
	} {
		got, err := members([]byte(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestNotAnObject(t *testing.T) {
	for _, text := range []string{
		``, ` `, `null`, `17`, `"a"`, `[]`, `{`, `}`, `{}}`, `{} {}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{a:1}`, `{'a':1}`,
		`{"a":NaN}`, `{"a":Infinity}`, `{"a":-}`, `{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":1e}`, `{"a":+1}`, `{"a":tru}`, `{"a":[1,]}`,
		`{"a":[}`, `{"a":[1}`, `{"a":{"b"}}`, `{"a":{"b":1,}}`, `{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"\u12g4"}`, "{\"a\":\"\n\"}", "{\"a\":\"\xff\"}",
		"\ufeff{}", "{}\x00", "\x00", "{\"a\":\"\\", "{\v}", `{"a":1 "b":2}`, `{"a" 1}`, `{"a":]}`,
	} {
		if got, err := members([]byte(text)); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

func TestDepthCostsNoStack(t *testing.T) {
	const depth = 1 << 20
	text := `{"a":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}`
	if _, err := members([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if _, err := members([]byte(text[:len(text)-2] + "}")); err == nil {
		t.Fatal("an array that is not closed passes")
	}
}

func TestText(t *testing.T) {
	for value, want := range map[string]string{
		`""`: "", `"a\/\"\\\b\f\n\r\t"`: "a/\"\\\b\f\n\r\t", `"\u00e9\uD83D\uDE00"`: "é😀",
		`"\ud83d"`: "\uFFFD", `"\ude00x"`: "\uFFFDx", `"\ud83d\u0041"`: "\uFFFDA", `"\ud83d\ud83d\ude00"`: "\uFFFD😀",
	} {
		if got, ok := Text([]byte(value)); !ok || string(got) != want {
			t.Errorf("Text(%s) = %q, %v, want %q", value, got, ok, want)
		}
	}
	for _, value := range []string{"", "1", "null", `["a"]`} {
		if got, ok := Text([]byte(value)); ok {
			t.Errorf("Text(%s) = %q, want none", value, got)
		}
	}
}

func TestTexts(t *testing.T) {
	for value, want := range map[string][]string{
		`[]`: nil, `[ ]`: nil, `["a"]`: {"a"}, `[ "a" , "\u0062" ]`: {"a", "b"}, `[""]`: {""},
	} {
		if got, ok := Texts([]byte(value)); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("Texts(%s) = %q, %v, want %q", value, got, ok, want)
		}
	}
	for _, value := range []string{"", "1", `"a"`, `[1]`, `["a",1]`, `["a",null]`, `[["a"]]`, `["a",[]]`} {
		if got, ok := Texts([]byte(value)); ok {
			t.Errorf("Texts(%s) = %q, want none", value, got)
		}
	}
}

// FuzzObject compares with the standard library, which this package differs
// from in nothing but speed, UTF-8 and the case of names.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":[1,{"b":"\u00e9"}],"a":null}`, `{"a":"\ud83d\ude00"}`, `[{}]`, `{"a":-1.5E+3,"b":[[],["x"]]}`, `{"k":["x","y"]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := members(data)
		var want map[string]json.RawMessage
		wantErr := json.Unmarshal(data, &want)
		if wantErr != nil || want == nil || !utf8.Valid(data) {
			if err == nil && (wantErr == nil || !strings.Contains(wantErr.Error(), "exceeded max depth")) {
				t.Fatalf("%q passes", data)
			}
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if len(got) != len(want) {
			t.Fatalf("%q: %v, want %v", data, got, want)
		}
		for name, value := range want {
			if got[name] != string(value) {
				t.Fatalf("%q: %q is %s, want %s", data, name, got[name], value)
			}
			var text string
			if value[0] == '"' && json.Unmarshal(value, &text) == nil {
				if g, ok := Text(value); !ok || string(g) != text {
					t.Fatalf("Text(%s) = %q, want %q", value, g, text)
				}
			}
			var list []any
			if value[0] == '[' && json.Unmarshal(value, &list) == nil {
				texts, ok := Texts(value)
				all := true
				for i, e := range list {
					s, isText := e.(string)
					all = all && isText && (!ok || texts[i] == s)
				}
				if ok != all || ok && len(texts) != len(list) {
					t.Fatalf("Texts(%s) = %q, %v", value, texts, ok)
				}
			}
		}
	})
}
