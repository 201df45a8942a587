package siem

import (
	"crypto/sha1" //nolint:gosec // UUIDv5 is SHA-1 by definition; nothing is protected by it
	"strconv"

	"handprint/attribution"
)

// The namespaces of UUIDv5 ids: E of events, S of STIX objects, M of MISP's.
var (
	eventNamespace = namespace("264fbbec-94d8-5d40-90ac-927e80e987c6")
	stixNamespace  = namespace("20984d5b-d514-58a2-a7cf-7b18070b1b1f")
	mispNamespace  = namespace("f30d5684-bff0-5ad8-8717-b424f124b983")
)

func namespace(text string) attribution.UUID {
	u, ok := attribution.ParseUUID(text)
	if !ok {
		panic("siem: " + text + " is no UUID")
	}
	return u
}

// uuid5 is the UUIDv5 of the parts, joined, in a namespace.
func uuid5(space *attribution.UUID, parts ...string) attribution.UUID {
	n := len(space)
	for _, p := range parts {
		n += len(p)
	}
	in := append(make([]byte, 0, n), space[:]...)
	for _, p := range parts {
		in = append(in, p...)
	}
	sum := sha1.Sum(in)
	u := attribution.UUID(sum[:16])
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return u
}

// rowID is the id of a row: of its record as handprint writes it in JSON.
func rowID(record []byte) string {
	return uuid5(&eventNamespace, "row ", string(record)).String()
}

// tombstoneID is the id of a tombstone: of where it lies.
func tombstoneID(topic string, partition int32, offset int64) string {
	return uuid5(&eventNamespace, "tombstone ", topic, "/", strconv.Itoa(int(partition)), "/", strconv.FormatInt(offset, 10)).String()
}

// DocumentID is the id under which a receiver keeps the row with a key: the key
// itself, or a UUID where it is longer than the 512 bytes that such ids may have.
func DocumentID(key []byte) string {
	if len(key) <= 512 {
		return string(key)
	}
	return uuid5(&eventNamespace, "key ", string(key)).String()
}
