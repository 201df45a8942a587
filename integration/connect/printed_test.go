package main

import "testing"

func TestPrintedMap(t *testing.T) {
	want := map[string]any{"a": "x, b=1}", "b": 0.1, "c": []any{nil, true, map[string]any{}}, "": -5e-324}
	for text, right := range map[string]bool{
		`{a=x, b=1}, b=0.1, c=[null, true, {}], =-4.9E-324}`:    true,
		`{=-4.9E-324, c=[null, true, {}], b=1.0E-1, a=x, b=1}}`: true,
		`{a=x, b=1}, b=0.2, c=[null, true, {}], =-4.9E-324}`:    false,
		`{a=x, b=1}, b=0.1, c=[null, true, {}]}`:                false,
		`{a=x, b=1}, b=0.1, c=[null, true], =-4.9E-324}`:        false,
		`{a=x, b=1}, b=0.1, c=[null, true, {}], =-4.9E-324} `:   false,
	} {
		if printedMap(want, text) != right {
			t.Errorf("%s: should be %v", text, right)
		}
	}
}

func TestPrintedStruct(t *testing.T) {
	want := map[string]any{"a": "x,b=2", "b": 2.0, "none": nil}
	for text, right := range map[string]bool{
		`Struct{a=x,b=2,b=2.0}`:           true,
		`Struct{a=x,b=2,b=2}`:             true,
		`Struct{a=x,b=2,b=3}`:             false,
		`Struct{a=x,b=2,b=2.0,none=null}`: false,
	} {
		if printedStruct(want, text) != right {
			t.Errorf("%s: should be %v", text, right)
		}
	}
}
