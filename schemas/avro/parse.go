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

// Parse reads a schema from its JSON.
func Parse(text []byte) (*Schema, error) {
	if len(text) > maxSchemaBytes {
		return nil, fmt.Errorf("avro: a schema of %d bytes, at most %d are read", len(text), maxSchemaBytes)
	}
	p := parser{named: make(map[string]*Schema)}
	s, err := p.parse(text, "", 0)
	if err != nil {
		return nil, fmt.Errorf("avro: %w", err)
	}
	return s, nil
}

type parser struct{ named map[string]*Schema }

// declaration is a schema that is written as an object.
type declaration struct {
	Type      json.RawMessage   `json:"type"`
	Name      string            `json:"name"`
	Namespace *string           `json:"namespace"`
	Doc       string            `json:"doc"`
	Fields    []json.RawMessage `json:"fields"`
	Symbols   []string          `json:"symbols"`
	Default   *string           `json:"default"`
	Items     json.RawMessage   `json:"items"`
	Values    json.RawMessage   `json:"values"`
	Size      int               `json:"size"`
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
	var head struct {
		Type json.RawMessage `json:"type"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, err
	}
	var kind string
	if json.Unmarshal(head.Type, &kind) != nil {
		return p.parse(head.Type, namespace, depth+1) // {"type": {...}}
	}
	switch kind {
	case "record", "error", "enum", "array", "map", "fixed":
	default:
		return p.lookup(kind, namespace) // a primitive with a logical type, or a name
	}
	var d declaration
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	return p.complex(kind, &d, namespace, depth)
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

func (p *parser) complex(kind string, d *declaration, namespace string, depth int) (s *Schema, err error) {
	switch kind {
	case "array":
		s = &Schema{Kind: Array}
		s.Items, err = p.parse(d.Items, namespace, depth+1)
		return s, err
	case "map":
		s = &Schema{Kind: Map}
		s.Items, err = p.parse(d.Values, namespace, depth+1)
		return s, err
	}
	if d.Namespace != nil {
		namespace = *d.Namespace
	}
	s = &Schema{Name: fullName(d.Name, namespace), Doc: d.Doc}
	if d.Name == "" {
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
		s.Kind, s.Symbols = Enum, d.Symbols
		if len(s.Symbols) == 0 || len(s.Symbols) > maxFields {
			return nil, fmt.Errorf("%.100s: %d symbols", s.Name, len(s.Symbols))
		}
		if d.Default != nil {
			s.Default, s.HasDefault = *d.Default, true
		}
		return s, nil
	case "fixed":
		s.Kind, s.Size = Fixed, d.Size
		if s.Size < 0 || s.Size > maxSchemaBytes {
			return nil, fmt.Errorf("%.100s: a fixed of %d bytes", s.Name, s.Size)
		}
		return s, nil
	}
	s.Kind = Record
	return s, p.fields(s, d.Fields, namespace, depth)
}

func (p *parser) fields(s *Schema, fields []json.RawMessage, namespace string, depth int) error {
	if len(fields) > maxFields {
		return fmt.Errorf("%.100s: %d fields", s.Name, len(fields))
	}
	seen := make(map[string]bool, len(fields))
	for _, text := range fields {
		var d struct {
			Name    string          `json:"name"`
			Aliases []string        `json:"aliases"`
			Doc     string          `json:"doc"`
			Type    json.RawMessage `json:"type"`
			Default json.RawMessage `json:"default"`
		}
		if err := json.Unmarshal(text, &d); err != nil {
			return fmt.Errorf("%.100s: a field: %w", s.Name, err)
		}
		if d.Name == "" || seen[d.Name] {
			return fmt.Errorf("%.100s: field %.100q is nameless or there twice", s.Name, d.Name)
		}
		seen[d.Name] = true
		typ, err := p.parse(d.Type, namespace, depth+1)
		if err != nil {
			return fmt.Errorf("field %.100s: %w", d.Name, err)
		}
		s.Fields = append(s.Fields, Field{Name: d.Name, Aliases: d.Aliases, Doc: d.Doc, Type: typ, Default: d.Default})
	}
	return nil
}

func fullName(name, namespace string) string {
	if namespace == "" || strings.IndexByte(name, '.') >= 0 {
		return name
	}
	return namespace + "." + name
}
