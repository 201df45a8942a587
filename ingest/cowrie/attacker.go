package cowrie

import (
	"net/netip"
	"strings"

	"github.com/google/uuid"
)

// The namespaces of the ids made here: UUIDv5 in the DNS namespace of
// "handprint.attacker" and of "handprint.observation".
var (
	attackerSpace    = uuid.MustParse("75c89d61-0d71-5449-b14c-1d6477dad29c")
	observationSpace = uuid.MustParse("51767694-9455-5bc5-905e-499109cbe684")
)

// parseAddress reads an address in any spelling; an IPv4 address inside an
// IPv6 one is the IPv4 address, and a zone is cut off.
func parseAddress(text []byte) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(string(text))
	if err != nil {
		return netip.Addr{}, false
	}
	return addr.WithZone("").Unmap(), true
}

// attackerID is the attacker_uuid of an address: the same for every spelling.
func attackerID(addr netip.Addr) string {
	return uuid.NewSHA1(attackerSpace, []byte("ip:"+addr.String())).String()
}

// evidence is the evidence_ref of a session.
func evidence(sensor, session string) string {
	var b strings.Builder
	b.Grow(len("cowrie:/") + len(sensor) + len(session))
	b.WriteString("cowrie:")
	b.WriteString(sensor)
	b.WriteByte('/')
	b.WriteString(session)
	return b.String()
}

// observationID is the id of what one session says about one primitive.
func observationID(evidence, primitive string) string {
	return uuid.NewSHA1(observationSpace, []byte(evidence+" "+primitive)).String()
}

// Attacker returns the attacker_uuid of a source address, and whether it can
// be read as one.
func Attacker(address string) (id string, ok bool) {
	addr, ok := parseAddress([]byte(address))
	if !ok {
		return "", false
	}
	return attackerID(addr), true
}
