package ingest

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// EnvelopeVersion is the version that every observation made here carries.
const EnvelopeVersion = 1

// Observation is one observation as a sensor's adapter makes it
// (docs/attribution.md, "Observation envelope").
type Observation struct {
	ID          string  // stable: the same evidence and primitive give the same id
	Attacker    string  // attacker_uuid, never empty; the key of the record
	Primitive   string  // dotted name
	Value       Value   // what was observed
	Confidence  float64 // in [0, 1]
	WindowStart float64 // Unix seconds
	WindowEnd   float64 // Unix seconds
	Source      string  // which sensor or adapter
	Evidence    string  // evidence_ref: a pointer to evidence, never the evidence
	TS          float64 // Unix seconds, finite, >= 0; the order of the series

	// Where it came from. It is not part of the envelope: AppendJSON leaves it
	// out.
	Sensor      string      // the sensor's name, empty if it has none
	Address     string      // canonical address, or the text that stands for the attacker
	AddressKind AddressKind // what Address is
}

// AddressKind says what stands for an attacker.
type AddressKind string

const (
	IP     AddressKind = "ip"     // an IP address in canonical form
	Opaque AddressKind = "opaque" // any other text, such as a digest of an address
)

// AppendJSON appends the observation as one JSON object, its fields always in
// the same order, and returns the extended buffer. A number is the shortest
// text that reads as the same double.
func (o *Observation) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendString(dst, o.ID)
	dst = append(dst, `,"attacker_uuid":`...)
	dst = appendString(dst, o.Attacker)
	dst = append(dst, `,"primitive":`...)
	dst = appendString(dst, o.Primitive)
	dst = append(dst, `,"value":`...)
	dst = o.Value.AppendJSON(dst)
	dst = append(dst, `,"confidence":`...)
	dst = appendNumber(dst, o.Confidence)
	dst = append(dst, `,"window_start_ts":`...)
	dst = appendNumber(dst, o.WindowStart)
	dst = append(dst, `,"window_end_ts":`...)
	dst = appendNumber(dst, o.WindowEnd)
	dst = append(dst, `,"source":`...)
	dst = appendString(dst, o.Source)
	dst = append(dst, `,"evidence_ref":`...)
	dst = appendString(dst, o.Evidence)
	dst = append(dst, `,"envelope_v":`...)
	dst = strconv.AppendInt(dst, EnvelopeVersion, 10)
	dst = append(dst, `,"ts":`...)
	dst = appendNumber(dst, o.TS)
	return append(dst, '}')
}

// Value is what an observation says: a text, a list of texts, or null, which is
// the zero Value.
type Value struct {
	kind valueKind
	text string
	list []string
}

type valueKind uint8

const (
	nullValue valueKind = iota
	textValue
	listValue
)

// Text returns the value that is the string s.
func Text(s string) Value { return Value{kind: textValue, text: s} }

// List returns the value that is the array of the strings in list, which the
// value keeps.
func List(list []string) Value { return Value{kind: listValue, list: list} }

// AppendJSON appends the value as JSON and returns the extended buffer.
func (v Value) AppendJSON(dst []byte) []byte {
	switch v.kind {
	case textValue:
		return appendString(dst, v.text)
	case listValue:
		dst = append(dst, '[')
		for i, s := range v.list {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, s)
		}
		return append(dst, ']')
	}
	return append(dst, "null"...)
}

// String returns the value as JSON text.
func (v Value) String() string { return string(v.AppendJSON(nil)) }

// appendNumber appends f, which is finite, as a JSON number.
func appendNumber(dst []byte, f float64) []byte {
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string with the fewest escapes. What is not
// UTF-8 in s becomes the replacement character, since JSON text is UTF-8.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}
