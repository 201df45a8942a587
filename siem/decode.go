package siem

import (
	"fmt"

	"handprint/attribution"
	"handprint/schemas"
)

// Record is a record of one of handprint's output topics.
type Record struct {
	Topic     string
	Key       []byte
	Value     []byte // empty: a tombstone
	Partition int32
	Offset    int64
	Timestamp int64 // milliseconds
}

// Topics are the names of the topics that a Decoder reads.
type Topics struct {
	StateChanged    string
	Suspected       string
	IdentityChanged string
	State           string
}

// Decoder makes events of records. Topics has to be set; what else is nil is
// done without. Any number of goroutines may use it.
type Decoder struct {
	Topics Topics
	// Writers are the schemas of Avro records; nil: JSON alone is read.
	Writers *schemas.Writers
	// Registry has the kinds of primitives; nil: the built-in one.
	Registry *attribution.Registry
	// Attack maps values to ATT&CK; nil: nothing is mapped.
	Attack *AttackMap
	// Catalogue completes what Attack says; nil: it stands as it is.
	Catalogue *Catalogue
	// Addresses tells from where an identity came; nil: that is left out.
	Addresses *Addresses
}

// Decode returns the event of a record. The error is a *schemas.Bad for a record
// that cannot be used, or else what kept the catalogue from being read.
func (d *Decoder) Decode(r *Record) (*Event, error) {
	e := &Event{Topic: r.Topic}
	var err error
	switch r.Topic {
	case d.Topics.StateChanged:
		err = d.transition(e, r.Value)
	case d.Topics.Suspected:
		err = d.suspicion(e, r.Value)
	case d.Topics.IdentityChanged:
		err = d.identity(e, r.Value)
	case d.Topics.State:
		if len(r.Value) == 0 {
			err = d.tombstone(e, r)
		} else {
			err = d.row(e, r.Value)
		}
	default:
		err = fmt.Errorf("topic %s has no events", r.Topic)
	}
	if err != nil {
		return nil, err
	}
	if e.Primitive != "" {
		e.Trait = d.registry().Kind([]byte(e.Primitive))
	}
	if d.Attack != nil && (e.Kind == Transition || e.Kind == Row) {
		e.Techniques = d.Attack.Of(e.Primitive, e.State, e.Value)
		if d.Catalogue != nil {
			if e.Techniques, err = d.Catalogue.Complete(e.Techniques); err != nil {
				return nil, err
			}
		}
	}
	if d.Addresses != nil && e.Kind != Tombstone && e.Kind != Identity {
		e.Addresses = d.Addresses.Of(e.Identity)
	}
	return e, nil
}

func (d *Decoder) registry() *attribution.Registry {
	if d.Registry != nil {
		return d.Registry
	}
	return attribution.DefaultRegistry()
}

func (d *Decoder) transition(e *Event, record []byte) error {
	t, err := d.Writers.Transition(record)
	if err != nil {
		return err
	}
	e.Kind, e.ID, e.Time, e.Identity, e.Primitive = Transition, t.EventID, Millis(t.TS), t.Identity, t.Primitive
	e.State, e.Old, e.IsNew, e.Value, e.Previous = t.New, t.Old, t.IsNew, t.Value, t.Previous
	e.Confidence, e.Observations = share(t.Confidence), t.Count
	return nil
}

func (d *Decoder) row(e *Event, record []byte) error {
	r, err := d.Writers.StateRow(record)
	if err != nil {
		return err
	}
	e.Kind, e.Time, e.Identity, e.Primitive = Row, Millis(r.Row.UpdatedAt), r.Identity, r.Primitive
	e.State, e.Value, e.Confidence, e.Observations = r.Row.State, r.Row.Value, share(r.Row.Confidence), r.Row.Count
	e.Since, e.LastSeen, e.Returns = Millis(r.Row.LastChangeTS), Millis(r.Row.LastObservationTS), r.Row.Returns
	if schemas.IsAvro(record) {
		record = schemas.AppendStateRowJSON(nil, &r)
	}
	e.ID = rowID(record)
	return nil
}

func (d *Decoder) tombstone(e *Event, r *Record) error {
	var ok bool
	if e.Identity, e.Primitive, ok = schemas.SplitStateRowKey(r.Key); !ok {
		return fmt.Errorf("a tombstone whose key names no primitive")
	}
	e.Kind, e.Time = Tombstone, min(max(r.Timestamp, minTime), maxTime)
	e.ID = tombstoneID(r.Topic, r.Partition, r.Offset)
	return nil
}

func (d *Decoder) suspicion(e *Event, record []byte) error {
	s, err := d.Writers.Suspicion(record)
	if err != nil {
		return err
	}
	e.Kind, e.ID, e.Time, e.Identity = Suspicion, s.EventID, Millis(s.TS), s.Identity
	e.Primitives, e.Total, e.Confidence, e.SuspicionID, e.Groups = s.Primitives, s.Total, share(s.Confidence), s.ID, s.Groups
	switch s.Status {
	case attribution.SuspicionGrown:
		e.Status = Grown
	case attribution.SuspicionCleared:
		e.Status = Cleared
	}
	if s.ID != "" {
		e.Summary = s.Summary
	}
	for _, r := range s.Reasons {
		e.Reasons = append(e.Reasons, Reason{Primitive: r.Primitive, Kind: string(r.Kind), Group: r.Group, Values: r.Values, New: r.New})
	}
	return nil
}

func (d *Decoder) identity(e *Event, record []byte) error {
	c, err := d.Writers.IdentityChange(record)
	if err != nil {
		return err
	}
	e.Kind, e.ID, e.Time, e.Identity = Identity, c.EventID, Millis(c.TS), c.Identity
	e.Change, e.Other, e.Attackers, e.Moved, e.Rows = c.Type, c.Other, c.Attackers, c.Moved, c.Rows
	return nil
}

// share holds a confidence between 0 and 1: a record of other make, in Avro, may
// have any number there, and none.
func share(c float64) float64 {
	if c > 0 {
		return min(c, 1)
	}
	return 0
}
