package avro

import "encoding/json"

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

// Field is a field of a record.
type Field struct {
	Name    string
	Aliases []string
	Doc     string
	Type    *Schema
	Default json.RawMessage // nil: none
}
