package zeek

import (
	"bytes"
	"strconv"
)

// header is what the header lines of a text log say. They may come again at any
// place.
type header struct {
	separator    []byte
	setSeparator []byte
	empty, unset []byte
	path         string
	fields       []field // none for a column that no rule uses
}

func newHeader() header {
	return header{separator: []byte("\t"), setSeparator: []byte(","), empty: []byte("(empty)"), unset: []byte("-")}
}

// take takes a header line.
func (h *header) take(line []byte) {
	if rest, ok := bytes.CutPrefix(line, []byte("#separator ")); ok {
		// A new header: what an earlier one said is over.
		*h = newHeader()
		if s := unescaped(rest); len(s) > 0 {
			h.separator = bytes.Clone(s)
		}
		return
	}
	name, rest, _ := bytes.Cut(line, h.separator)
	switch string(name) {
	case "#set_separator":
		h.setSeparator = bytes.Clone(unescaped(rest))
	case "#empty_field":
		h.empty = bytes.Clone(unescaped(rest))
	case "#unset_field":
		h.unset = bytes.Clone(unescaped(rest))
	case "#path":
		h.path = string(unescaped(rest))
	case "#fields":
		h.fields = h.fields[:0]
		for _, f := range bytes.Split(rest, h.separator) {
			h.fields = append(h.fields, fieldOf(f))
		}
	}
}

// value returns what a column holds, nil if nothing.
func (h *header) value(column []byte) []byte {
	if bytes.Equal(column, h.unset) || bytes.Equal(column, h.empty) {
		return nil
	}
	return unescaped(column)
}

// unescaped undoes \xHH.
func unescaped(text []byte) []byte {
	i := bytes.Index(text, []byte(`\x`))
	if i < 0 {
		return text
	}
	out := bytes.Clone(text[:i])
	for ; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) && text[i+1] == 'x' {
			if c, err := strconv.ParseUint(string(text[i+2:i+4]), 16, 8); err == nil {
				out = append(out, byte(c))
				i += 3
				continue
			}
		}
		out = append(out, text[i])
	}
	return out
}
