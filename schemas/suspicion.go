package schemas

import (
	"fmt"
	"strconv"

	"handprint/attribution"
	"handprint/internal/canonical"
	"handprint/schemas/avro"
)

// plainSummary follows the number of primitives, where a suspicion has no words
// of its own.
const plainSummary = " primitives flagged multi_actor"

// AppendSuspicionJSON appends u as the record of
// attribution.profile.multi_actor_suspected. One without a status has none of
// the members that only the rule `evidence` has.
func AppendSuspicionJSON(dst []byte, u *attribution.Suspicion) []byte {
	dst = append(dst, '{')
	dst = appendString(dst, "event_id", u.EventID)
	dst = appendString(dst, "identity_uuid", u.Identity)
	if u.Status != "" {
		dst = appendString(dst, "status", string(u.Status))
		dst = appendString(dst, "suspicion_id", u.ID)
	}
	dst = appendStrings(dst, "primitives", u.Primitives)
	if u.Total > 0 {
		dst = appendCount(dst, "primitives_total", int64(u.Total))
	}
	if u.Status != "" {
		dst = append(appendMember(dst, "reasons"), '[')
		for i := range u.Reasons {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendReason(dst, &u.Reasons[i])
		}
		dst = append(dst, ']')
		dst = appendStrings(dst, "groups", u.Groups)
	}
	if u.Summary != "" {
		dst = appendString(dst, "evidence_summary", u.Summary)
	} else {
		dst = append(appendMember(dst, "evidence_summary"), '"')
		dst = strconv.AppendInt(dst, flagged(u), 10)
		dst = append(dst, plainSummary+`"`...)
	}
	dst = appendNumber(dst, "confidence", u.Confidence)
	dst = appendNumber(dst, "ts", u.TS)
	return append(dst, '}')
}

// flagged returns how many primitives a suspicion is about, named or not.
func flagged(u *attribution.Suspicion) int64 { return int64(max(u.Total, len(u.Primitives))) }

func appendReason(dst []byte, r *attribution.Reason) []byte {
	dst = append(dst, '{')
	dst = appendString(dst, "primitive", r.Primitive)
	dst = appendString(dst, "kind", string(r.Kind))
	dst = appendString(dst, "group", r.Group)
	dst = append(appendMember(dst, "values"), '[')
	for i, v := range r.Values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, v...)
	}
	dst = append(dst, ']')
	return append(strconv.AppendBool(appendMember(dst, "new"), r.New), '}')
}

// suspicionFields are the members of a suspicion that are looked at.
type suspicionFields struct {
	id, identity, total, status, suspicion, summary, confidence, ts field
	primitives, groups                                              list
	reasons                                                         reasons
}

// reasons is the member reasons.
type reasons struct {
	token   canonical.Token
	read    []attribution.Reason
	problem error // what is wrong with one of them
}

// DecodeSuspicionJSON reads a record of
// attribution.profile.multi_actor_suspected. One without a status has none of
// what only the rule `evidence` has. The error is always a *Bad.
func DecodeSuspicionJSON(record []byte) (attribution.Suspicion, error) {
	var f suspicionFields
	err := readObject(record, noLimit, func(s *canonical.Scanner, key string) (bool, error) {
		switch key {
		case "event_id":
			return true, f.id.scan(s)
		case "identity_uuid":
			return true, f.identity.scan(s)
		case "status":
			return true, f.status.scan(s)
		case "suspicion_id":
			return true, f.suspicion.scan(s)
		case "primitives":
			return true, f.primitives.scan(s, key)
		case "primitives_total":
			return true, f.total.scan(s)
		case "reasons":
			return true, f.reasons.scan(s)
		case "groups":
			return true, f.groups.scan(s, key)
		case "evidence_summary":
			return true, f.summary.scan(s)
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
	return f.record()
}

// scan consumes the value of the member reasons.
func (l *reasons) scan(s *canonical.Scanner) error {
	l.read, l.problem = nil, nil
	if l.token = s.Peek(); l.token != canonical.ArrayToken {
		return s.Skip()
	}
	if err := s.Array(); err != nil {
		return err
	}
	for i := 0; ; i++ {
		ok, err := s.Element()
		if err != nil || !ok {
			return err
		}
		if token := s.Peek(); token != canonical.ObjectToken {
			l.blame(i, bad(fmt.Sprintf(": %v, not an object", token)))
			if err := s.Skip(); err != nil {
				return err
			}
			continue
		}
		r, problem, err := scanReason(s)
		if err != nil {
			return err
		}
		l.blame(i, problem)
		l.read = append(l.read, r)
	}
}

func (l *reasons) blame(i int, problem error) {
	if problem != nil && l.problem == nil {
		l.problem = bad(fmt.Sprintf("reasons[%d]%v", i, problem))
	}
}

// scanReason consumes one element. problem says what is wrong with it; err, that
// the record is no JSON.
func scanReason(s *canonical.Scanner) (r attribution.Reason, problem, err error) {
	var primitive, kind, group, values, isNew field
	values.whole = true
	if err := s.Object(); err != nil {
		return r, nil, err
	}
	for {
		key, ok, err := s.Member()
		if err != nil {
			return r, nil, err
		}
		if !ok {
			break
		}
		switch string(key) {
		case "primitive":
			err = primitive.scan(s)
		case "kind":
			err = kind.scan(s)
		case "group":
			err = group.scan(s)
		case "values":
			err = values.scan(s)
		case "new":
			err = isNew.scan(s)
		default:
			err = s.Skip()
		}
		if err != nil {
			return r, nil, err
		}
	}
	if r, problem = newReason(&primitive, &kind, &group, &isNew); problem == nil {
		r.Values, problem = elements(&values)
	}
	return r, problem, nil
}

// newReason holds the fields to what a reason has.
func newReason(primitive, kind, group, isNew *field) (r attribution.Reason, err error) {
	if r.Primitive, err = primitive.requiredString(".primitive"); err != nil {
		return r, err
	}
	word, err := kind.requiredString(".kind")
	if err != nil {
		return r, err
	}
	r.Kind = attribution.ReasonKind(word)
	if r.Group, err = group.requiredString(".group"); err != nil {
		return r, err
	}
	r.New, err = isNew.flag(".new")
	return r, err
}

// elements returns the elements of the array whose canonical text f has.
func elements(f *field) (all []attribution.Value, err error) {
	if f.absent() {
		return nil, nil
	}
	if f.token != canonical.ArrayToken {
		return nil, f.not(".values", "a list")
	}
	var s canonical.Scanner
	s.Reset(f.raw)
	if err := s.Array(); err != nil {
		return nil, bad(".values: " + err.Error())
	}
	for {
		ok, err := s.Element()
		if err != nil {
			return nil, bad(".values: " + err.Error())
		}
		if !ok {
			return all, nil
		}
		v, err := s.Value(nil)
		if err != nil {
			return nil, bad(".values: " + err.Error())
		}
		all = append(all, v)
	}
}

// fromAvro takes the records of an Avro array as scan takes the objects of JSON.
func (l *reasons) fromAvro(v *avro.Value) {
	l.read, l.problem, l.token = nil, nil, canonical.ArrayToken
	for i, slots := range v.Records {
		var at [5]field // values, the fourth, is read below
		for slot, name := range []string{".primitive", ".kind", ".group"} {
			l.blame(i, at[slot].fromAvro(&slots[slot], name))
		}
		l.blame(i, at[4].fromAvro(&slots[4], ".new"))
		r, err := newReason(&at[0], &at[1], &at[2], &at[4])
		l.blame(i, err)
		for _, text := range slots[3].List {
			value, err := jsonText(nil, text, ".values")
			l.blame(i, err)
			r.Values = append(r.Values, value)
		}
		l.read = append(l.read, r)
	}
}

// record holds the fields to what a suspicion has.
func (f *suspicionFields) record() (u attribution.Suspicion, err error) {
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
	if !f.total.absent() {
		total, err := f.total.requiredCount("primitives_total")
		if err != nil {
			return u, err
		}
		if total > int64(len(u.Primitives)) {
			u.Total = int(total)
		}
	}
	if u.Confidence, err = f.confidence.requiredNumber("confidence"); err != nil {
		return u, err
	}
	if u.TS, err = f.ts.requiredNumber("ts"); err != nil {
		return u, err
	}
	if u.Summary, err = f.summary.optionalString("evidence_summary"); err != nil {
		return u, err
	}
	if u.Summary == "" {
		u.Summary = strconv.FormatInt(flagged(&u), 10) + plainSummary
	}
	status, err := f.status.optionalString("status")
	if err != nil {
		return u, err
	}
	if u.Status = attribution.SuspicionStatus(status); u.Status == "" {
		return u, nil // of the rule `primitives`: there is no more
	}
	if u.ID, err = f.suspicion.optionalString("suspicion_id"); err != nil {
		return u, err
	}
	if f.reasons.token > canonical.NullToken && f.reasons.token != canonical.ArrayToken {
		return u, bad(fmt.Sprintf("reasons: %v, not a list", f.reasons.token))
	}
	if u.Reasons, err = f.reasons.read, f.reasons.problem; err != nil {
		return u, err
	}
	u.Groups, err = f.groups.strings("groups")
	return u, err
}
