package ingest

import (
	"crypto/sha1"
	"net/netip"

	"github.com/google/uuid"
)

// The namespaces of the ids that sensors' adapters make: UUIDv5 in the DNS
// namespace of "handprint.attacker" and of "handprint.observation".
var (
	attackerSpace    = uuid.MustParse("75c89d61-0d71-5449-b14c-1d6477dad29c")
	observationSpace = uuid.MustParse("51767694-9455-5bc5-905e-499109cbe684")
)

// AttackerID returns the attacker_uuid of an address without a zone: the same
// over all sensors.
func AttackerID(addr netip.Addr) string {
	return uuid5(attackerSpace, "ip:", addr.String())
}

// OpaqueAttackerID returns the attacker_uuid of another text that stands for
// an attacker.
func OpaqueAttackerID(text string) string {
	return uuid5(attackerSpace, "src:", text)
}

// ObservationID returns the id of what one piece of evidence says about one
// primitive.
func ObservationID(evidence, primitive string) string {
	return uuid5(observationSpace, evidence, " ", primitive)
}

// uuid5 returns the UUIDv5 of a name that is the parts together: uuid.NewSHA1
// without what it allocates.
func uuid5(space uuid.UUID, parts ...string) string {
	var buffer [256]byte
	b := append(buffer[:0], space[:]...)
	for _, p := range parts {
		b = append(b, p...)
	}
	sum := sha1.Sum(b)
	id := uuid.UUID(sum[:16])
	id[6] = id[6]&0x0f | 5<<4
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}
