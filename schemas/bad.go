package schemas

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"handprint/internal/canonical"
)

// DefaultMaxBytes is the most bytes of a record that decoders take by default;
// a record of exactly so many is taken.
const DefaultMaxBytes = 262144

// noLimit is for what this program has written itself: a state row can be
// longer than the observation it came from.
const noLimit = math.MaxInt

// Bad is the error for a record that cannot be used.
type Bad struct {
	// Reason is one short sentence that names the field: "ts: negative". It
	// is at most 320 bytes of printable ASCII, whatever the record holds.
	Reason string
}

// Error returns the reason.
func (b *Bad) Error() string { return b.Reason }

func bad(reason string) *Bad { return &Bad{Reason: reason} }

// broken is the Bad for text that the scanner could not read, where it stood
// in the member called field ("" outside of any that is known).
func broken(s *canonical.Scanner, field string, err error) *Bad {
	switch {
	case errors.Is(err, canonical.ErrNotFinite) && field != "":
		return bad(field + ": not finite")
	case errors.Is(err, canonical.ErrTooDeep) && field != "":
		return bad(field + ": " + err.Error())
	}
	return bad(fmt.Sprintf("not JSON: %v at byte %d", err, s.Offset()))
}

// excerpt quotes the start of what a record says, for a reason.
func excerpt(text string) string {
	const most = 32
	if len(text) > most {
		return strconv.QuoteToASCII(text[:most]) + "..."
	}
	return strconv.QuoteToASCII(text)
}
