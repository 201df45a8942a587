package siem

import (
	"bytes"
	"strconv"
	"time"
	"unicode/utf8"

	"handprint/attribution"
	"handprint/internal/canonical"
)

// appendText appends text(value): the string itself for a string, else the
// canonical JSON.
func appendText(dst []byte, v attribution.Value) []byte {
	switch {
	case len(v) == 0:
		return append(dst, "null"...)
	case v[0] != '"':
		return append(dst, v...)
	}
	raw := v[1 : len(v)-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return append(dst, raw...)
	}
	dst, _ = canonical.Unescape(dst, raw)
	return dst
}

// halfPair begins the escape of a surrogate without its other half, which is no
// text: most receivers refuse the whole event.
var halfPair = []byte(`\ud`)

// appendTextJSON appends text(value) as a JSON string.
func (f *Formatter) appendTextJSON(dst []byte, v attribution.Value) []byte {
	switch {
	case len(v) == 0:
		return append(dst, `"null"`...)
	case v[0] != '"':
		return canonical.AppendString(dst, v)
	case !bytes.Contains(v, halfPair):
		return append(dst, v...) // it is one already
	}
	f.scratch = appendText(f.scratch[:0], v)
	return canonical.AppendString(dst, f.scratch)
}

// appendCanonJSON appends canon(value) as a JSON string.
func appendCanonJSON(dst []byte, v attribution.Value) []byte {
	if len(v) == 0 {
		return append(dst, `"null"`...)
	}
	return canonical.AppendString(dst, v)
}

// appendTime appends a time in milliseconds as text: UTC, three digits, Z.
func appendTime(dst []byte, ms int64) []byte {
	return time.UnixMilli(ms).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
}

// appendTwoDigits appends a confidence as %.2f does.
func appendTwoDigits(dst []byte, c float64) []byte { return strconv.AppendFloat(dst, c, 'f', 2, 64) }

// cut returns text cut to at most limit bytes, not within a character.
func cut(text []byte, limit int) []byte {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && text[limit]&0xC0 == 0x80 {
		limit--
	}
	return text[:limit]
}

// validText returns text with U+FFFD in place of what is no UTF-8: half a surrogate
// pair, or bytes that a record of other make has in a name.
func validText(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	return bytes.ToValidUTF8(text, []byte("\uFFFD"))
}
