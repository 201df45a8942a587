package schemas

import (
	"fmt"

	"handprint/attribution"
	"handprint/internal/canonical"
)

// readObject reads a record that is one JSON object of at most limit bytes, or
// DefaultMaxBytes if limit is 0. member consumes the value of each key; it says whether it knows the
// key, and returns what the scanner returned.
func readObject(record []byte, limit int, member func(s *canonical.Scanner, key string) (known bool, err error)) error {
	var s canonical.Scanner
	if err := object(&s, record, limit); err != nil {
		return err
	}
	for {
		key, ok, err := s.Member()
		if err != nil {
			return broken(&s, "", err)
		}
		if !ok {
			break
		}
		name := string(key)
		known, err := member(&s, name)
		if !known {
			name = ""
		}
		if err != nil {
			return broken(&s, name, err)
		}
	}
	if err := s.End(); err != nil {
		return broken(&s, "", err)
	}
	return nil
}

// requiredString is required for a record that is read once and kept.
func (f *field) requiredString(name string) (string, error) {
	text, _, err := f.required(name, nil)
	return string(text), err
}

// optionalString is text for a record that is read once and kept.
func (f *field) optionalString(name string) (string, error) {
	text, _, err := f.text(name, nil)
	return string(text), err
}

// requiredNumber is number, but it must be there.
func (f *field) requiredNumber(name string) (float64, error) {
	n, ok, err := f.number(name)
	if err == nil && !ok {
		err = bad(name + ": missing")
	}
	return n, err
}

// requiredCount is requiredNumber for an integer from 0 to 2^53.
func (f *field) requiredCount(name string) (int64, error) {
	n, err := f.requiredNumber(name)
	if err == nil && (n < 0 || n > 1<<53 || n != float64(int64(n))) {
		err = bad(name + ": not a count")
	}
	return int64(n), err
}

// list is a member that is an array of strings, none empty.
type list struct {
	token   canonical.Token
	read    []string // each once, in their order
	problem error    // what is wrong with an element
}

// scan consumes the value of the member name into l. Only text that is no JSON
// is an error yet: whether the list counts, its record's end tells.
func (l *list) scan(s *canonical.Scanner, name string) error {
	l.read, l.problem = nil, nil
	l.token = s.Peek()
	if l.token != canonical.ArrayToken {
		return s.Skip()
	}
	if err := s.Array(); err != nil {
		return err
	}
	seen := make(map[string]struct{})
	for i := 0; ; i++ {
		ok, err := s.Element()
		if err != nil || !ok {
			return err
		}
		var element field
		if err := element.scan(s); err != nil {
			return err
		}
		if l.problem != nil {
			continue
		}
		text, err := element.requiredString("")
		if err != nil {
			l.problem = bad(fmt.Sprintf("%s[%d]%v", name, i, err))
			continue
		}
		if _, twice := seen[text]; !twice {
			seen[text] = struct{}{}
			l.read = append(l.read, text)
		}
	}
}

// strings returns the list; absent and null stand for none.
func (l *list) strings(name string) ([]string, error) {
	if l.token > canonical.NullToken && l.token != canonical.ArrayToken {
		return nil, bad(fmt.Sprintf("%s: %v, not a list", name, l.token))
	}
	return l.read, l.problem
}

// appendMember appends `,"name":`, or with the brace that opens an object if
// dst ends with one.
func appendMember(dst []byte, name string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

func appendString(dst []byte, name, text string) []byte {
	return canonical.AppendString(appendMember(dst, name), text)
}

// appendTextOrNull appends a text, null for an empty one.
func appendTextOrNull(dst []byte, name, text string) []byte {
	if text == "" {
		return append(appendMember(dst, name), attribution.Null...)
	}
	return appendString(dst, name, text)
}

func appendNumber(dst []byte, name string, f float64) []byte {
	return canonical.AppendFloat(appendMember(dst, name), f)
}

func appendStrings(dst []byte, name string, list []string) []byte {
	dst = append(appendMember(dst, name), '[')
	for i, text := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = canonical.AppendString(dst, text)
	}
	return append(dst, ']')
}
