package attribution

import (
	"crypto/sha256"
	"encoding/hex"
)

// ValidPrimitive reports whether name is two or more tokens of a-z, 0-9 and _
// joined by dots.
func ValidPrimitive(name []byte) bool {
	dots, token := 0, 0
	for _, c := range name {
		switch {
		case c == '.':
			if token == 0 {
				return false
			}
			dots, token = dots+1, 0
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_':
			token++
		default:
			return false
		}
	}
	return dots > 0 && token > 0
}

// A name in a suspicion has at most MaxPrimitiveName bytes. A longer one is cut to
// keptOfName bytes, and has 16 bytes of its SHA-256 behind a mark that no primitive has.
const (
	MaxPrimitiveName = 128
	keptOfName       = 80
	cutMark          = '~'
	cutDigest        = 16
)

// ShortPrimitive returns the name of a primitive as suspicions have it: one of more
// than MaxPrimitiveName bytes is cut, and a digest takes the place of the rest, so
// two names stay two.
func ShortPrimitive[T ~string | ~[]byte](name T) string {
	if len(name) <= MaxPrimitiveName {
		return string(name)
	}
	sum := sha256.Sum256([]byte(name))
	short := make([]byte, 0, keptOfName+1+2*cutDigest)
	short = append(append(short, name[:keptOfName]...), cutMark)
	return string(hex.AppendEncode(short, sum[:cutDigest]))
}

// BeginOfShort returns what a name begins with that ShortPrimitive has cut; ok is false if
// short is no such name.
func BeginOfShort(short string) (begin string, ok bool) {
	if len(short) != keptOfName+1+2*cutDigest || short[keptOfName] != cutMark {
		return "", false
	}
	return short[:keptOfName], true
}
