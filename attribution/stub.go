package attribution

import (
	"encoding/binary"
)

// UUID is the binary form of an id such as a stub's.
type UUID [16]byte

const hexDigits = "0123456789abcdef"

// AppendText appends the lower-case text with hyphens, 36 bytes.
func (u UUID) AppendText(dst []byte) []byte {
	for i, b := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
	}
	return dst
}

// String returns the lower-case text with hyphens.
func (u UUID) String() string { return string(u.AppendText(make([]byte, 0, 36))) }

// ParseUUID reads the lower-case text with hyphens and nothing else: only that
// form may be packed, or two spellings of an id would become one.
func ParseUUID[T ~string | ~[]byte](s T) (u UUID, ok bool) {
	if len(s) != 36 {
		return u, false
	}
	at := 0
	for i := 0; i < 36; {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return u, false
			}
			i++
			continue
		}
		hi, lo := nibble(s[i]), nibble(s[i+1])
		if hi > 15 || lo > 15 {
			return u, false
		}
		u[at] = hi<<4 | lo
		at++
		i += 2
	}
	return u, true
}

func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// stubNamespace separates stub ids from every other digest of an attacker_uuid.
const stubNamespace = "handprint.stub.v1\x00"

// Stub returns the id of the identity that an attacker belongs to as long as
// no clusterer says otherwise (docs/attribution.md, "Stub ids"). It is a pure
// function of the attacker, so two workers make the same one, and its first
// four bytes are the hash by which Kafka's default partitioner places the
// attacker's records, so it lives where they arrive.
func Stub(attacker []byte) UUID {
	var buf [128]byte
	in := append(append(buf[:0], stubNamespace...), attacker...)
	sum := sum256(in)
	var u UUID
	binary.BigEndian.PutUint32(u[:4], positiveMurmur2(attacker))
	copy(u[4:], sum[:12])
	u[6] = u[6]&0x0f | 0x80 // version 8
	u[8] = u[8]&0x3f | 0x80 // RFC 9562 variant
	return u
}

// AttackerPartition is the home of an attacker among n partitions: where
// Kafka's default partitioner puts records keyed by it.
func AttackerPartition[T ~string | ~[]byte](attacker T, n int32) int32 {
	return int32(positiveMurmur2(attacker) % uint32(n))
}

// IdentityPartition is the home of an identity among n partitions. It follows
// from the id alone: a UUIDv8 in lower case with hyphens names its hash in its
// first four bytes, any other id is hashed.
func IdentityPartition[T ~string | ~[]byte](id T, n int32) int32 {
	if u, ok := ParseUUID(id); ok && u[6]>>4 == 8 && u[8]>>6 == 2 {
		return int32(binary.BigEndian.Uint32(u[:4]) % uint32(n))
	}
	return int32(positiveMurmur2(id) % uint32(n))
}

// positiveMurmur2 is the hash of Kafka's Java client, sign bit cleared.
func positiveMurmur2[T ~string | ~[]byte](b T) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
		r    = 24
	)
	n := len(b)
	h := uint32(seed) ^ uint32(n)
	i := 0
	for ; n-i >= 4; i += 4 {
		k := uint32(b[i]) | uint32(b[i+1])<<8 | uint32(b[i+2])<<16 | uint32(b[i+3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h *= m
		h ^= k
	}
	switch n - i {
	case 3:
		h ^= uint32(b[i+2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[i+1]) << 8
		fallthrough
	case 1:
		h ^= uint32(b[i])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h & 0x7fffffff
}
