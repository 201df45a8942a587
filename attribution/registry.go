package attribution

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"handprint/internal/canonical"
)

// Primitive is one entry of the registry.
type Primitive struct {
	Name   string // dotted name
	Domain string // its first token
	Kind   Kind   // what values it takes, and so which merger
	Group  string // its evidence group; empty: a group by itself
	Label  string // what people call it in a sentence; empty: made of the name
	// Returning says that a value that comes back after another one is evidence
	// of two people (HASH only).
	Returning bool
	Values    []string // CATEGORICAL: the values it is known to take; else empty
	Min       *float64 // NUMERIC: the least value that makes sense; nil: none
	Unit      string   // what the value measures, for people
	Meaning   string   // one sentence, for people

	listed map[string]struct{} // canonical texts of Values
}

// Registry says which primitives there are and what values they take. It is
// read-only after it was made, and safe for concurrent use.
type Registry struct {
	byName map[string]*Primitive
	names  []string
}

//go:embed primitives.json
var embedded []byte

// DefaultRegistry returns the registry that is built in: the 82 primitives of
// the BEHAVE interface.
func DefaultRegistry() *Registry { return builtIn() }

var builtIn = sync.OnceValue(func() *Registry {
	r, err := parseRegistry(embedded)
	if err != nil {
		panic("the embedded primitive registry: " + err.Error())
	}
	return r
})

// ReadRegistry reads a registry in the form of the embedded primitives.json.
func ReadRegistry(in io.Reader) (*Registry, error) {
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, fmt.Errorf("reading the primitive registry: %w", err)
	}
	r, err := parseRegistry(text)
	if err != nil {
		return nil, fmt.Errorf("primitive registry: %w", err)
	}
	return r, nil
}

func parseRegistry(text []byte) (*Registry, error) {
	var file struct {
		Primitives []struct {
			Name, Domain, Kind, Group, Label, Unit, Meaning string
			Returning                                       bool
			Values                                          []string
			Min                                             *float64
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	list := make([]Primitive, 0, len(file.Primitives))
	for _, p := range file.Primitives {
		kind, err := ParseKind(p.Kind)
		if err != nil {
			return nil, fmt.Errorf("primitive %q: %w", p.Name, err)
		}
		list = append(list, Primitive{
			Name: p.Name, Domain: p.Domain, Kind: kind, Group: p.Group, Label: p.Label, Returning: p.Returning,
			Values: p.Values, Min: p.Min, Unit: p.Unit, Meaning: p.Meaning,
		})
	}
	return NewRegistry(list)
}

// maxRegistered bounds how many primitives a registry has: a suspicion may name all of
// them, and has to fit into a record.
const maxRegistered = 4096

// NewRegistry makes a registry of the given primitives, at most 4,096. A name that is not
// one, or stands twice, is an error; so is a name, group or label of more than
// MaxPrimitiveName bytes.
func NewRegistry(list []Primitive) (*Registry, error) {
	if len(list) > maxRegistered {
		return nil, fmt.Errorf("%d primitives: a registry has at most %d", len(list), maxRegistered)
	}
	r := &Registry{byName: make(map[string]*Primitive, len(list))}
	for _, p := range list {
		if !ValidPrimitive([]byte(p.Name)) {
			return nil, fmt.Errorf("primitive %q: a name is two or more tokens of a-z, 0-9 and _ joined by dots", p.Name)
		}
		if len(p.Name) > MaxPrimitiveName {
			return nil, fmt.Errorf("primitive %q: a registered name has at most %d bytes, this has %d", p.Name, MaxPrimitiveName, len(p.Name))
		}
		if n := max(len(p.Group), len(p.Label)); n > MaxPrimitiveName {
			return nil, fmt.Errorf("primitive %q: a group and a label have at most %d bytes, here is one of %d", p.Name, MaxPrimitiveName, n)
		}
		if _, twice := r.byName[p.Name]; twice {
			return nil, fmt.Errorf("primitive %q stands twice", p.Name)
		}
		if p.Returning && p.Kind != Hash {
			return nil, fmt.Errorf("primitive %q: only a HASH primitive can be returning, this is %s", p.Name, p.Kind)
		}
		p.listed = make(map[string]struct{}, len(p.Values))
		for _, v := range p.Values {
			p.listed[string(canonical.AppendString(nil, v))] = struct{}{}
		}
		r.byName[p.Name] = &p
		r.names = append(r.names, p.Name)
	}
	slices.Sort(r.names)
	return r, nil
}

// Lookup returns the entry of a primitive, nil if it is not registered.
func (r *Registry) Lookup(name []byte) *Primitive { return r.byName[string(name)] }

// Kind returns the kind of a primitive; Unregistered if it has no entry.
func (r *Registry) Kind(name []byte) Kind {
	if p := r.byName[string(name)]; p != nil {
		return p.Kind
	}
	return Unregistered
}

// Group returns the evidence group of a primitive: primitives of one group tend
// to follow from one fact. One that is not registered, or has no group there, is
// a group by itself, named as it is.
func (r *Registry) Group(name string) string {
	if p := r.byName[name]; p != nil && p.Group != "" {
		return p.Group
	}
	return name
}

// maxLabel bounds the label of a primitive that is not registered, in bytes.
const maxLabel = 60

// Label returns what people call a primitive in a sentence: the registry's
// label, or else the last token of the name, without underscores.
func (r *Registry) Label(name string) string {
	if p := r.byName[name]; p != nil && p.Label != "" {
		return p.Label
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	return strings.ReplaceAll(last[:min(len(last), maxLabel)], "_", " ")
}

// Names returns the registered names, sorted.
func (r *Registry) Names() []string { return slices.Clone(r.names) }

// Fit says how a value stands to the registry.
type Fit uint8

// What Check answers.
const (
	Fits       Fit = iota
	OutOfRange     // legal but for the registry's list or minimum: counted
	Misfit         // of another kind: a bad record
)

// ErrKind is what a value that does not fit its primitive's kind gives.
var ErrKind = errors.New("value does not fit")

// Check says whether a value fits its primitive (docs/attribution.md,
// "Observation envelope"). The value is canonical.
func (r *Registry) Check(name []byte, v Value) (Kind, Fit) {
	p := r.byName[string(name)]
	if p == nil {
		return Unregistered, Fits
	}
	if !p.Kind.takes(v) {
		return p.Kind, Misfit
	}
	switch p.Kind {
	case Categorical:
		if v[0] == '"' && len(p.listed) > 0 {
			if _, ok := p.listed[string(v)]; !ok {
				return p.Kind, OutOfRange
			}
		}
	case Numeric:
		if p.Min != nil && isNumber(v) {
			if f, _ := number(v); f < *p.Min {
				return p.Kind, OutOfRange
			}
		}
	}
	return p.Kind, Fits
}

// takes reports whether a canonical value is of the kind.
func (k Kind) takes(v Value) bool {
	first := v[0]
	switch k {
	case Unregistered:
		return true
	case Numeric:
		return first != '"' && first != '[' && first != '{'
	case Hash:
		return first == '"' && len(v) > 2 || first == 'n'
	case Bool:
		return first == 't' || first == 'f' || first == 'n'
	case Array:
		return first == '[' || first == 'n'
	default: // Categorical, FreeString
		return first == '"' || first == 'n'
	}
}

func isNumber(v Value) bool { return v[0] == '-' || v[0] >= '0' && v[0] <= '9' }
