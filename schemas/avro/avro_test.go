package avro

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
)

func mustParse(t testing.TB, text string) *Schema {
	t.Helper()
	s, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

// record makes the schema of a record of these fields.
func record(fields ...string) string {
	return `{"type":"record","name":"R","namespace":"n","fields":[` + strings.Join(fields, ",") + `]}`
}

func show(v *Value) string {
	switch v.Kind {
	case NullValue:
		return "null"
	case BoolValue:
		return fmt.Sprint(v.Long == 1)
	case LongValue:
		return fmt.Sprint("long ", v.Long)
	case FloatValue:
		return fmt.Sprint("float ", v.Float)
	case TextValue:
		return fmt.Sprintf("%q", v.Raw)
	case ListValue:
		return fmt.Sprintf("%q", v.List)
	}
	return "absent"
}

// TestResolution reads what goavro writes by one schema as another.
func TestResolution(t *testing.T) {
	const enum = `{"type":"enum","name":"E","symbols":["a","b","c"]}`
	for _, tt := range []struct {
		name           string
		writer, reader string // the type of field f, or whole fields
		value          any    // of the writer
		want           string // of f; "!": and how it fails
	}{
		{"int as double", `"int"`, `"double"`, int32(-7), "float -7"},
		{"long as double", `"long"`, `"double"`, int64(1) << 40, "float 1.099511627776e+12"},
		{"float as double", `"float"`, `"double"`, float32(0.5), "float 0.5"},
		{"int as long", `"int"`, `"long"`, int32(math.MinInt32), "long -2147483648"},
		{"long as it is", `"long"`, `"long"`, int64(math.MinInt64), "long -9223372036854775808"},
		{"long as int", `"long"`, `"int"`, int64(1), "!long, which does not read as int"},
		{"double as long", `"double"`, `"long"`, 1.0, "!double, which does not read as long"},
		{"string as double", `"string"`, `"double"`, "1", "!string, which does not read as double"},
		{"bytes as string", `"bytes"`, `"string"`, []byte("é"), `"é"`},
		{"bytes that are no text", `"bytes"`, `"string"`, []byte("\xff"), "!not UTF-8"},
		{"string as bytes", `"string"`, `"bytes"`, "x", `"x"`},
		{"a logical type", `{"type":"long","logicalType":"timestamp-millis"}`, `"double"`, int64(5), "float 5"},
		{"a value as optional", `"int"`, `["null","double"]`, int32(3), "float 3"},
		{"the same kind before promotion", `"long"`, `["double","long"]`, int64(3), "long 3"},
		{"optional, there", `["null","string"]`, `["null","string"]`, goavro.Union("string", "x"), `"x"`},
		{"optional, null", `["null","string"]`, `["null","string"]`, nil, "null"},
		{"optional as required, there", `["null","string"]`, `"string"`, goavro.Union("string", "x"), `"x"`},
		{"optional as required, null", `["null","string"]`, `"string"`, nil, "!null, which does not read as string"},
		{"a union in another order", `["string","null"]`, `["null","string"]`, goavro.Union("string", "x"), `"x"`},
		{"a boolean", `"boolean"`, `"boolean"`, true, "true"},
		{"an enum", enum, `{"type":"enum","name":"F","symbols":["c","b","a"]}`, "a", `"a"`},
		{"a new symbol, default", enum, `{"type":"enum","name":"E","symbols":["a"],"default":"a"}`, "c", `"a"`},
		{"a new symbol, none", enum, `{"type":"enum","name":"E","symbols":["a"]}`, "c", "!a symbol that the enum does not have"},
		{"a known symbol", enum, `{"type":"enum","name":"E","symbols":["a"]}`, "a", `"a"`},
		{"a list", `{"type":"array","items":"bytes"}`, `{"type":"array","items":"string"}`, []any{[]byte("x"), []byte("")}, `["x" ""]`},
		{"a list of numbers", `{"type":"array","items":"int"}`, `{"type":"array","items":"string"}`, []any{int32(1)}, "!int, which does not read as string"},
		{"an empty list", `{"type":"array","items":"string"}`, `{"type":"array","items":"string"}`, []any{}, `[]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := record(`{"name":"before","type":["null",{"type":"map","values":{"type":"fixed","name":"X","size":2}}]}`, `{"name":"f","type":`+tt.writer+`}`, `{"name":"after","type":"double"}`)
			codec, err := goavro.NewCodec(w)
			if err != nil {
				t.Fatal(err)
			}
			body, err := codec.BinaryFromNative(nil, map[string]any{
				"before": goavro.Union("map", map[string]any{"k": []byte("ab"), "l": []byte("cd")}), "f": tt.value, "after": 1.5,
			})
			if err != nil {
				t.Fatal(err)
			}
			reader := mustParse(t, record(`{"name":"added","type":"string","default":"d"}`, `{"name":"f","type":`+tt.reader+`}`, `{"name":"after","type":"double"}`))
			got := ""
			plan, err := Compile(mustParse(t, w), reader)
			if err == nil {
				slots := plan.Slots()
				if err = plan.Decode(body, slots); err == nil {
					got = show(&slots[1])
					if added, after := show(&slots[0]), show(&slots[2]); added != `"d"` || after != "float 1.5" {
						t.Errorf("around it: %s, %s", added, after)
					}
				}
			}
			if err != nil {
				got = "!" + strings.TrimPrefix(err.Error(), "f: ")
			}
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestResolutionOfFields(t *testing.T) {
	reader := mustParse(t, record(`{"name":"a","type":"string","aliases":["old"]}`, `{"name":"b","type":["null","long"],"default":null}`, `{"name":"c","type":{"type":"array","items":"string"},"default":["x"]}`, `{"name":"d","type":"double","default":2}`, `{"name":"e","type":"boolean","default":true}`))
	plan, err := Compile(mustParse(t, record(`{"name":"old","type":"string"}`)), reader)
	if err != nil {
		t.Fatal(err)
	}
	slots := plan.Slots()
	for range 2 { // what a record leaves does not stay
		if err := plan.Decode([]byte("\x02z"), slots); err != nil {
			t.Fatal(err)
		}
		got := ""
		for i := range slots {
			got += show(&slots[i]) + " "
		}
		if got != `"z" null ["x"] float 2 true ` {
			t.Errorf("%s", got)
		}
	}
	if _, err := Compile(mustParse(t, record(`{"name":"b","type":"long"}`)), reader); err == nil || err.Error() != "a: the schema does not have it, and it has no default" {
		t.Errorf("without a: %v", err)
	}
	if _, err := Compile(mustParse(t, `"string"`), reader); err == nil {
		t.Error("a string reads as a record")
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{
		``, `5`, `"nothing"`, `{}`, `{"type":"record","fields":[]}`, `{"type":"record","name":"R","fields":[{"name":"a"}]}`, `[]`, `["null",["int"]]`,
		record(`{"name":"a","type":"int"}`, `{"name":"a","type":"int"}`), `{"type":"fixed","name":"F","size":-1}`, `{"type":"enum","name":"E","symbols":[]}`,
		strings.Repeat(`{"type":"array","items":`, 40) + `"int"` + strings.Repeat("}", 40), strings.Repeat(" ", maxSchemaBytes) + `"int"`,
		`{"type":"array","items":` + strings.Repeat("[", 100_000), record(`{"name":"a","type":{"type":"record","name":"n.R","fields":[]}}`),
	} {
		if s, err := Parse([]byte(text)); err == nil {
			t.Errorf("%.80s became %+v", text, s)
		}
	}
}

// Others keep notes of their own in schemas, by names that differ from ours in
// case alone, or of another type where ours would mean nothing.
func TestParseTakesWhatOthersNote(t *testing.T) {
	text := `{"Type":"none","Name":5,"doc":{"de":"x"},"default":[],"size":"large","symbols":7,"type":"record","name":"R","namespace":null,"fields":[
		{"NAME":1,"name":"a","Default":1,"type":{"type":"array","items":"string","default":[]},"doc":null,"order":"ignore"},
		{"name":"b","type":{"type":"enum","name":"E","symbols":["x"],"Default":"y","size":"small","fields":0}},
		{"name":"c","type":{"type":"bytes","logicalType":"decimal","precision":"4"},"default":null}]}`
	s := mustParse(t, text)
	if len(s.Fields) != 3 || s.Fields[0].Default != nil || s.Fields[1].Type.HasDefault || s.Name != "R" || string(s.Fields[2].Default) != "null" {
		t.Errorf("%+v", s)
	}
}

func TestParseKnowsWhatASchemaRefersTo(t *testing.T) {
	inner := []byte(`{"type":"enum","name":"How","namespace":"lab","symbols":["a","b"]}`)
	outer := []byte(`{"type":"record","name":"Where","namespace":"lab","fields":[{"name":"how","type":"How"},{"name":"deep","type":["null","Where"]}]}`)
	text := []byte(`{"type":"record","name":"Sight","namespace":"sensor","fields":[{"name":"where","type":"lab.Where"},{"name":"f","type":"lab.How"}]}`)
	s, err := Parse(text, inner, outer)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := Compile(s, mustParse(t, record(`{"name":"f","type":{"type":"enum","name":"F","symbols":["b","c"],"default":"c"}}`)))
	if err != nil {
		t.Fatal(err)
	}
	slots := plan.Slots()
	if err := plan.Decode([]byte{0, 2, 2, 0, 2}, slots); err != nil || show(&slots[0]) != `"b"` {
		t.Errorf("%s, %v", show(&slots[0]), err)
	}
	for name, references := range map[string][][]byte{
		"none": nil, "in the wrong order": {outer, inner}, "one twice": {inner, inner, outer}, "no schema": {[]byte("{")},
		"what the schema defines itself": {inner, outer, text}, "too large": {inner, outer, []byte(`"int"` + strings.Repeat(" ", maxSchemaBytes))},
	} {
		if _, err := Parse(text, references...); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestWriteAlike(t *testing.T) {
	ours := record(`{"name":"a","type":["null","string"],"default":null}`, `{"name":"e","type":{"type":"enum","name":"E","symbols":["x","y"]}}`, `{"name":"l","type":{"type":"array","items":"long"}}`)
	for text, want := range map[string]bool{
		ours: true,
		strings.NewReplacer(`"R"`, `"Q"`, `,"default":null`, ``, `"y"]`, `"y"],"default":"x"`).Replace(ours): true,
		strings.Replace(ours, `"null","string"`, `"string","null"`, 1):                                       false,
		strings.Replace(ours, `"x","y"`, `"y","x"`, 1):                                                       false,
		strings.Replace(ours, `"long"`, `"int"`, 1):                                                          false,
		strings.Replace(ours, `"name":"l"`, `"name":"m"`, 1):                                                 false,
		record(`{"name":"a","type":["null","string"]}`):                                                      false,
		`"string"`: false,
	} {
		if got := WriteAlike(mustParse(t, ours), mustParse(t, text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// hostile are records that claim more than they hold.
func hostile() map[string][]byte {
	long := func(n int64) []byte { return AppendLong(nil, n) }
	return map[string][]byte{
		"empty":                     nil,
		"a length of 2^31":          append(long(1<<31), 'x'),
		"a length of 2^63-1":        long(math.MaxInt64),
		"a negative length":         long(-1),
		"ten bytes of a varint":     []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
		"a varint without end":      []byte("\xff\xff\xff"),
		"2^31 items":                append(long(0), long(1<<31)...),
		"-2^63 items":               append(long(0), long(math.MinInt64)...),
		"a block beyond the record": append(append(long(0), long(-1)...), long(1<<31)...),
		"trailing bytes":            {0, 0, 0, 0},
	}
}

var hostileSchema = record(`{"name":"s","type":"string"}`, `{"name":"l","type":{"type":"array","items":"string"}}`, `{"name":"tree","type":["null",{"type":"record","name":"T","fields":[{"name":"t","type":["null","T"]}]}]}`)

func TestHostileRecordsCostNothing(t *testing.T) {
	writer := mustParse(t, hostileSchema)
	for _, reader := range []string{hostileSchema[:strings.Index(hostileSchema, `,{"name":"tree"`)] + "]}", record(`{"name":"x","type":"int","default":1}`)} {
		plan, err := Compile(writer, mustParse(t, reader))
		if err != nil {
			t.Fatal(err)
		}
		slots := plan.Slots()
		for name, b := range hostile() {
			if err := plan.Decode(b, slots); err == nil {
				t.Errorf("%s: taken as %s", name, show(&slots[0]))
			}
			const runs = 10
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			n := testing.AllocsPerRun(runs, func() { _ = plan.Decode(b, slots) })
			runtime.ReadMemStats(&after)
			// What there is, is for the error alone.
			if size := (after.TotalAlloc - before.TotalAlloc) / (runs + 1); n > 6 || size > 4096 {
				t.Errorf("%s: %v allocations of %d bytes together", name, n, size)
			}
		}
		deep := append([]byte{0, 0}, strings.Repeat("\x02", 100_000)...)
		if err := plan.Decode(deep, slots); err == nil || err.Error() != "tree: nested too deep" {
			t.Errorf("a tree of 100000: %v", err)
		}
	}
}

// A schema of a few lines may describe 2^30 nulls that take no bytes at all.
func TestRecordsOfNothingAreBounded(t *testing.T) {
	text := `{"type":"record","name":"R0","fields":[{"name":"a","type":"null"},{"name":"b","type":"null"}]}`
	for i := 1; i <= 15; i++ {
		text = fmt.Sprintf(`{"type":"record","name":"R%d","fields":[{"name":"a","type":%s},{"name":"b","type":"R%d"}]}`, i, text, i-1)
	}
	plan, err := Compile(mustParse(t, `{"type":"record","name":"X","fields":[{"name":"x","type":`+text+`}]}`), mustParse(t, record(`{"name":"y","type":"int","default":1}`)))
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Decode(nil, plan.Slots()); err == nil || !strings.Contains(err.Error(), "more values") {
		t.Errorf("%v", err)
	}
}

func TestPlanAllocatesNothing(t *testing.T) {
	plan, err := Compile(mustParse(t, hostileSchema), mustParse(t, hostileSchema[:strings.Index(hostileSchema, `,{"name":"tree"`)]+"]}"))
	if err != nil {
		t.Fatal(err)
	}
	b := append(AppendTexts(AppendText(nil, "abc"), []string{"x", "yy", "z"}), 2, 2, 0)
	slots := plan.Slots()
	if n := testing.AllocsPerRun(100, func() { err = plan.Decode(b, slots) }); n != 0 || err != nil {
		t.Errorf("%v allocations, %v", n, err)
	}
}

// FuzzDecode must neither panic nor take long, and whatever goavro refuses of a
// record without lists in blocks of known size must be refused here too.
func FuzzDecode(f *testing.F) {
	for _, b := range hostile() {
		f.Add(b)
	}
	f.Add(append(AppendTexts(AppendText(nil, "abc"), []string{"x", "yy", "z"}), 2, 2, 0))
	writer := mustParse(f, hostileSchema)
	plan, err := Compile(writer, mustParse(f, hostileSchema[:strings.Index(hostileSchema, `,{"name":"tree"`)]+"]}"))
	if err != nil {
		f.Fatal(err)
	}
	codec, err := goavro.NewCodec(hostileSchema)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		slots := plan.Slots()
		if plan.Decode(b, slots) != nil {
			return
		}
		native, rest, err := codec.NativeFromBinary(b)
		if err != nil || len(rest) > 0 {
			t.Fatalf("goavro refuses %x: %v, %d left", b, err, len(rest))
		}
		if got := native.(map[string]any)["s"]; got != string(slots[0].Raw) {
			t.Fatalf("%q, goavro reads %q", slots[0].Raw, got)
		}
		if list := native.(map[string]any)["l"].([]any); len(list) != len(slots[1].List) {
			t.Fatalf("%q, goavro reads %q", slots[1].List, list)
		}
	})
}

// FuzzParse must neither panic nor run away on a schema that somebody else has
// registered.
func FuzzParse(f *testing.F) {
	f.Add([]byte(hostileSchema), []byte{0, 0, 0})
	f.Add([]byte(record(`{"name":"y","type":{"type":"map","values":["int","float","bytes",{"type":"fixed","name":"F","size":3}]}}`)), []byte{2, 2, 'k', 0, 2, 0})
	reader := mustParse(f, record(`{"name":"s","type":["null","string"],"default":null}`, `{"name":"l","type":{"type":"array","items":"string"},"default":[]}`))
	f.Fuzz(func(_ *testing.T, schema, b []byte) {
		s, err := Parse(schema)
		if err != nil {
			return
		}
		if plan, err := Compile(s, reader); err == nil {
			_ = plan.Decode(b, plan.Slots())
		}
	})
}
