package schemas

import (
	"handprint/attribution"
	"handprint/internal/canonical"
)

// avroObservation are the fields of an observation in the order of its schema.
var avroObservation = [...]int{
	fieldID, fieldAttacker, fieldPrimitive, fieldValue, fieldConfidence, fieldWindowStart, fieldWindowEnd,
	fieldSource, fieldEvidence, fieldEnvelope, fieldTS, fieldIdentityRef,
}

// decodeAvro is Decode for Avro. What the fields hold is judged by check, as
// for JSON.
func (d *ObservationDecoder) decodeAvro(record []byte, o *attribution.Observation) (err error) {
	if err := sized(record, d.MaxBytes); err != nil {
		return err
	}
	if d.slots, err = d.Writers.avroRecord(record, ObservationContract, d.slots); err != nil {
		return err
	}
	for i := range d.fields {
		d.fields[i].token = canonical.NoToken
	}
	for slot, i := range avroObservation {
		if i == fieldValue {
			d.fields[i].token = canonical.StringToken // any: it is there
			d.value, err = jsonText(d.value[:0], d.slots[slot].Raw, fieldNames[i])
		} else {
			err = d.fields[i].fromAvro(&d.slots[slot], fieldNames[i])
		}
		if err != nil {
			return err
		}
	}
	d.text = d.text[:0]
	return d.check(o)
}

// readAvro is read for Avro.
func (f *eventFields) readAvro(w *Writers, record []byte, limit int) error {
	if err := sized(record, limit); err != nil {
		return err
	}
	slots, err := w.avroRecord(record, IdentityEventContract, nil)
	if err != nil {
		return err
	}
	for i, at := range []struct {
		field *field
		name  string
	}{{&f.typ, "type"}, {&f.identity, "identity_uuid"}, {&f.attacker, "observation_uuid"}, {&f.winner, "winner_uuid"}, {&f.loser, "loser_uuid"}} {
		if err := at.field.fromAvro(&slots[i], at.name); err != nil {
			return err
		}
	}
	f.attackers.fromAvro(&slots[5], "observation_uuids")
	return nil
}
