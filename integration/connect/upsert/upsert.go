// Package upsert follows a table topic as a sink that upserts by key does: a
// record with a value puts the row of its key, one without deletes it. It
// stands for other people's software, so it knows the topic only by its
// documentation: JSON, or Avro with its schema in a registry. It imports nothing
// of handprint.
package upsert

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

// Decoder decodes values: JSON, or Avro behind a zero byte and the id of its
// schema in 4 bytes. Codecs are kept by id.
type Decoder struct {
	registry *sr.Client
	codecs   map[int]*goavro.Codec
}

// NewDecoder makes a Decoder that asks the registry at an address. Without one
// it decodes JSON only.
func NewDecoder(registry string) (*Decoder, error) {
	d := &Decoder{codecs: make(map[int]*goavro.Codec)}
	if registry != "" {
		cl, err := sr.NewClient(sr.URLs(registry))
		if err != nil {
			return nil, err
		}
		d.registry = cl
	}
	return d, nil
}

// Decode returns a value as encoding/json has it. Values of Avro's unions are
// not wrapped in the names of their types.
func (d *Decoder) Decode(ctx context.Context, value []byte) (map[string]any, error) {
	if value[0] != 0 {
		var row map[string]any
		if err := json.Unmarshal(value, &row); err != nil {
			return nil, err
		}
		return row, nil
	}
	if d.registry == nil || len(value) < 5 {
		return nil, fmt.Errorf("a record of %d bytes is no JSON", len(value))
	}
	codec, err := d.codec(ctx, int(binary.BigEndian.Uint32(value[1:5])))
	if err != nil {
		return nil, err
	}
	native, rest, err := codec.NativeFromBinary(value[5:])
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes behind the record", len(rest))
	}
	row := native.(map[string]any)
	for name, v := range row {
		// A value of a union with null comes as a map of its type's name to it.
		if union, ok := v.(map[string]any); ok {
			for inner := range maps.Values(union) {
				row[name] = inner
			}
		}
		switch n := row[name].(type) {
		case int64:
			row[name] = float64(n)
		case int32:
			row[name] = float64(n)
		}
	}
	return row, nil
}

func (d *Decoder) codec(ctx context.Context, id int) (*goavro.Codec, error) {
	if c := d.codecs[id]; c != nil {
		return c, nil
	}
	schema, err := d.registry.SchemaByID(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("schema %d: %w", id, err)
	}
	c, err := goavro.NewCodec(schema.Schema)
	if err != nil {
		return nil, fmt.Errorf("schema %d: %w", id, err)
	}
	d.codecs[id] = c
	return c, nil
}

// Table is what has been put and not deleted, by key.
type Table struct {
	Rows          map[string]map[string]any
	Puts, Deletes int

	decoder *Decoder
}

// NewTable makes an empty table.
func NewTable(d *Decoder) *Table {
	return &Table{Rows: make(map[string]map[string]any), decoder: d}
}

// Follow does what a record says.
func (t *Table) Follow(ctx context.Context, r *kgo.Record) error {
	key := string(r.Key)
	if r.Value == nil {
		t.Deletes++
		delete(t.Rows, key)
		return nil
	}
	row, err := t.decoder.Decode(ctx, r.Value)
	if err != nil {
		return fmt.Errorf("%s[%d] offset %d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	if _, avro := row["current_value_number"]; avro {
		if err := plain(row); err != nil {
			return fmt.Errorf("%s[%d] offset %d: %w", r.Topic, r.Partition, r.Offset, err)
		}
	}
	t.Puts++
	t.Rows[key] = row
	return nil
}

// plain makes of a row that came in Avro what it is in JSON: current_value is
// JSON in a string there, and is given once more if it is a number.
func plain(row map[string]any) error {
	text, ok := row["current_value"].(string)
	if !ok {
		return fmt.Errorf("current_value is a %T", row["current_value"])
	}
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return fmt.Errorf("current_value: %w", err)
	}
	if number, is := value.(float64); is != (row["current_value_number"] != nil) || is && row["current_value_number"] != number {
		return fmt.Errorf("current_value is %s, current_value_number %v", text, row["current_value_number"])
	}
	row["current_value"] = value
	delete(row, "current_value_number")
	return nil
}
