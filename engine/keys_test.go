package engine

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The keys of a series' long values follow from that of its row or contribution, however
// long the names of identity, primitive and attacker are; keys of what an observation
// writes often are bounded by the identity's name, and explain finds them.
func TestKeysOfLongNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := func(what string) []byte {
			return []byte(what + "." + strings.Repeat(what, rapid.SampledFrom([]int{1, 20, 46, 126, 127, 128, 129, 3000}).Draw(t, what)))
		}
		identity, primitive, attacker := name("i"), name("p"), name("a")
		if rapid.Bool().Draw(t, "UUID") {
			identity = []byte("018f0000-0000-7000-8000-000000000001")
		}
		row := rowKey(nil, kindRow, identity, primitive)
		contribution := seriesKey(nil, kindContribution, identity, primitive, attacker)
		if got := longPrefix(nil, row); !bytes.Equal(got, rowKey(nil, kindLong, identity, primitive)) {
			t.Fatalf("the long values of row %q are at %q", row, got)
		}
		if got := longPrefix(nil, contribution); !bytes.Equal(got, seriesKey(nil, kindLong, identity, primitive, attacker)) {
			t.Fatalf("the long values of contribution %q are at %q", contribution, got)
		}
		for _, kind := range []byte{kindGone, kindLarge, kindLong} {
			key := seriesKey(nil, kind, identity, primitive, attacker)
			if len(key) > len(identity)+200 {
				t.Fatalf("a key of kind %q has %d bytes", kind, len(key))
			}
			other := append(bytes.Clone(primitive), 'x')
			if !ConcernsRow(key, string(identity), string(primitive)) || ConcernsRow(key, string(identity), string(other)) {
				t.Fatalf("key %q is not one of the row's", key)
			}
		}
	})
}
