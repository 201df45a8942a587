package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Set is a list of declared settings, bound to the variables that their values
// go to. It is not safe for use by several goroutines.
type Set struct {
	settings []*Setting
	byName   map[string]*Setting
	group    string
	flags    map[string]*flagText
}

// NewSet returns an empty set.
func NewSet() *Set {
	return &Set{byName: make(map[string]*Setting), flags: make(map[string]*flagText)}
}

// Group makes name the heading of the settings that are declared from here on.
func (s *Set) Group(name string) { s.group = name }

// Settings returns the settings in the order of their declaration.
func (s *Set) Settings() []*Setting { return slices.Clone(s.settings) }

// Lookup returns the setting called name, or nil.
func (s *Set) Lookup(name string) *Setting { return s.byName[name] }

// add declares st. Declaring a name twice is a programming error, and so is a
// default that breaks its own rule: both panic, at the start of every test.
func (s *Set) add(st *Setting, opts []Option) {
	st.Group, st.Importance = s.group, Medium
	for _, o := range opts {
		o(st)
	}
	if s.byName[st.Name] != nil {
		panic("config: setting " + st.Name + " is declared twice")
	}
	s.byName[st.Name] = st
	s.settings = append(s.settings, st)
	st.reset()
}

func declare[T any](s *Set, p *T, k kind[T], name string, def T, check Check[T], doc string, opts []Option) {
	if !check.OK(def) {
		panic(fmt.Sprintf("config: default of %s is not %s", name, check.Text))
	}
	st := &Setting{Name: name, Type: k.name, Default: k.format(def), Range: check.Text, Doc: doc}
	st.reset = func() { *p = def }
	st.show = func() string { return k.format(*p) }
	st.assign = func(text string) error {
		v, err := k.parse(text)
		if err != nil {
			return fmt.Errorf("must be %w%s", err, is(st, text))
		}
		if !check.OK(v) {
			return fmt.Errorf("must be %s%s", check.Text, is(st, k.format(v)))
		}
		*p = v
		return nil
	}
	s.add(st, opts)
}

// is returns the words that tell the wrong value, none for a secret.
func is(s *Setting, text string) string {
	switch {
	case s.Secret:
		return ""
	case text == "":
		return ", is empty"
	}
	const most = 80
	if len(text) > most {
		text = text[:most] + "..."
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		text = fmt.Sprintf("%q", text)
	}
	return ", is " + text
}

// Int declares a whole number.
func (s *Set) Int(p *int, name string, def int, check Check[int], doc string, opts ...Option) {
	declare(s, p, intKind, name, def, check, doc, opts)
}

// Float declares a finite number.
func (s *Set) Float(p *float64, name string, def float64, check Check[float64], doc string, opts ...Option) {
	declare(s, p, floatKind, name, def, check, doc, opts)
}

// Bool declares a switch. As a flag it needs no value.
func (s *Set) Bool(p *bool, name string, def bool, doc string, opts ...Option) {
	declare(s, p, boolKind, name, def, Any[bool](), doc, opts)
	s.byName[name].isBool = true
}

// Text declares a text.
func (s *Set) Text(p *string, name, def string, check Check[string], doc string, opts ...Option) {
	declare(s, p, textKind, name, def, check, doc, opts)
}

// Path declares the path of a file or folder.
func (s *Set) Path(p *string, name, def string, check Check[string], doc string, opts ...Option) {
	declare(s, p, pathKind, name, def, check, doc, opts)
}

// List declares a list of texts, none of them empty.
func (s *Set) List(p *[]string, name string, def []string, check Check[[]string], doc string, opts ...Option) {
	declare(s, p, listKind, name, def, check, doc, opts)
}

// Duration declares a span of time.
func (s *Set) Duration(p *time.Duration, name string, def time.Duration, check Check[time.Duration], doc string, opts ...Option) {
	declare(s, p, periodKind, name, def, check, doc, opts)
}

// Seconds declares a span of time that is kept as seconds.
func (s *Set) Seconds(p *float64, name string, def time.Duration, check Check[time.Duration], doc string, opts ...Option) {
	declare(s, new(time.Duration), periodKind, name, def, check, doc, opts)
	st := s.byName[name]
	assign := st.assign
	st.reset = func() { *p = def.Seconds() }
	st.show = func() string { return formatDuration(time.Duration(*p * float64(time.Second))) }
	st.assign = func(text string) error {
		if err := assign(text); err != nil {
			return err
		}
		d, err := parseDuration(text)
		*p = d.Seconds()
		return err
	}
	st.reset()
}

// Bytes declares a size, written as a number or with KiB, MiB or GiB.
func (s *Set) Bytes(p *int, name string, def int, check Check[int], doc string, opts ...Option) {
	declare(s, p, bytesKind, name, def, check, doc, opts)
}

// Foreign declares a setting whose values another package reads and keeps. set
// gets the text of a value and its error is shown after the name; get returns
// the value as text.
func (s *Set) Foreign(name, typ, def, allowed, doc string, set func(text string) error, get func() string, opts ...Option) {
	st := &Setting{Name: name, Type: typ, Default: def, Range: allowed, Doc: doc, show: get, assign: set}
	st.reset = func() {
		if err := set(def); err != nil {
			panic(fmt.Sprintf("config: default of %s: %v", name, err))
		}
	}
	s.add(st, opts)
}

// flagText holds a flag's text until Load reads it, so that a wrong flag is
// reported like any other wrong value.
type flagText struct {
	setting *Setting
	text    string
	set     bool
}

// String implements pflag.Value with the default, which --help shows.
func (f *flagText) String() string {
	if f.set {
		return f.text
	}
	return f.setting.Default
}

// Set implements pflag.Value.
func (f *flagText) Set(text string) error {
	f.text, f.set = text, true
	return nil
}

// Type implements pflag.Value with the word that --help shows.
func (f *flagText) Type() string {
	switch f.setting.Type {
	case "boolean":
		return "bool"
	case "comma-separated list":
		return "list"
	case "size in bytes":
		return "bytes"
	case "integer":
		return "int"
	}
	return f.setting.Type
}

// Flags adds settings to fs: those of the groups, and the ones named by
// themselves. Without either it adds all. Those of low importance can be given
// but are not listed by --help.
func (s *Set) Flags(fs *pflag.FlagSet, groupsOrNames ...string) {
	for _, st := range s.settings {
		if len(groupsOrNames) > 0 && !slices.Contains(groupsOrNames, st.Group) && !slices.Contains(groupsOrNames, st.Name) {
			continue
		}
		f := s.flags[st.Name]
		if f == nil {
			f = &flagText{setting: st}
			s.flags[st.Name] = f
		}
		// pflag takes a word in backquotes for the name of the value.
		flag := fs.VarPF(f, st.Name, "", strings.ReplaceAll(st.Doc, "`", ""))
		flag.Hidden = st.Importance == Low
		if st.isBool {
			flag.NoOptDefVal = "true"
		}
	}
}
