package avro

import (
	"encoding/json"
	"slices"
)

// Kind is the kind of a schema.
type Kind uint8

// The kinds, in the order of the specification.
const (
	Null Kind = iota
	Boolean
	Int
	Long
	Float
	Double
	Bytes
	String
	Record
	Enum
	Array
	Map
	Union
	Fixed
)

var kindNames = [...]string{"null", "boolean", "int", "long", "float", "double", "bytes", "string", "record", "enum", "array", "map", "union", "fixed"}

// String returns the word of the specification.
func (k Kind) String() string { return kindNames[k] }

// Schema is a parsed schema. A schema that names itself is its own descendant.
type Schema struct {
	Kind Kind
	Name string // full name, of records, enums and fixed
	Doc  string

	Fields     []Field   // of a record
	Symbols    []string  // of an enum
	Default    string    // of an enum; empty: none
	HasDefault bool      // of an enum
	Items      *Schema   // of an array; of a map, its values
	Branches   []*Schema // of a union
	Size       int       // of a fixed
}

// WriteAlike reports whether two schemas make the same bytes of the same value,
// and call its parts by the same names. Only b may name itself.
func WriteAlike(a, b *Schema) bool {
	if a.Kind != b.Kind || a.Size != b.Size || len(a.Fields) != len(b.Fields) || len(a.Branches) != len(b.Branches) || !slices.Equal(a.Symbols, b.Symbols) {
		return false
	}
	for i := range a.Fields {
		if a.Fields[i].Name != b.Fields[i].Name || !WriteAlike(a.Fields[i].Type, b.Fields[i].Type) {
			return false
		}
	}
	for i := range a.Branches {
		if !WriteAlike(a.Branches[i], b.Branches[i]) {
			return false
		}
	}
	return a.Items == nil || WriteAlike(a.Items, b.Items)
}

// Field is a field of a record.
type Field struct {
	Name    string
	Aliases []string
	Doc     string
	Type    *Schema
	Default json.RawMessage // nil: none
}
