package load

import (
	"encoding/hex"
	"strconv"

	"handprint/attribution"
	"handprint/internal/canonical"
)

// primitive is one of the registry, and what its values look like.
type primitive struct {
	name   string
	kind   attribution.Kind
	values []string // CATEGORICAL
	hash   uint64
}

func newPrimitive(p *attribution.Primitive) primitive {
	h := uint64(len(p.Name))
	for i := range len(p.Name) {
		h = mix(h ^ uint64(p.Name[i]))
	}
	return primitive{name: p.Name, kind: p.Kind, values: p.Values, hash: h}
}

// variants is how many values the primitives without a list have.
const variants = 400

// value appends a value of the current attacker: its usual one, or now and then
// another.
func (g *Generator) value(dst []byte, p *primitive) []byte {
	seed := mix(p.hash ^ g.attacker)
	if g.rnd.Float64() < g.cfg.Change {
		seed = mix(seed + 1 + uint64(g.rnd.IntN(3)))
	}
	switch p.kind {
	case attribution.Categorical:
		if len(p.values) > 0 {
			return canonical.AppendString(dst, p.values[seed%uint64(len(p.values))])
		}
		return canonical.AppendString(dst, "kind-"+strconv.FormatUint(seed%9, 10))
	case attribution.Numeric:
		// Around the usual, so that the mean moves a little with each.
		return canonical.AppendFloat(dst, float64(100+seed%900)*(0.9+0.2*g.rnd.Float64()))
	case attribution.Bool:
		return strconv.AppendBool(dst, seed%2 == 0)
	case attribution.Hash:
		dst = appendHex(append(dst, '"'), mix(seed%variants))
		return append(appendHex(dst, mix(seed%variants+1)), '"')
	case attribution.Array:
		dst = append(dst, '[')
		for i := range 2 + seed%4 {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = canonical.AppendString(dst, words[(seed>>8+i)%uint64(len(words))])
		}
		return append(dst, ']')
	default:
		g.scratch = append(g.scratch[:0], words[seed%uint64(len(words))]...)
		g.scratch = append(g.scratch, "/2."...)
		g.scratch = strconv.AppendUint(g.scratch, seed%variants, 10)
		return canonical.AppendString(dst, g.scratch)
	}
}

var words = []string{
	"uname -a", "cat /proc/cpuinfo", "curve25519-sha256", "ecdh-sha2-nistp256", "SSH-2.0-Go", "libssh",
	"wget", "busybox", "/tmp/.x", "chmod +x", "aes128-ctr", "hmac-sha2-256", "nproc", "crontab -l",
}

func appendHex(dst []byte, n uint64) []byte {
	var b [8]byte
	for i := range b {
		b[i] = byte(n >> (8 * i))
	}
	return hex.AppendEncode(dst, b[:])
}
