package avro

import (
	"fmt"
	"unicode/utf8"
)

// Slots returns room for the fields of one record, in the order of the reader's
// schema.
func (p *Plan) Slots() []Value { return make([]Value, len(p.names)) }

// Error is what is wrong with the bytes of a record.
type Error struct {
	Field   string // empty: none in particular
	Problem string
}

// Error returns the field and what is wrong with it.
func (e *Error) Error() string {
	if e.Field == "" {
		return e.Problem
	}
	return e.Field + ": " + e.Problem
}

// Decode reads a record into slots, which Slots has made. Slices in them are
// parts of record. The error is always an *Error, and slots are then undefined.
func (p *Plan) Decode(record []byte, slots []Value) error {
	in := input{b: record}
	if err := p.decode(&in, slots); err != nil {
		return err
	}
	if n := in.left(); n > 0 {
		return &Error{"", fmt.Sprintf("%d bytes behind the record's end", n)}
	}
	return nil
}

// decode reads one record. The error is always an *Error.
func (p *Plan) decode(in *input, slots []Value) error {
	for i := range p.defaults {
		d := &p.defaults[i]
		s := &slots[i]
		s.Kind, s.Long, s.Float, s.Raw = d.Kind, d.Long, d.Float, d.Raw
		s.List, s.Records = append(s.List[:0], d.List...), nil
	}
	for i := range p.steps {
		s := &p.steps[i]
		var err error
		if s.slot < 0 {
			err = in.skip(s.node.writer, 0)
		} else {
			err = in.read(s.node, &slots[s.slot])
		}
		if err != nil {
			return &Error{s.name, err.Error()}
		}
	}
	return nil
}

func (in *input) read(n *node, v *Value) (err error) {
	if n.problem != "" {
		return fmt.Errorf("%s", n.problem)
	}
	switch n.kind {
	case Union:
		i, err := in.long()
		switch {
		case err != nil:
			return err
		case i < 0 || i >= int64(len(n.branches)):
			return errBranch
		}
		return in.read(n.branches[i], v)
	case Null:
		v.Kind = NullValue
	case Boolean:
		var b bool
		v.Kind, v.Long = BoolValue, 0
		if b, err = in.boolean(); b {
			v.Long = 1
		}
	case Int:
		v.Kind = LongValue
		v.Long, err = in.int()
	case Long:
		v.Kind = LongValue
		v.Long, err = in.long()
	case Float:
		v.Kind = FloatValue
		v.Float, err = in.float()
	case Double:
		v.Kind = FloatValue
		v.Float, err = in.double()
	case String, Bytes:
		v.Kind = TextValue
		v.Raw, err = in.text()
		if err == nil && n.text && !utf8.Valid(v.Raw) {
			err = errUTF8
		}
	case Enum:
		var i int64
		v.Kind = TextValue
		i, err = in.int()
		if err == nil && (i < 0 || i >= int64(len(n.symbols)) || n.symbols[i] == nil) {
			return errSymbol
		}
		if err == nil {
			v.Raw = n.symbols[i]
		}
	case Array:
		v.Kind = ListValue
		err = in.list(n.items, v)
	case Record:
		v.Kind, v.Fields = RecordValue, n.record.Slots()
		err = n.record.decode(in, v.Fields)
	}
	if n.float && v.Kind == LongValue {
		v.Kind, v.Float = FloatValue, float64(v.Long)
	}
	return err
}

// maxRecords bounds the records of an array: each takes more memory than the
// bytes that it may be written in.
const maxRecords = 1 << 14

// list reads an array of texts or records. It makes room for an item when the
// item is there: a count by itself costs nothing.
func (in *input) list(items *node, v *Value) error {
	v.List, v.Records = v.List[:0], nil
	var element Value
	for {
		count, err := in.block()
		if err != nil || count == 0 {
			return err
		}
		for ; count > 0; count-- {
			if in.work++; in.work > maxWork+len(in.b) { // items may take no bytes
				return errWork
			}
			if err := in.read(items, &element); err != nil {
				return err
			}
			if element.Kind == RecordValue {
				if len(v.Records) == maxRecords {
					return errRecords
				}
				v.Records = append(v.Records, element.Fields)
			} else {
				v.List = append(v.List, element.Raw)
			}
		}
	}
}

// Bounds on what is skipped: how deep a value nests, and how many values there
// are beyond one for each byte.
const (
	maxDepth = 64
	maxWork  = 1 << 16
)

// skip passes over a value of any type.
func (in *input) skip(s *Schema, depth int) (err error) {
	// A schema may describe much that takes no bytes; what is done for it is
	// bounded by the record all the same.
	if in.work++; in.work > maxWork+len(in.b) {
		return errWork
	}
	if depth > maxDepth {
		return errDeep
	}
	switch s.Kind {
	case Null:
	case Boolean:
		_, err = in.boolean()
	case Int, Long:
		_, err = in.long()
	case Enum:
		var i int64
		if i, err = in.int(); err == nil && (i < 0 || i >= int64(len(s.Symbols))) {
			err = errSymbol
		}
	case Float:
		_, err = in.float()
	case Double:
		_, err = in.double()
	case Bytes, String:
		_, err = in.text()
	case Fixed:
		_, err = in.take(int64(s.Size))
	case Union:
		var i int64
		if i, err = in.long(); err != nil {
			return err
		}
		if i < 0 || i >= int64(len(s.Branches)) {
			return errBranch
		}
		return in.skip(s.Branches[i], depth+1)
	case Record:
		for i := range s.Fields {
			if err := in.skip(s.Fields[i].Type, depth+1); err != nil {
				return err
			}
		}
	case Array, Map:
		return in.skipBlocks(s, depth)
	}
	return err
}

func (in *input) skipBlocks(s *Schema, depth int) error {
	for {
		count, err := in.block()
		if err != nil || count == 0 {
			return err
		}
		for ; count > 0; count-- {
			if s.Kind == Map {
				if _, err := in.text(); err != nil {
					return err
				}
			}
			if err := in.skip(s.Items, depth+1); err != nil {
				return err
			}
		}
	}
}
