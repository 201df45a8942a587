package siem

import (
	"strconv"

	"handprint/internal/canonical"
)

// appendLEEFHeader appends a field of the header, in which a pipe cannot be
// escaped.
func appendLEEFHeader(dst []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c == '|' || c < ' ' || c == 0x7F {
			dst = append(dst, ' ')
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// appendLEEF appends a value. LEEF has no escapes: what would end a value or a
// line becomes a space.
func appendLEEF(dst, text []byte) []byte {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '^' || c < ' ' || c == 0x7F:
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

// leef appends e as a line of LEEF 2.0. The delimiter is a caret and not the
// usual tab, which a default rsyslog rewrites to #011.
func (f *Formatter) leef(dst []byte, e *Event) []byte {
	dst = append(append(append(dst, f.header...), e.code()...), "|^|devTime="...)
	dst = strconv.AppendInt(dst, e.Time, 10)
	dst = append(append(dst, "^sev="...), severities[f.Severity(e)].cef...)
	if e.Kind == Identity {
		dst = append(dst, "^cat=identity"...)
	} else {
		dst = append(dst, "^cat=behaviour-coherence"...)
	}
	dst = appendLEEF(append(dst, "^eventUuid="...), f.text(e.ID, maxID))
	dst = appendLEEF(append(dst, "^identityUuid="...), f.text(e.subject(), maxID))
	if len(e.Addresses) == 1 {
		dst = append(append(dst, "^src="...), e.Addresses[0].IP...)
	}
	switch e.Kind {
	case Suspicion:
		dst = appendLEEF(append(dst, "^primitives="...), f.list(e.Primitives, maxValue))
		if e.SuspicionID != "" {
			dst = append(append(dst, "^status="...), e.Status.String()...)
			dst = appendLEEF(append(dst, "^suspicionId="...), f.text(e.SuspicionID, maxID))
		}
	case Identity:
		if _, winner := e.loserWinner(); e.pair() && winner != "" {
			dst = appendLEEF(append(dst, "^winnerUuid="...), f.text(winner, maxID))
		}
	default:
		dst = appendLEEF(append(dst, "^primitive="...), f.text(e.Primitive, maxID))
		if e.Kind == Tombstone {
			break
		}
		dst = appendLEEF(append(dst, "^currentValue="...), f.value(e.Value, maxValue))
		dst = append(append(dst, "^state="...), e.State.String()...)
		dst = strconv.AppendInt(append(dst, "^observationCount="...), e.Observations, 10)
		if e.Kind == Transition && !e.IsNew {
			dst = append(append(dst, "^oldState="...), e.Old.String()...)
		}
		if e.Kind == Transition && len(e.Previous) > 0 {
			dst = appendLEEF(append(dst, "^previousValue="...), f.value(e.Previous, maxValue))
		}
	}
	if e.confident() {
		dst = canonical.AppendFloat(append(dst, "^confidence="...), e.Confidence)
	}
	return appendLEEF(append(dst, "^msg="...), cut(f.message, maxMessage))
}
