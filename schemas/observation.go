package schemas

import (
	"handprint/attribution"
	"handprint/internal/canonical"
	"handprint/schemas/avro"
)

// ObservationDecoder reads records of attacker.observation. It keeps buffers
// from record to record and allocates nothing once they have grown; it is for
// one goroutine. The zero value is ready.
type ObservationDecoder struct {
	// MaxBytes is the most bytes of a record that are taken; 0 means
	// DefaultMaxBytes.
	MaxBytes int
	// Writers are the schemas of Avro records; nil: JSON alone is taken.
	Writers *Writers

	slots   []avro.Value
	scanner canonical.Scanner
	fields  [fieldCount]field
	value   []byte // canonical text of the value
	text    []byte // decoded strings that had escapes
}

// The members of the envelope that are looked at.
const (
	fieldNone = iota
	fieldID
	fieldAttacker
	fieldPrimitive
	fieldValue
	fieldConfidence
	fieldWindowStart
	fieldWindowEnd
	fieldSource
	fieldEvidence
	fieldEnvelope
	fieldV
	fieldTS
	fieldIdentityRef
	fieldWindow
	fieldNestedStart
	fieldNestedEnd
	fieldCount
)

var fieldNames = [fieldCount]string{
	"", "id", "attacker_uuid", "primitive", "value", "confidence",
	"window_start_ts", "window_end_ts", "source", "evidence_ref",
	"envelope_v", "v", "ts", "identity_ref",
	"window", "window.start_ts", "window.end_ts",
}

func envelopeField(key []byte) int {
	switch string(key) {
	case "id":
		return fieldID
	case "attacker_uuid":
		return fieldAttacker
	case "primitive":
		return fieldPrimitive
	case "value":
		return fieldValue
	case "confidence":
		return fieldConfidence
	case "window_start_ts":
		return fieldWindowStart
	case "window_end_ts":
		return fieldWindowEnd
	case "source":
		return fieldSource
	case "evidence_ref":
		return fieldEvidence
	case "envelope_v":
		return fieldEnvelope
	case "v":
		return fieldV
	case "ts":
		return fieldTS
	case "identity_ref":
		return fieldIdentityRef
	case "window":
		return fieldWindow
	}
	return fieldNone
}

// Decode reads record into o. Everything that the envelope demands is checked
// but whether the value fits the kind of its primitive. The error is always a
// *Bad, and o is then undefined.
//
// The slices in o are parts of record or of the decoder: they are valid until
// the next Decode and as long as record does not change.
//
// Of members with the same name the last one counts, and only that one has to
// keep to the table; but all must be JSON, their numbers finite, unknown ones
// included. Where a record has its window both flat and nested, the flat
// numbers count; all must be numbers.
func (d *ObservationDecoder) Decode(record []byte, o *attribution.Observation) error {
	if IsAvro(record) {
		return d.decodeAvro(record, o)
	}
	s := &d.scanner
	if err := object(s, record, d.MaxBytes); err != nil {
		return err
	}
	for i := range d.fields {
		d.fields[i].token = canonical.NoToken
	}
	d.text = d.text[:0]
	for {
		key, ok, err := s.Member()
		if err != nil {
			return broken(s, "", err)
		}
		if !ok {
			break
		}
		i := envelopeField(key)
		switch i {
		case fieldNone:
			err = s.Skip()
		case fieldValue:
			d.fields[i].token = s.Peek()
			d.value, err = s.Value(d.value[:0])
		case fieldWindow:
			err = d.window()
		default:
			err = d.fields[i].scan(s)
		}
		if err != nil {
			return broken(s, fieldNames[i], err)
		}
	}
	if err := s.End(); err != nil {
		return broken(s, "", err)
	}
	return d.check(o)
}

// window reads the nested form of the window. What it is, if no object, is for
// check to say.
func (d *ObservationDecoder) window() error {
	s := &d.scanner
	d.fields[fieldNestedStart].token = canonical.NoToken
	d.fields[fieldNestedEnd].token = canonical.NoToken
	d.fields[fieldWindow].token = s.Peek()
	if d.fields[fieldWindow].token != canonical.ObjectToken {
		return s.Skip()
	}
	if err := s.Object(); err != nil {
		return err
	}
	for {
		key, ok, err := s.Member()
		if err != nil || !ok {
			return err
		}
		switch string(key) {
		case "start_ts":
			err = d.fields[fieldNestedStart].scan(s)
		case "end_ts":
			err = d.fields[fieldNestedEnd].scan(s)
		default:
			err = s.Skip()
		}
		if err != nil {
			return err
		}
	}
}

// check holds the fields to the table of the envelope and fills o.
func (d *ObservationDecoder) check(o *attribution.Observation) (err error) {
	if o.ID, err = d.optional(fieldID); err != nil {
		return err
	}
	if o.Attacker, err = d.required(fieldAttacker); err != nil {
		return err
	}
	if o.Primitive, err = d.required(fieldPrimitive); err != nil {
		return err
	}
	if !attribution.ValidPrimitive(o.Primitive) {
		return bad("primitive: not two or more tokens of a-z, 0-9 and _, joined by dots")
	}
	if d.fields[fieldValue].token == canonical.NoToken {
		return bad("value: missing")
	}
	o.Value = d.value
	if o.Evidence, err = d.required(fieldEvidence); err != nil {
		return err
	}
	if o.Source, err = d.optional(fieldSource); err != nil {
		return err
	}
	if o.IdentityRef, err = d.optional(fieldIdentityRef); err != nil {
		return err
	}
	if err = d.times(o); err != nil {
		return err
	}
	if o.Confidence, o.HasConfidence, err = d.number(fieldConfidence); err != nil {
		return err
	}
	if !(o.Confidence >= 0 && o.Confidence <= 1) {
		return bad("confidence: outside 0 to 1")
	}
	if err = d.version(fieldEnvelope); err != nil {
		return err
	}
	return d.version(fieldV)
}

func (d *ObservationDecoder) times(o *attribution.Observation) error {
	ts, ok, err := d.number(fieldTS)
	switch {
	case err != nil:
		return err
	case !ok && d.fields[fieldTS].token == canonical.NullToken:
		return bad("ts: null")
	case !ok:
		return bad("ts: missing")
	case ts < 0:
		return bad("ts: negative")
	}
	o.TS = ts
	if f := &d.fields[fieldWindow]; !f.absent() && f.token != canonical.ObjectToken {
		return f.not("window", "an object")
	}
	if o.WindowStart, err = d.either(fieldWindowStart, fieldNestedStart); err != nil {
		return err
	}
	o.WindowEnd, err = d.either(fieldWindowEnd, fieldNestedEnd)
	return err
}

// either returns the number of the flat field, or else of the nested one.
func (d *ObservationDecoder) either(flat, nested int) (float64, error) {
	n, _, err := d.number(nested)
	if err != nil {
		return 0, err
	}
	f, ok, err := d.number(flat)
	if err != nil || ok {
		return f, err
	}
	return n, nil
}

func (d *ObservationDecoder) version(i int) error {
	v, ok, err := d.number(i)
	if err == nil && ok && v != 1 {
		return bad(fieldNames[i] + ": unknown envelope version")
	}
	return err
}

func (d *ObservationDecoder) number(i int) (float64, bool, error) {
	return d.fields[i].number(fieldNames[i])
}

func (d *ObservationDecoder) optional(i int) (text []byte, err error) {
	text, d.text, err = d.fields[i].text(fieldNames[i], d.text)
	return text, err
}

func (d *ObservationDecoder) required(i int) (text []byte, err error) {
	text, d.text, err = d.fields[i].required(fieldNames[i], d.text)
	return text, err
}
