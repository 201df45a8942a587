package ingest

import (
	"strings"
	"testing"

	"github.com/google/uuid"
)

func TestIDsAreUUIDv5(t *testing.T) {
	for _, evidence := range []string{"", "zeek:s1/Cab1", strings.Repeat("x", 1000)} {
		want := uuid.NewSHA1(observationSpace, []byte(evidence+" p.q")).String()
		if got := ObservationID(evidence, "p.q"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
