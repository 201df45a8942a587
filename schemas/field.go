package schemas

import (
	"fmt"

	"handprint/internal/canonical"
)

// field is one member of a record as it was read last: of members with the
// same key the last counts, so nothing is judged before the record's end.
type field struct {
	token   canonical.Token // NoToken: absent
	escaped bool            // raw has escapes
	whole   bool            // set by the owner: raw is to be the canonical text of any value
	raw     []byte          // a string's text between the quotes; true or false
	num     float64
}

// scan consumes a value into f.
func (f *field) scan(s *canonical.Scanner) (err error) {
	f.token = s.Peek()
	if f.whole {
		f.raw, err = s.Value(f.raw[:0])
		return err
	}
	switch f.token {
	case canonical.StringToken:
		f.raw, f.escaped, err = s.Text()
	case canonical.NumberToken:
		f.num, err = s.Float()
	case canonical.BoolToken:
		f.raw, err = s.Value(nil)
	default:
		err = s.Skip()
	}
	return err
}

// absent: null counts as absent.
func (f *field) absent() bool { return f.token <= canonical.NullToken }

// text returns the string in f, nil if it is absent. A string with escapes is
// decoded behind buf, which is returned longer.
func (f *field) text(name string, buf []byte) (text, grown []byte, err error) {
	switch {
	case f.absent():
		return nil, buf, nil
	case f.token != canonical.StringToken:
		return nil, buf, f.not(name, "a string")
	case !f.escaped:
		return f.raw, buf, nil
	}
	start := len(buf)
	buf, ok := canonical.Unescape(buf, f.raw)
	if !ok {
		return nil, buf, bad(name + ": half a surrogate pair is no text")
	}
	return buf[start:len(buf):len(buf)], buf, nil
}

// required is text, but the string must be there and not be empty.
func (f *field) required(name string, buf []byte) (text, grown []byte, err error) {
	if text, buf, err = f.text(name, buf); err != nil {
		return nil, buf, err
	}
	switch {
	case f.token == canonical.NoToken:
		return nil, buf, bad(name + ": missing")
	case f.token == canonical.NullToken:
		return nil, buf, bad(name + ": null")
	case len(text) == 0:
		return nil, buf, bad(name + ": empty")
	}
	return text, buf, nil
}

// number returns the number in f and true, or 0 and false if it is absent.
func (f *field) number(name string) (n float64, present bool, err error) {
	switch {
	case f.absent():
		return 0, false, nil
	case f.token != canonical.NumberToken:
		return 0, false, f.not(name, "a number")
	}
	return f.num, true, nil
}

// flag returns the boolean in f; absent stands for false.
func (f *field) flag(name string) (bool, error) {
	switch {
	case f.absent():
		return false, nil
	case f.token != canonical.BoolToken:
		return false, f.not(name, "a boolean")
	}
	return string(f.raw) == "true", nil
}

func (f *field) not(name, what string) error {
	return bad(fmt.Sprintf("%s: %v, not %s", name, f.token, what))
}

// object opens the record, which must be one JSON object of at most limit
// bytes, and leaves s before its first member.
func object(s *canonical.Scanner, record []byte, limit int) error {
	if limit == 0 {
		limit = DefaultMaxBytes
	}
	if len(record) > limit {
		return bad(fmt.Sprintf("too large: %d bytes, at most %d are taken", len(record), limit))
	}
	s.Reset(record)
	t := s.Peek()
	if t == canonical.ObjectToken {
		return s.Object()
	}
	if s.Offset() == len(record) {
		return bad("not JSON: empty")
	}
	if err := s.Skip(); err != nil {
		return broken(s, "", err)
	}
	if err := s.End(); err != nil {
		return broken(s, "", err)
	}
	return bad("not an object: " + t.String())
}
