package main

import (
	"maps"
	"strconv"
	"strings"
)

// FileStreamSink prints a value as Java's toString does: {name=value, ...} of a
// map, Struct{name=value,...} of a struct, without quotes. That cannot be read
// back, but it can be held against what it should say.

// printedMap reports whether text is what Java prints of a map.
func printedMap(want map[string]any, text string) bool {
	rest, ok := matchMap(want, text)
	return ok && rest == ""
}

// printedStruct reports whether text is what Connect prints of a struct with
// these fields. Fields that are null are not printed.
func printedStruct(want map[string]any, text string) bool {
	rest, ok := matchStruct(withoutNull(want), text)
	return ok && rest == ""
}

func withoutNull(fields map[string]any) map[string]any {
	left := make(map[string]any, len(fields))
	for name, v := range fields {
		if v != nil {
			left[name] = v
		}
	}
	return left
}

// matchStruct matches what Connect prints of a struct with these fields, none of
// them null.
func matchStruct(want map[string]any, text string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(text, "Struct{"); !ok {
		return text, false
	}
	return matchFields(maps.Clone(want), rest, ",")
}

func match(want any, text string) (rest string, ok bool) {
	switch v := want.(type) {
	case nil:
		return strings.CutPrefix(text, "null")
	case bool:
		return strings.CutPrefix(text, strconv.FormatBool(v))
	case string:
		return strings.CutPrefix(text, v)
	case float64:
		return matchNumber(v, text)
	case []any:
		return matchList(v, text)
	case map[string]any:
		if strings.HasPrefix(text, "Struct{") { // a record within a record of Avro
			return matchStruct(withoutNull(v), text)
		}
		return matchMap(v, text)
	}
	return text, false
}

// matchNumber takes any notation of exactly this number: Java has another one
// than JSON.
func matchNumber(want float64, text string) (rest string, ok bool) {
	end := strings.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune("+-0123456789.E", r) })
	if end < 0 {
		end = len(text)
	}
	n, err := strconv.ParseFloat(text[:end], 64)
	return text[end:], err == nil && n == want
}

func matchList(want []any, text string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(text, "["); !ok {
		return text, false
	}
	for i, v := range want {
		if i > 0 {
			if rest, ok = strings.CutPrefix(rest, ", "); !ok {
				return text, false
			}
		}
		if rest, ok = match(v, rest); !ok {
			return text, false
		}
	}
	return strings.CutPrefix(rest, "]")
}

func matchMap(want map[string]any, text string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(text, "{"); !ok {
		return text, false
	}
	left := make(map[string]any, len(want))
	for k, v := range want {
		left[k] = v
	}
	return matchFields(left, rest, ", ")
}

// matchFields takes fields in whatever order they stand. Names may begin alike,
// so all that fit are tried.
func matchFields(left map[string]any, text, separator string) (rest string, ok bool) {
	if len(left) == 0 {
		return strings.CutPrefix(text, "}")
	}
	for name, v := range left {
		rest, ok := strings.CutPrefix(text, name+"=")
		if !ok {
			continue
		}
		if rest, ok = match(v, rest); !ok {
			continue
		}
		if len(left) > 1 {
			if rest, ok = strings.CutPrefix(rest, separator); !ok {
				continue
			}
		}
		delete(left, name)
		if rest, ok = matchFields(left, rest, separator); ok {
			return rest, true
		}
		left[name] = v
	}
	return text, false
}
