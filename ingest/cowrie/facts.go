package cowrie

import (
	"crypto/md5"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"handprint/ingest/internal/jsonscan"
)

// first is the value of the first event in order that gives one: the earliest,
// of equal times the one that came first.
type first[T any] struct {
	value T
	at    micros
	set   bool
}

// wants reports whether a value that an event at t gives would count.
func (f *first[T]) wants(t micros) bool { return !f.set || t < f.at }

func (f *first[T]) take(t micros, value T) { *f = first[T]{value, t, true} }

// facts is what the events of an open session have said so far.
type facts struct {
	hassh   first[string]
	banner  first[string]
	kex     first[[]string]
	locales [len(localeVariables)]first[string]

	ja4       string
	ja4Varies bool

	terminal bool // a terminal was asked for
	telnet   bool
	tunnel   bool // a tunnel was opened

	told    micros // how long the session was by its closing event
	hasTold bool

	entries   []entry
	unordered bool // entries came out of order
	held      int  // bytes that all of this takes, about
}

// entry is a line, or a failure of a program, as it came.
type entry struct {
	at     micros
	failed bool
	text   string
}

const entryBytes = 48 // an entry without its text, allocation included

func (f *facts) add(e entry) {
	if n := len(f.entries); n > 0 && e.at < f.entries[n-1].at {
		f.unordered = true
	}
	f.entries = append(f.entries, e)
	f.held += entryBytes + len(e.text)
}

// digest returns the HASSH that an event gives: the logged one, or that of the
// four lists; empty if it gives none.
func (e *event) digest() string {
	if text, _ := jsonscan.Text(e.hassh); len(text) == hex.EncodedLen(md5.Size) {
		var sum [md5.Size]byte
		if _, err := hex.Decode(sum[:], text); err == nil {
			return hex.EncodeToString(sum[:])
		}
	}
	var b strings.Builder
	for i, value := range [...][]byte{e.kexAlgs, e.encCS, e.macCS, e.compCS} {
		list, ok := jsonscan.Texts(value)
		if !ok || len(list) == 0 {
			return ""
		}
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteString(strings.Join(list, ","))
	}
	sum := md5.Sum([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}

// lists keeps the algorithm lists that were read, since a few tools send all
// of them: the same JSON text is read once, and its strings are held once.
type lists map[string][]string

const (
	maxLists     = 1024
	maxListBytes = 8 << 10
)

func (l lists) read(value []byte) []string {
	if list, ok := l[string(value)]; ok {
		return list
	}
	list, ok := jsonscan.Texts(value)
	if !ok {
		list = nil
	}
	if len(value) <= maxListBytes {
		if len(l) >= maxLists {
			clear(l)
		}
		l[string(value)] = list
	}
	return list
}

// kexOrder returns the client's key exchange algorithms in its order, none if
// the event does not give them.
func (e *event) kexOrder(known lists) []string {
	if list := known.read(e.kexAlgs); len(list) > 0 {
		return list
	}
	text, _ := jsonscan.Text(e.hasshAlgorithms)
	algorithms, _, _ := strings.Cut(string(text), ";")
	if algorithms == "" {
		return nil
	}
	return strings.Split(algorithms, ",")
}

const bannerBlanks = " \t\r\n"

// unquoted returns a banner without the quotes that some old logs wrap it in:
// those of Python's texts and bytes.
func unquoted(s string) string {
	inner := strings.TrimPrefix(s, "b")
	n := len(inner)
	if n < 2 || inner[0] != inner[n-1] || inner[0] != '\'' && inner[0] != '"' {
		return s
	}
	return strings.Trim(inner[1:n-1], bannerBlanks)
}

// banner returns the client's banner without what some logs wrap it in, cut to
// limit bytes; empty if it is none.
func (e *event) banner(limit int) string {
	text, _ := jsonscan.Text(e.version)
	s := strings.Trim(string(text), bannerBlanks)
	s = unquoted(s)
	if !strings.HasPrefix(s, "SSH-") {
		return ""
	}
	if len(s) > limit {
		end := limit
		for !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end]
	}
	return strings.Clone(s)
}

// localeVariables are the variables that name a locale, the strongest first.
var localeVariables = [...]string{"LC_ALL", "LANG", "LC_CTYPE"}

const undetermined = "und" // the language tag of the C locale

// languageTag returns what a locale variable's value says, empty if nothing.
func languageTag(value []byte) string {
	s := string(value)
	if end := strings.IndexAny(s, ".@"); end >= 0 {
		s = s[:end]
	}
	if s == "C" || s == "POSIX" {
		return undetermined
	}
	language, territory, two := strings.Cut(s, "_")
	if len(language) < 2 || len(language) > 3 || !within(language, 'a', 'z') {
		return ""
	}
	if !two {
		return language
	}
	if len(territory) != 2 || !within(territory, 'A', 'Z') {
		return ""
	}
	return language + "-" + territory
}

func within(s string, low, high byte) bool {
	for i := range len(s) {
		if s[i] < low || s[i] > high {
			return false
		}
	}
	return true
}

// locale returns the session's language tag, empty if no variable gives one.
func (f *facts) locale() string {
	tag := ""
	for i := range f.locales {
		switch v := f.locales[i].value; v {
		case "":
		case undetermined:
			tag = undetermined
		default:
			return v
		}
	}
	return tag
}

// length returns how long a session was by its closing event: a number of
// seconds, as a number or as a text, or of milliseconds.
func (e *event) length() (micros, bool) {
	if d, ok := decimalMicros(e.durationMillis, 3); ok {
		return d, true
	}
	return decimalMicros(e.duration, 6)
}

// decimalMicros reads a JSON number, or a text that is one, and shifts its
// point by the given number of digits. It is cut to whole microseconds; a
// negative one, one with an exponent and one of more than a hundred years are
// none.
func decimalMicros(value []byte, shift int) (micros, bool) {
	if text, ok := jsonscan.Text(value); ok {
		value = text
	}
	whole, fraction, _ := strings.Cut(strings.TrimSpace(string(value)), ".")
	if whole == "" || len(whole) > 15 || !within(whole, '0', '9') || !within(fraction, '0', '9') {
		return 0, false
	}
	var n micros
	for i := range len(whole) {
		n = n*10 + micros(whole[i]-'0')
	}
	for i := range shift {
		n *= 10
		if i < len(fraction) {
			n += micros(fraction[i] - '0')
		}
		if n > microsOf(maxDuration) {
			return 0, false
		}
	}
	return n, true
}
