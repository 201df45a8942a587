package schemas

import (
	"strconv"

	"handprint/attribution"
	"handprint/internal/canonical"
)

// AppendSuspicionJSON appends u as the record of
// attribution.profile.multi_actor_suspected.
func AppendSuspicionJSON(dst []byte, u *attribution.Suspicion) []byte {
	dst = append(dst, '{')
	dst = appendString(dst, "event_id", u.EventID)
	dst = appendString(dst, "identity_uuid", u.Identity)
	dst = appendStrings(dst, "primitives", u.Primitives)
	dst = append(appendMember(dst, "evidence_summary"), '"')
	dst = strconv.AppendInt(dst, int64(len(u.Primitives)), 10)
	dst = append(dst, ` primitives flagged multi_actor"`...)
	dst = appendNumber(dst, "confidence", u.Confidence)
	dst = appendNumber(dst, "ts", u.TS)
	return append(dst, '}')
}

// suspicionFields are the members of a suspicion that are looked at.
type suspicionFields struct {
	id, identity, confidence, ts field
	primitives                   list
}

// DecodeSuspicionJSON reads a record of
// attribution.profile.multi_actor_suspected. The summary, which the primitives
// tell anyway, is not looked at. The error is always a *Bad.
func DecodeSuspicionJSON(record []byte) (attribution.Suspicion, error) {
	var f suspicionFields
	err := readObject(record, noLimit, func(s *canonical.Scanner, key string) (bool, error) {
		switch key {
		case "event_id":
			return true, f.id.scan(s)
		case "identity_uuid":
			return true, f.identity.scan(s)
		case "primitives":
			return true, f.primitives.scan(s, key)
		case "confidence":
			return true, f.confidence.scan(s)
		case "ts":
			return true, f.ts.scan(s)
		}
		return false, s.Skip()
	})
	if err != nil {
		return attribution.Suspicion{}, err
	}
	return f.suspicion()
}

// suspicion holds the fields to what a suspicion has.
func (f *suspicionFields) suspicion() (u attribution.Suspicion, err error) {
	if u.EventID, err = f.id.requiredString("event_id"); err != nil {
		return u, err
	}
	if u.Identity, err = f.identity.requiredString("identity_uuid"); err != nil {
		return u, err
	}
	if u.Primitives, err = f.primitives.strings("primitives"); err != nil {
		return u, err
	}
	if len(u.Primitives) == 0 {
		return u, bad("primitives: none")
	}
	if u.Confidence, err = f.confidence.requiredNumber("confidence"); err != nil {
		return u, err
	}
	u.TS, err = f.ts.requiredNumber("ts")
	return u, err
}
