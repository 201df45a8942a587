package schemas

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"handprint/internal/canonical"
	"handprint/schemas/avro"
)

// avroRecord decodes the body of an Avro record into slots, which are made if
// they are nil.
func (w *Writers) avroRecord(record []byte, as Contract, slots []avro.Value) ([]avro.Value, error) {
	plan, err := w.plan(record, as)
	if err != nil {
		return slots, err
	}
	if slots == nil {
		slots = plan.Slots()
	}
	if err := plan.Decode(record[wireHeader:], slots); err != nil {
		return slots, bad("Avro: " + err.Error())
	}
	return slots, nil
}

// fromAvro takes a decoded value as if it had been read from JSON, so that both
// are held to the same rules.
func (f *field) fromAvro(v *avro.Value, name string) error {
	f.escaped, f.raw, f.num = false, nil, 0
	switch v.Kind {
	case avro.TextValue:
		f.token, f.raw = canonical.StringToken, v.Raw
	case avro.LongValue:
		f.token, f.num = canonical.NumberToken, float64(v.Long)
	case avro.FloatValue:
		if math.IsNaN(v.Float) || math.IsInf(v.Float, 0) {
			return bad(name + ": not finite")
		}
		f.token, f.num = canonical.NumberToken, v.Float
	case avro.BoolValue:
		f.token, f.raw = canonical.BoolToken, strconv.AppendBool(nil, v.Long != 0)
	default:
		f.token = canonical.NullToken
	}
	return nil
}

// jsonText appends the canonical form of the JSON text that a field of an Avro
// record holds.
func jsonText(dst []byte, text []byte, name string) ([]byte, error) {
	out, rest, err := canonical.Append(dst, text)
	switch {
	case errors.Is(err, canonical.ErrNotFinite):
		return dst, bad(name + ": not finite")
	case errors.Is(err, canonical.ErrTooDeep):
		return dst, bad(name + ": " + err.Error())
	case err != nil:
		return dst, bad(fmt.Sprintf("%s: not JSON text: %v at byte %d", name, err, len(text)-len(rest)))
	}
	for _, c := range rest {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return dst, bad(fmt.Sprintf("%s: not JSON text: more after the value at byte %d", name, len(text)-len(rest)))
		}
	}
	return out, nil
}

// fromAvro takes the texts of an Avro array as scan takes those of JSON.
func (l *list) fromAvro(v *avro.Value, name string) {
	l.read, l.problem, l.token = nil, nil, canonical.NullToken
	if v.Kind != avro.ListValue {
		return
	}
	l.token = canonical.ArrayToken
	seen := make(map[string]struct{})
	for i, text := range v.List {
		if len(text) == 0 {
			l.problem = bad(fmt.Sprintf("%s[%d]: empty", name, i))
			return
		}
		if _, twice := seen[string(text)]; !twice {
			id := string(text)
			seen[id] = struct{}{}
			l.read = append(l.read, id)
		}
	}
}
