package avro

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Bounds on what is taken for a schema: it comes from a registry that others
// write to.
const (
	maxSchemaBytes = 1 << 20
	maxSchemaDepth = 32
	maxFields      = 4096
)

// Parse reads a schema from its JSON. The types that it names without defining
// them are the types of references; each may name the ones before it.
func Parse(text []byte, references ...[]byte) (*Schema, error) {
	size := len(text)
	for _, r := range references {
		size += len(r)
	}
	if size > maxSchemaBytes {
		return nil, fmt.Errorf("avro: a schema of %d bytes, at most %d are read", size, maxSchemaBytes)
	}
	p := parser{named: make(map[string]*Schema)}
	for _, r := range references {
		if _, err := p.parse(r, "", 0); err != nil {
			return nil, fmt.Errorf("avro: what it refers to: %w", err)
		}
	}
	s, err := p.parse(text, "", 0)
	if err != nil {
		return nil, fmt.Errorf("avro: %w", err)
	}
	return s, nil
}

type parser struct{ named map[string]*Schema }

// declaration is a schema or a field that is written as an object. What its
// kind has no use for may be anything: others keep notes of their own there.
// (encoding/json would take "Default" for "default" in a struct, and fail where
// a note has another type.)
type declaration map[string]json.RawMessage

// get reads an attribute. What is not there, or null, leaves into as it is.
func (d declaration) get(name string, into any) error {
	text := d[name]
	if text == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// doc is for people: a wrong one is none.
func (d declaration) doc() (text string) {
	_ = d.get("doc", &text)
	return text
}

func (p *parser) parse(text []byte, namespace string, depth int) (*Schema, error) {
	if depth > maxSchemaDepth {
		return nil, fmt.Errorf("a schema nested more than %d deep", maxSchemaDepth)
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return nil, errors.New("a schema is missing")
	}
	switch text[0] {
	case '"':
		var name string
		if err := json.Unmarshal(text, &name); err != nil {
			return nil, err
		}
		return p.lookup(name, namespace)
	case '[':
		return p.union(text, namespace, depth)
	case '{':
	default:
		return nil, fmt.Errorf("no schema: %.40q", text)
	}
	var d declaration
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	var kind string
	if json.Unmarshal(d["type"], &kind) != nil {
		return p.parse(d["type"], namespace, depth+1) // {"type": {...}}
	}
	switch kind {
	case "record", "error", "enum", "array", "map", "fixed":
	default:
		return p.lookup(kind, namespace) // a primitive with a logical type, or a name
	}
	return p.complex(kind, d, namespace, depth)
}

func (p *parser) lookup(name, namespace string) (*Schema, error) {
	for k, word := range kindNames[:Record] {
		if word == name {
			return &Schema{Kind: Kind(k)}, nil
		}
	}
	if s := p.named[fullName(name, namespace)]; s != nil {
		return s, nil
	}
	if s := p.named[name]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("unknown type %.100q", name)
}

func (p *parser) union(text []byte, namespace string, depth int) (*Schema, error) {
	var parts []json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil {
		return nil, err
	}
	if len(parts) == 0 || len(parts) > maxFields {
		return nil, fmt.Errorf("a union of %d types", len(parts))
	}
	s := &Schema{Kind: Union}
	for _, part := range parts {
		branch, err := p.parse(part, namespace, depth+1)
		if err != nil {
			return nil, err
		}
		if branch.Kind == Union {
			return nil, errors.New("a union in a union")
		}
		s.Branches = append(s.Branches, branch)
	}
	return s, nil
}

func (p *parser) complex(kind string, d declaration, namespace string, depth int) (s *Schema, err error) {
	switch kind {
	case "array":
		s = &Schema{Kind: Array}
		s.Items, err = p.parse(d["items"], namespace, depth+1)
		return s, err
	case "map":
		s = &Schema{Kind: Map}
		s.Items, err = p.parse(d["values"], namespace, depth+1)
		return s, err
	}
	name := ""
	if err := errors.Join(d.get("name", &name), d.get("namespace", &namespace)); err != nil {
		return nil, fmt.Errorf("a %s: %w", kind, err)
	}
	s = &Schema{Name: fullName(name, namespace), Doc: d.doc()}
	if name == "" {
		return nil, fmt.Errorf("a %s without a name", kind)
	}
	if p.named[s.Name] != nil {
		return nil, fmt.Errorf("%.100s is defined twice", s.Name)
	}
	p.named[s.Name] = s
	if i := strings.LastIndexByte(s.Name, '.'); i >= 0 {
		namespace = s.Name[:i]
	}
	switch kind {
	case "enum":
		s.Kind = Enum
		var other *string
		if err := errors.Join(d.get("symbols", &s.Symbols), d.get("default", &other)); err != nil {
			return nil, fmt.Errorf("%.100s: %w", s.Name, err)
		}
		if len(s.Symbols) == 0 || len(s.Symbols) > maxFields {
			return nil, fmt.Errorf("%.100s: %d symbols", s.Name, len(s.Symbols))
		}
		if other != nil {
			s.Default, s.HasDefault = *other, true
		}
		return s, nil
	case "fixed":
		s.Kind = Fixed
		if err := d.get("size", &s.Size); err != nil {
			return nil, fmt.Errorf("%.100s: %w", s.Name, err)
		}
		if s.Size < 0 || s.Size > maxSchemaBytes {
			return nil, fmt.Errorf("%.100s: a fixed of %d bytes", s.Name, s.Size)
		}
		return s, nil
	}
	s.Kind = Record
	var fields []declaration
	if err := d.get("fields", &fields); err != nil {
		return nil, fmt.Errorf("%.100s: %w", s.Name, err)
	}
	return s, p.fields(s, fields, namespace, depth)
}

func (p *parser) fields(s *Schema, fields []declaration, namespace string, depth int) error {
	if len(fields) > maxFields {
		return fmt.Errorf("%.100s: %d fields", s.Name, len(fields))
	}
	seen := make(map[string]bool, len(fields))
	for _, d := range fields {
		f := Field{Doc: d.doc(), Default: d["default"]}
		if err := errors.Join(d.get("name", &f.Name), d.get("aliases", &f.Aliases)); err != nil {
			return fmt.Errorf("%.100s: a field: %w", s.Name, err)
		}
		if f.Name == "" || seen[f.Name] {
			return fmt.Errorf("%.100s: field %.100q is nameless or there twice", s.Name, f.Name)
		}
		seen[f.Name] = true
		typ, err := p.parse(d["type"], namespace, depth+1)
		if err != nil {
			return fmt.Errorf("field %.100s: %w", f.Name, err)
		}
		f.Type = typ
		s.Fields = append(s.Fields, f)
	}
	return nil
}

func fullName(name, namespace string) string {
	if namespace == "" || strings.IndexByte(name, '.') >= 0 {
		return name
	}
	return namespace + "." + name
}
