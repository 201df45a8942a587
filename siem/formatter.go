package siem

import (
	"fmt"

	"handprint/internal/canonical"
)

// Options are what a Formatter puts into its events beyond what the record says.
type Options struct {
	// Version is handprint's own, as observer.version and the like.
	Version string
	// Namespace is data_stream.namespace of ECS; empty: default.
	Namespace string
	// Severities is nil for DefaultTable.
	Severities *Table
	// Cap is the confidence cap of suspicions. A suspicion with at most half of it
	// is weak. 0: 0.6.
	Cap float64
}

// Format is a format of single lines.
type Format string

// The formats. STIX and MISP, whose unit is a document, are Bundle and MISP.
const (
	OCSF Format = "ocsf"
	ECS  Format = "ecs"
	CEF  Format = "cef"
	LEEF Format = "leef"
)

// Formats are the formats of lines.
func Formats() []Format { return []Format{OCSF, ECS, CEF, LEEF} }

// ParseFormat returns the format of lines with a name.
func ParseFormat(name string) (Format, error) {
	for _, f := range Formats() {
		if string(f) == name {
			return f, nil
		}
	}
	return "", fmt.Errorf("no such format of lines: %q", name)
}

// Formatter makes lines of events. It has buffers of its own, so it is for one
// goroutine at a time.
type Formatter struct {
	format    Format
	table     Table
	cap       float64
	version   string // as a JSON string
	header    string // the beginning of a CEF or LEEF line, to the version
	namespace string // as a JSON string

	message []byte // what the event says
	scratch []byte
}

// NewFormatter returns a Formatter of a format of lines.
func NewFormatter(format Format, o Options) *Formatter {
	f := &Formatter{format: format, table: DefaultTable(), cap: o.Cap}
	if o.Severities != nil {
		f.table = *o.Severities
	}
	if f.cap == 0 {
		f.cap = 0.6
	}
	if o.Namespace == "" {
		o.Namespace = "default"
	}
	f.version = string(canonical.AppendString(nil, o.Version))
	f.namespace = string(canonical.AppendString(nil, o.Namespace))
	switch format {
	case CEF:
		f.header = "CEF:0|handprint|handprint|" + string(appendCEFHeader(nil, []byte(o.Version))) + "|"
	case LEEF:
		f.header = "LEEF:2.0|handprint|handprint|" + string(appendLEEFHeader(nil, o.Version)) + "|"
	}
	return f
}

// Append appends the line of e, without a line end.
func (f *Formatter) Append(dst []byte, e *Event) []byte {
	f.message = validText(appendMessage(f.message[:0], e))
	switch f.format {
	case OCSF:
		return f.ocsf(dst, e)
	case ECS:
		return f.ecs(dst, e)
	case CEF:
		return f.cef(dst, e)
	default:
		return f.leef(dst, e)
	}
}

// Format returns the format that the Formatter is of.
func (f *Formatter) Format() Format { return f.format }

// Severity returns how severe e is, by the table of the Formatter.
func (f *Formatter) Severity(e *Event) Severity { return f.table.of(e, f.cap) }

// Code returns what e is in one word: event.code, and MSGID over syslog.
func Code(e *Event) string { return e.code() }

// category is the first token of a primitive.
func category(primitive string) string {
	for i := range len(primitive) {
		if primitive[i] == '.' {
			return primitive[:i]
		}
	}
	return primitive
}

// confident reports whether the event's confidence says something: of a cleared
// suspicion it is 0 by definition.
func (e *Event) confident() bool {
	return e.Kind == Transition || e.Kind == Row || e.Kind == Suspicion && e.Status != Cleared
}

// appendStrings appends a JSON list of strings.
func appendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = canonical.AppendString(dst, s)
	}
	return append(dst, ']')
}

// appendField appends `"name":"text",`-like members: name with its quotes and
// colon as it is to stand, and text as a JSON string.
func appendField[T ~string | ~[]byte](dst []byte, name string, text T) []byte {
	return canonical.AppendString(append(dst, name...), text)
}
