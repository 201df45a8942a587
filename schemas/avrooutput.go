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
		&f.id, &f.identity, &f.primitive, &f.from, &f.to, &f.value, nil, &f.previous, &f.confidence, &f.count, &f.ts,
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
		&f.identity, &f.primitive, &f.value, nil, &f.state, &f.confidence, &f.count, &f.change, &f.observation, &f.version, &f.updated, &f.returns,
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
	if err := spread(SuspicionContract, slots, []*field{
		&f.id, &f.identity, nil, &f.summary, &f.confidence, &f.ts, &f.status, &f.suspicion, nil, nil, &f.total,
	}); err != nil {
		return attribution.Suspicion{}, err
	}
	f.primitives.fromAvro(&slots[2], "primitives")
	f.reasons.fromAvro(&slots[8])
	f.groups.fromAvro(&slots[9], "groups")
	return f.record()
}

// Profile reads a record of attacker.profile that is no tombstone, JSON or Avro.
// The error is always a *Bad.
func (w *Writers) Profile(record []byte) (Profile, error) {
	if !IsAvro(record) {
		return DecodeProfileJSON(record)
	}
	var f profileFields
	err := w.fields(record, AttackerProfileContract, []*field{&f.attacker, &f.stub, &f.address, &f.kind, &f.sensor, &f.first, &f.last})
	if err != nil {
		return Profile{}, err
	}
	return f.profile()
}

// Membership reads a record of attribution.identity, JSON or Avro. The error is
// always a *Bad.
func (w *Writers) Membership(record []byte) (attribution.Membership, error) {
	if !IsAvro(record) {
		return DecodeMembershipJSON(record)
	}
	var f membershipFields
	slots, err := w.avroRecord(record, IdentityContract, nil)
	if err != nil {
		return attribution.Membership{}, err
	}
	if err := spread(IdentityContract, slots, []*field{&f.identity, nil, &f.total, &f.mergedInto, &f.version, &f.event, &f.offset, &f.ts, &f.updated}); err != nil {
		return attribution.Membership{}, err
	}
	f.attackers.fromAvro(&slots[1], "attackers")
	return f.membership()
}

// IdentityChange reads a record of attribution.profile.identity_changed, JSON or
// Avro. The error is always a *Bad.
func (w *Writers) IdentityChange(record []byte) (attribution.IdentityChange, error) {
	if !IsAvro(record) {
		return DecodeIdentityChangeJSON(record)
	}
	var f changeFields
	slots, err := w.avroRecord(record, IdentityChangeContract, nil)
	if err != nil {
		return attribution.IdentityChange{}, err
	}
	if err := spread(IdentityChangeContract, slots, []*field{&f.id, &f.kind, &f.identity, &f.other, nil, &f.moved, &f.rows, &f.version, &f.offset, &f.ts}); err != nil {
		return attribution.IdentityChange{}, err
	}
	f.attackers.fromAvro(&slots[4], "attackers")
	return f.change()
}

// fields decodes an Avro record into fields, in the order of the schema; nil
// for a field that is not looked at. One that is to be the text of any value is
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
		name := contracts()[as].read.Fields[i].Name
		switch {
		case f == nil:
		case name == "previous_value" && slots[i].Kind == avro.NullValue:
			f.token = canonical.NullToken
		case name == "current_value" || name == "previous_value":
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
