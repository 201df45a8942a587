package asyncapi

import (
	"encoding/json"
	"fmt"

	"handprint/schemas"
)

// avroField is what of a field of an Avro schema says how it is in JSON.
type avroField struct {
	Name    string          `json:"name"`
	Type    json.RawMessage `json:"type"`
	Default json.RawMessage `json:"default"`
	Doc     string          `json:"doc"`
}

// Fields that hold JSON as text in Avro are that JSON itself in JSON; their
// number beside them has no place there.
var (
	anyValue = map[string]string{
		"value":         "What was observed: any JSON value.",
		"current_value": "Value of the row: any JSON value, canonical.",
	}
	anyOptional = map[string]string{
		"previous_value": "What a row that drifts drifted from; of any other row, its value before: any JSON value, canonical.",
	}
	anyList = map[string]string{
		"values": "The values, the most frequent first, at most 8: each any JSON value, canonical.",
	}
	avroOnly = map[string]bool{"current_value_number": true}
)

// jsonSchema derives the JSON Schema of a contract's records from its Avro
// schema: the same names, and the types that JSON has for them.
func jsonSchema(c schemas.Contract) (object, error) {
	return recordSchema([]byte(c.Schema()), make(map[string]object))
}

// recordSchema is jsonSchema of an Avro record; named are the types that are
// defined before it.
func recordSchema(text []byte, named map[string]object) (object, error) {
	var record struct {
		Doc    string      `json:"doc"`
		Fields []avroField `json:"fields"`
	}
	if err := json.Unmarshal(text, &record); err != nil {
		return nil, fmt.Errorf("its Avro schema: %w", err)
	}
	var properties object
	var required []string
	for _, f := range record.Fields {
		if avroOnly[f.Name] {
			continue
		}
		if doc, is := anyValue[f.Name]; is {
			properties = append(properties, member(f.Name, object{member("description", doc)}))
			required = append(required, f.Name)
			continue
		}
		if doc, is := anyOptional[f.Name]; is {
			properties = append(properties, member(f.Name, object{member("description", doc)}))
			continue
		}
		if doc, is := anyList[f.Name]; is {
			properties = append(properties, member(f.Name, object{member("type", "array"), member("description", doc)}))
			continue
		}
		schema, err := jsonType(f.Type, named)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
		properties = append(properties, member(f.Name, append(schema, member("description", f.Doc))))
		if f.Default == nil {
			required = append(required, f.Name)
		}
	}
	schema := object{member("type", "object"), member("description", record.Doc)}
	if len(required) > 0 {
		schema = append(schema, member("required", required))
	}
	return append(schema, member("properties", properties)), nil
}

// jsonType is the JSON Schema of an Avro type.
func jsonType(text json.RawMessage, named map[string]object) (object, error) {
	var name string
	if json.Unmarshal(text, &name) == nil {
		switch name {
		case "string":
			return object{member("type", "string")}, nil
		case "int", "long":
			return object{member("type", "integer")}, nil
		case "double":
			return object{member("type", "number")}, nil
		case "boolean":
			return object{member("type", "boolean")}, nil
		}
		if named[name] != nil {
			return append(object(nil), named[name]...), nil
		}
		return nil, fmt.Errorf("JSON has no form for the Avro type %s", name)
	}
	var union []json.RawMessage
	if json.Unmarshal(text, &union) == nil {
		if len(union) != 2 || string(union[0]) != `"null"` {
			return nil, fmt.Errorf("a union that is not of null and one other: %s", text)
		}
		schema, err := jsonType(union[1], named)
		if err != nil {
			return nil, err
		}
		return orNull(schema), nil
	}
	var complex struct {
		Type    string
		Name    string
		Symbols []string
		Items   json.RawMessage
	}
	if err := json.Unmarshal(text, &complex); err != nil {
		return nil, err
	}
	switch complex.Type {
	case "enum":
		named[complex.Name] = object{member("type", "string"), member("enum", complex.Symbols)}
		return append(object(nil), named[complex.Name]...), nil
	case "record":
		return recordSchema(text, named)
	case "array":
		items, err := jsonType(complex.Items, named)
		if err != nil {
			return nil, err
		}
		return object{member("type", "array"), member("items", items)}, nil
	}
	return nil, fmt.Errorf("JSON has no form for the Avro type %s", complex.Type)
}

// orNull allows null besides what a schema allows.
func orNull(schema object) object {
	out := make(object, len(schema))
	for i, item := range schema {
		switch v := item.Value.(type) {
		case string:
			if item.Key == "type" {
				item.Value = []string{v, "null"}
			}
		case []string:
			if item.Key == "enum" {
				symbols := make([]any, 0, len(v)+1)
				for _, s := range v {
					symbols = append(symbols, s)
				}
				item.Value = append(symbols, nil)
			}
		}
		out[i] = item
	}
	return out
}
