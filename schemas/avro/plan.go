package avro

import (
	"encoding/json"
	"fmt"
)

// ValueKind says what a slot holds.
type ValueKind uint8

// What a slot may hold.
const (
	Absent      ValueKind = iota // not looked at yet, never after Decode
	NullValue                    // null
	BoolValue                    // Long is 0 or 1
	LongValue                    // Long
	FloatValue                   // Float
	TextValue                    // Raw: string, bytes, or the symbol of an enum
	ListValue                    // List, or Records
	RecordValue                  // Fields
)

// Value is a field of a record. Raw and the elements of List are parts of the
// record.
type Value struct {
	Kind    ValueKind
	Long    int64
	Float   float64
	Raw     []byte
	List    [][]byte  // of an array of texts
	Records [][]Value // of an array of records: their fields, as Fields has them
	Fields  []Value   // of a record, in the order of the reader's schema
}

// Number returns a long or a float as a double, and whether it is one of them.
func (v *Value) Number() (float64, bool) {
	switch v.Kind {
	case LongValue:
		return float64(v.Long), true
	case FloatValue:
		return v.Float, true
	}
	return 0, false
}

// Plan reads records that were written by one schema as another one. It does
// not change, and any number of goroutines may use it.
type Plan struct {
	steps    []step
	defaults []Value // by slot; Absent where the writer has the field
	names    []string
	problems []string
}

// step reads one field of the writer.
type step struct {
	slot int // -1: nobody wants it
	name string
	node *node
}

// node reads one type of the writer.
type node struct {
	kind     Kind
	writer   *Schema  // what to skip, if skip is set
	skip     bool     // read and forgotten
	text     bool     // must be UTF-8
	float    bool     // a number that is wanted as a double
	branches []*node  // of a union
	symbols  [][]byte // of an enum: what each reads as, nil if the reader has nothing for it
	items    *node
	record   *Plan  // of a record
	problem  string // set: cannot be read
}

// Compile works out how records of writer are read as reader, which must be a
// record that does not contain itself: its fields are primitive, enums, records,
// arrays of texts or records, or unions of null and one of these. The error says
// what keeps every record from being read; what keeps only some of them is in
// Problems.
func Compile(writer, reader *Schema) (*Plan, error) {
	if writer.Kind != Record {
		return nil, fmt.Errorf("a %v, not a record", writer.Kind)
	}
	p := &Plan{defaults: make([]Value, len(reader.Fields))}
	found := make([]bool, len(reader.Fields))
	for i := range writer.Fields {
		w := &writer.Fields[i]
		s := step{slot: slotOf(w.Name, reader), name: w.Name}
		if s.slot >= 0 && found[s.slot] {
			s.slot = -1 // by an alias; the first one counts
		}
		if s.slot < 0 {
			s.node = &node{writer: w.Type, skip: true}
			p.steps = append(p.steps, s)
			continue
		}
		found[s.slot] = true
		s.name = reader.Fields[s.slot].Name
		if s.node = p.resolve(w.Type, reader.Fields[s.slot].Type, s.name); s.node.problem != "" {
			return nil, fmt.Errorf("%s: %s", s.name, s.node.problem)
		}
		p.steps = append(p.steps, s)
	}
	for i := range reader.Fields {
		r := &reader.Fields[i]
		p.names = append(p.names, r.Name)
		if found[i] {
			continue
		}
		if r.Default == nil {
			return nil, fmt.Errorf("%s: the schema does not have it, and it has no default", r.Name)
		}
		v, err := defaultValue(r)
		if err != nil {
			return nil, err
		}
		p.defaults[i] = v
	}
	return p, nil
}

// Problems lists what some records of the writer may hold that cannot be read.
func (p *Plan) Problems() []string { return p.problems }

func slotOf(name string, reader *Schema) int {
	for i := range reader.Fields {
		if reader.Fields[i].Name == name {
			return i
		}
	}
	for i := range reader.Fields {
		for _, alias := range reader.Fields[i].Aliases {
			if alias == name {
				return i
			}
		}
	}
	return -1
}

// resolve returns how a value of w is read as r.
func (p *Plan) resolve(w, r *Schema, field string) *node {
	if w.Kind == Union {
		n := &node{kind: Union}
		readable := false
		for _, b := range w.Branches {
			branch := p.resolve(b, r, field)
			n.branches = append(n.branches, branch)
			if branch.problem == "" {
				readable = true
			} else {
				p.problems = append(p.problems, field+": "+branch.problem)
			}
		}
		if !readable {
			n.problem = n.branches[0].problem
		}
		return n
	}
	if r.Kind == Union {
		// The first branch that fits counts; of the same kind before promoted.
		for _, b := range r.Branches {
			if b.Kind == w.Kind {
				return p.resolve(w, b, field)
			}
		}
		for _, b := range r.Branches {
			if n := p.resolve(w, b, field); n.problem == "" {
				return n
			}
		}
		return &node{problem: fmt.Sprintf("%v, which the reader's union does not have", w.Kind)}
	}
	n := &node{kind: w.Kind}
	switch {
	case r.Kind == Double && (w.Kind == Int || w.Kind == Long || w.Kind == Float || w.Kind == Double):
		n.float = true
	case r.Kind == Float && (w.Kind == Int || w.Kind == Long || w.Kind == Float):
		n.float = true
	case r.Kind == Long && (w.Kind == Int || w.Kind == Long):
	case r.Kind == String && (w.Kind == String || w.Kind == Bytes):
		n.text = true
	case r.Kind == Bytes && (w.Kind == String || w.Kind == Bytes):
	case r.Kind == Enum && w.Kind == Enum:
		p.enum(n, w, r, field)
	case r.Kind == Array && w.Kind == Array:
		if n.items = p.resolve(w.Items, r.Items, field); n.items.problem != "" {
			n.problem = n.items.problem
		}
	case r.Kind == Record && w.Kind == Record:
		var err error
		if n.record, err = Compile(w, r); err != nil {
			n.problem = err.Error()
			break
		}
		for _, problem := range n.record.problems {
			p.problems = append(p.problems, field+": "+problem)
		}
	case r.Kind == w.Kind && r.Kind <= Int:
	default:
		n.problem = fmt.Sprintf("%v, which does not read as %v", w.Kind, r.Kind)
	}
	return n
}

func (p *Plan) enum(n *node, w, r *Schema, field string) {
	have := make(map[string]bool, len(r.Symbols))
	for _, s := range r.Symbols {
		have[s] = true
	}
	for _, s := range w.Symbols {
		switch {
		case have[s]:
			n.symbols = append(n.symbols, []byte(s))
		case r.HasDefault:
			n.symbols = append(n.symbols, []byte(r.Default))
		default:
			n.symbols = append(n.symbols, nil)
			p.problems = append(p.problems, fmt.Sprintf("%s: symbol %s, which the reader does not have", field, s))
		}
	}
}

// defaultValue reads the default of a field that the writer does not have. Of a
// union it belongs to the first branch.
func defaultValue(f *Field) (Value, error) {
	t := f.Type
	if t.Kind == Union {
		t = t.Branches[0]
	}
	var err error
	v := Value{Kind: NullValue}
	switch t.Kind {
	case Null:
	case Boolean:
		var b bool
		v.Kind = BoolValue
		if err = json.Unmarshal(f.Default, &b); b {
			v.Long = 1
		}
	case Int, Long:
		v.Kind = LongValue
		err = json.Unmarshal(f.Default, &v.Long)
	case Float, Double:
		v.Kind = FloatValue
		err = json.Unmarshal(f.Default, &v.Float)
	case String, Enum:
		var s string
		v.Kind = TextValue
		err = json.Unmarshal(f.Default, &s)
		v.Raw = []byte(s)
	case Array:
		var list []string
		v.Kind = ListValue
		err = json.Unmarshal(f.Default, &list)
		for _, s := range list {
			v.List = append(v.List, []byte(s))
		}
	default:
		err = fmt.Errorf("defaults of %v are not read", t.Kind)
	}
	if err != nil {
		return v, fmt.Errorf("%s: its default: %w", f.Name, err)
	}
	return v, nil
}
