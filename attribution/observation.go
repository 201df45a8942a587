package attribution

// Observation is one sensor's statement: "primitive P had value V at time TS,
// seen from evidence E, produced by attacker A" (docs/attribution.md,
// "Observation envelope"). A decoder fills it; its byte slices belong to the
// decoder and are valid until it decodes the next record.
type Observation struct {
	ID          []byte // producer's id, for tracing; may be empty
	Attacker    []byte // attacker_uuid, never empty
	Primitive   []byte // dotted name, valid by ValidPrimitive
	Value       Value  // canonical JSON, never empty
	Evidence    []byte // evidence_ref, never empty
	Source      []byte // the sensor; may be empty
	IdentityRef []byte // carried, not interpreted

	TS          float64 // Unix seconds, finite, >= 0
	WindowStart float64 // Unix seconds; 0 if absent
	WindowEnd   float64 // Unix seconds; 0 if absent

	Confidence    float64 // the sensor's confidence, in [0, 1]
	HasConfidence bool    // false: the record carried none
}

// Value is one JSON value as canonical JSON text: object keys sorted, numbers
// as the shortest text of their double, strings with the fewest escapes. Two
// values are the same value exactly if their texts are the same bytes
// (docs/attribution.md, "Value kinds"). Package canonical writes it.
type Value []byte

// MarshalJSON returns the value itself, null for nil.
func (v Value) MarshalJSON() ([]byte, error) {
	if len(v) == 0 {
		return Null, nil
	}
	return v, nil
}

// UnmarshalJSON takes the value as it stands, which is canonical only if it was
// written so; nil for null.
func (v *Value) UnmarshalJSON(text []byte) error {
	if *v = nil; string(text) != "null" {
		*v = append(Value(nil), text...)
	}
	return nil
}

// Null is the canonical text of JSON null: "nothing could be told".
var Null = Value("null")
