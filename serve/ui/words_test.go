package ui

import (
	"strings"
	"testing"

	"handprint/serve/query"
)

// What others are told of an identity is a sentence, with what there is of it.
func TestToldOf(t *testing.T) {
	into, origin := "6af1e32f-384d-4f7e-8f1b-ba38aeb755a8", int64(7)
	for want, r := range map[string]query.IdentityRecord{
		"1 attacker, written": {Total: 1}, "2 attackers, since the event at offset 7, written": {Total: 2, Origin: &origin},
		"0 attackers, merged into " + shortID(into) + ", since the event at offset 7, written": {MergedInto: &into, Origin: &origin},
	} {
		if got := toldOf(&r); !strings.HasSuffix(got, ": "+want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
