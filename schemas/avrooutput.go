package schemas

import (
	"handprint/attribution"
	"handprint/internal/canonical"
	"handprint/schemas/avro"
)

// Transition reads a record of attribution.profile.state_changed, JSON or Avro.
// The error is always a *Bad.
func (w *Writers) Transition(record []byte) (attribution.Transition, error) {
	if !IsAvro(record) {
		return DecodeTransitionJSON(record)
	}
	var f transitionFields
	err := w.fields(record, TransitionContract, []*field{
		&f.id, &f.identity, &f.primitive, &f.from, &f.to, &f.value, nil, &f.confidence, &f.count, &f.ts,
	})
	if err != nil {
		return attribution.Transition{}, err
	}
	return f.transition()
}

// StateRow reads a record of attribution.state that is no tombstone, JSON or
// Avro. The error is always a *Bad.
func (w *Writers) StateRow(record []byte) (StateRow, error) {
	if !IsAvro(record) {
		return DecodeStateRowJSON(record)
	}
	var f rowFields
	err := w.fields(record, StateRowContract, []*field{
		&f.identity, &f.primitive, &f.value, nil, &f.state, &f.confidence, &f.count, &f.change, &f.observation, &f.version, &f.updated,
	})
	if err != nil {
		return StateRow{}, err
	}
	return f.row()
}

// Suspicion reads a record of attribution.profile.multi_actor_suspected, JSON or
// Avro. The error is always a *Bad.
func (w *Writers) Suspicion(record []byte) (attribution.Suspicion, error) {
	if !IsAvro(record) {
		return DecodeSuspicionJSON(record)
	}
	var f suspicionFields
	slots, err := w.avroRecord(record, SuspicionContract, nil)
	if err != nil {
		return attribution.Suspicion{}, err
	}
	if err := spread(SuspicionContract, slots, []*field{&f.id, &f.identity, nil, nil, &f.confidence, &f.ts}); err != nil {
		return attribution.Suspicion{}, err
	}
	f.primitives.fromAvro(&slots[2], "primitives")
	return f.suspicion()
}

// fields decodes an Avro record into fields, in the order of the schema; nil
// for those that are not looked at. One that is to be the text of any value is
// read from the JSON in it.
func (w *Writers) fields(record []byte, as Contract, into []*field) error {
	slots, err := w.avroRecord(record, as, nil)
	if err != nil {
		return err
	}
	return spread(as, slots, into)
}

func spread(as Contract, slots []avro.Value, into []*field) error {
	for i, f := range into {
		name := contracts[as].read.Fields[i].Name
		switch {
		case f == nil:
		case name == "current_value":
			var err error
			if f.raw, err = jsonText(nil, slots[i].Raw, name); err != nil {
				return err
			}
			f.token = canonical.StringToken // any: it is there
		default:
			if err := f.fromAvro(&slots[i], name); err != nil {
				return err
			}
		}
	}
	return nil
}
