package config

import (
	"strings"
)

// Importance says who should know a setting.
type Importance uint8

// High settings are looked at in every deployment, medium ones in many, low
// ones when something is out of the ordinary. Flags of low importance are left
// out of --help.
const (
	Low Importance = iota
	Medium
	High
)

// String returns the word that the documentation has.
func (i Importance) String() string {
	return [...]string{"low", "medium", "high"}[i]
}

// EnvPrefix begins the environment variable of every setting.
const EnvPrefix = "HANDPRINT_"

// Setting is one declared setting. Its name is also its flag and its key in
// the configuration file.
type Setting struct {
	Name       string     // kebab case, such as "state-dir"
	Group      string     // the heading it stands under
	Type       string     // what a value is, in a word: "integer", "duration"
	Default    string     // as text; empty for none
	Range      string     // what values are allowed: "between 1 and 256"; may be empty
	Importance Importance // Medium if the declaration does not say
	Doc        string     // what it decides, as a phrase with a full stop
	Secret     bool       // never printed, in errors neither

	isBool bool
	assign func(text string) error // parses, checks and stores
	reset  func()                  // stores the default
	show   func() string           // the value that is stored, as text

	origin Origin
}

// Env returns the environment variable of the setting.
func (s *Setting) Env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
}

// Origin returns where the value came from; the zero Origin means the default.
func (s *Setting) Origin() Origin { return s.origin }

// Value returns the current value as text, and "(secret)" for a secret that
// is set.
func (s *Setting) Value() string {
	v := s.show()
	if s.Secret && v != "" {
		return "(secret)"
	}
	return v
}

// Origin is where a value came from, in words that a person can act on.
type Origin struct {
	place string // "flag --threads", "config file x.yaml line 3", ...
	named bool   // place names the setting already
}

// String returns the origin in words, "default" for the zero Origin.
func (o Origin) String() string {
	if o.place == "" {
		return "default"
	}
	return o.place
}

// of returns the words that begin an error about the setting name.
func (o Origin) of(name string) string {
	switch {
	case o.place == "":
		return name
	case o.named:
		return o.place
	default:
		return o.place + ": " + name
	}
}

// Option refines a declaration.
type Option func(*Setting)

// Important sets the importance, which is Medium otherwise.
func Important(i Importance) Option { return func(s *Setting) { s.Importance = i } }

// Secret keeps the value out of everything that is printed.
func Secret() Option { return func(s *Setting) { s.Secret = true } }
