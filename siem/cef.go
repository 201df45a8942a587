package siem

import (
	"strconv"

	"handprint/attribution"
	"handprint/internal/canonical"
)

// Bounds of fields of CEF and LEEF, in bytes: longer texts are cut, not within
// a character.
const (
	maxValue   = 4000 // cs3, currentValue; the list of primitives too
	maxMessage = 1023 // msg
	maxID      = 1023 // identities, whose length nobody bounds
)

// appendCEFHeader appends a field of the header: backslash and pipe are escaped,
// what ends a line becomes a space.
func appendCEFHeader(dst, text []byte) []byte {
	for _, c := range text {
		switch {
		case c == '\\' || c == '|':
			dst = append(dst, '\\', c)
		case c < ' ' || c == 0x7F:
			dst = append(dst, ' ')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendCEF appends a value of the extension: backslash and equals sign are
// escaped, line ends become \r and \n, other control characters a space. A pipe
// is nothing special here. U+2028, U+2029 and U+0085 become a space as well: some
// receivers take them for line ends.
func appendCEF(dst, text []byte) []byte {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' || c == '=':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c < ' ' || c == 0x7F:
			dst = append(dst, ' ')
		case c >= 0xC2 && lineEnd(text[i:]) > 0:
			i += lineEnd(text[i:]) - 1
			dst = append(dst, ' ')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// lineEnd returns the length of the character at the beginning of text if it is
// one outside of ASCII that ends lines, else 0.
func lineEnd(text []byte) int {
	switch {
	case len(text) >= 2 && text[0] == 0xC2 && text[1] == 0x85:
		return 2
	case len(text) >= 3 && text[0] == 0xE2 && text[1] == 0x80 && (text[2] == 0xA8 || text[2] == 0xA9):
		return 3
	}
	return 0
}

// text sets the scratch buffer to a string, as valid UTF-8, cut to limit.
func (f *Formatter) text(s string, limit int) []byte {
	f.scratch = cut(append(f.scratch[:0], s[:min(len(s), limit+4)]...), limit)
	return f.validScratch()
}

// value sets the scratch buffer to text(v), as valid UTF-8, cut to limit.
func (f *Formatter) value(v attribution.Value, limit int) []byte {
	f.scratch = cut(appendText(f.scratch[:0], v), limit)
	return f.validScratch()
}

func (f *Formatter) validScratch() []byte {
	f.scratch = validText(f.scratch)
	return f.scratch
}

// list sets the scratch buffer to names joined by commas, cut to limit.
func (f *Formatter) list(names []string, limit int) []byte {
	f.scratch = f.scratch[:0]
	for i, name := range names {
		if i > 0 {
			f.scratch = append(f.scratch, ',')
		}
		f.scratch = append(f.scratch, name...)
		if len(f.scratch) > limit {
			break
		}
	}
	f.scratch = cut(f.scratch, limit)
	return f.validScratch()
}

// cef appends e as a line of CEF version 0.
func (f *Formatter) cef(dst []byte, e *Event) []byte {
	dst = append(append(append(dst, f.header...), e.code()...), '|')
	dst = append(append(dst, e.title()...), '|')
	dst = append(append(dst, severities[f.Severity(e)].cef...), "|rt="...)
	dst = strconv.AppendInt(dst, e.Time, 10)
	dst = appendCEF(append(dst, " externalId="...), f.text(e.ID, 40))
	if e.Kind == Identity {
		dst = append(dst, " cat=identity"...)
	} else {
		dst = append(dst, " cat=behaviour-coherence"...)
	}
	dst = appendCEF(append(dst, " cs1Label=identityUuid cs1="...), f.text(e.subject(), maxID))
	if len(e.Addresses) == 1 {
		if address := e.Addresses[0].IP; isIPv4(address) {
			dst = append(append(dst, " src="...), address...)
		} else {
			dst = append(append(dst, " c6a2Label=sourceIPv6Address c6a2="...), address...)
		}
	}
	switch e.Kind {
	case Suspicion:
		dst = appendCEF(append(dst, " cs2Label=primitives cs2="...), f.list(e.Primitives, maxValue))
		if e.SuspicionID != "" {
			dst = append(append(dst, " cs5Label=status cs5="...), e.Status.String()...)
		}
		dst = strconv.AppendInt(append(dst, " cn1Label=primitiveCount cn1="...), int64(max(e.Total, len(e.Primitives))), 10)
		if e.SuspicionID != "" {
			dst = appendCEF(append(dst, " cs4Label=suspicionId cs4="...), f.text(e.SuspicionID, maxID))
		}
	case Identity:
		if _, winner := e.loserWinner(); e.pair() && winner != "" {
			dst = appendCEF(append(dst, " cs6Label=winnerUuid cs6="...), f.text(winner, maxID))
		}
	default:
		dst = appendCEF(append(dst, " cs2Label=primitive cs2="...), f.text(e.Primitive, maxID))
		if e.Kind == Tombstone {
			break
		}
		dst = appendCEF(append(dst, " cs3Label=currentValue cs3="...), f.value(e.Value, maxValue))
		dst = append(append(dst, " cs5Label=state cs5="...), e.State.String()...)
		dst = strconv.AppendInt(append(dst, " cn1Label=observationCount cn1="...), e.Observations, 10)
		if e.Kind == Transition && !e.IsNew {
			dst = append(append(dst, " cs4Label=oldState cs4="...), e.Old.String()...)
		}
		if e.Kind == Transition && len(e.Previous) > 0 {
			dst = appendCEF(append(dst, " cs6Label=previousValue cs6="...), f.value(e.Previous, maxValue))
		}
	}
	if e.confident() {
		dst = canonical.AppendFloat(append(dst, " cfp1Label=confidence cfp1="...), e.Confidence)
	}
	return appendCEF(append(dst, " msg="...), cut(f.message, maxMessage))
}

func isIPv4(address string) bool {
	for i := range len(address) {
		if address[i] == ':' {
			return false
		}
	}
	return true
}
