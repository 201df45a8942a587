package cowrie

import (
	"net/netip"
	"strconv"
	"strings"

	"handprint/ingest"
)

// source is where a session came from: an address, or another text that stands
// for one attacker. The zero source is none.
type source struct {
	addr   netip.Addr
	opaque string
}

func (s source) known() bool { return s != source{} }

// text is the source as its attacker_uuid is made of it.
func (s source) text() string {
	if s.opaque != "" {
		return s.opaque
	}
	return s.addr.String()
}

func (s source) kind() ingest.AddressKind {
	if s.opaque != "" {
		return ingest.Opaque
	}
	return ingest.IP
}

// attacker is the attacker_uuid of a known source: the same for each spelling
// of an address.
func (s source) attacker() string {
	if s.opaque != "" {
		return ingest.OpaqueAttackerID(s.opaque)
	}
	return ingest.AttackerID(s.addr)
}

// parseSource reads what stands for an attacker. What cannot gives the zero
// source (docs/cowrie.md, "Addresses").
func parseSource(text []byte) source {
	s := string(text)
	if addr, ok := parseAddress(s); ok {
		return source{addr: addr}
	}
	if namesOneSource(s) {
		return source{opaque: s}
	}
	return source{}
}

// parseAddress reads an address in any spelling, also with a port, in brackets
// or as a network of one address; an IPv4 address inside an IPv6 one is the
// IPv4 address, and a zone is cut off.
func parseAddress(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		if ap, e := netip.ParseAddrPort(s); e == nil {
			addr, err = ap.Addr(), nil
		} else if n := len(s); n > 2 && s[0] == '[' && s[n-1] == ']' {
			addr, err = netip.ParseAddr(s[1 : n-1])
		} else if p, e := netip.ParsePrefix(s); e == nil && p.IsSingleIP() {
			addr, err = p.Addr(), nil
		}
	}
	if err != nil {
		return netip.Addr{}, false
	}
	return addr.WithZone("").Unmap(), true
}

// maxOpaqueBytes bounds a text that stands for an attacker.
const maxOpaqueBytes = 1 << 10

// placeholders are what logs write where they know no address.
var placeholders = [...]string{"unknown", "none", "null", "nil", "n/a", "na", "undefined", "localhost", "anonymous", "redacted", "hidden", "-", "?"}

// namesOneSource reports whether a text that is no address can stand for one
// attacker. A placeholder, a broken address and a host name cannot: many
// attackers may have the same.
func namesOneSource(s string) bool {
	trimmed := strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
	if trimmed == "" || len(s) > maxOpaqueBytes {
		return false
	}
	for _, p := range placeholders {
		if strings.EqualFold(trimmed, p) {
			return false
		}
	}
	if p, err := netip.ParsePrefix(trimmed); err == nil && !p.IsSingleIP() {
		return false // a network: anybody in it
	}
	numeric, last := true, 0
	for i := range len(trimmed) {
		c := trimmed[i]
		numeric = numeric && (c == '.' || isDigit(c))
		if c == '.' {
			last = i + 1
		}
	}
	if last == 0 {
		return true
	}
	return !numeric && !isLetters(trimmed[last:])
}

func isLetters(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return true
}

// form describes a text without telling it: how long it is and what of.
func form(s string) string {
	digits, letters, hex, others := false, false, true, false
	for i := range len(s) {
		c := s[i] | 0x20
		switch {
		case isDigit(s[i]):
			digits = true
		case c >= 'a' && c <= 'z':
			letters = true
			hex = hex && c <= 'f'
		default:
			others = true
		}
	}
	var of []string
	switch {
	case digits && letters && hex && !others:
		of = []string{"hexadecimal digits"}
	default:
		if digits {
			of = append(of, "digits")
		}
		if letters {
			of = append(of, "letters")
		}
		if others {
			of = append(of, "others")
		}
	}
	return strconv.Itoa(len(s)) + " characters: " + strings.Join(of, ", ")
}

// evidence is the evidence_ref of a session: of a later session under the same
// id, with the time of its first event.
func evidence(sensor, session string, again bool, first micros) string {
	b := make([]byte, 0, len("cowrie:/@")+len(sensor)+len(session)+20)
	b = append(b, "cowrie:"...)
	b = append(b, sensor...)
	b = append(b, '/')
	b = append(b, session...)
	if again {
		b = strconv.AppendInt(append(b, '@'), int64(first), 10)
	}
	return string(b)
}

// Attacker returns the attacker_uuid of a source address or of a text that
// stands for one, and whether it does.
func Attacker(address string) (id string, ok bool) {
	s := parseSource([]byte(address))
	if !s.known() {
		return "", false
	}
	return s.attacker(), true
}
