package engine

import (
	"fmt"

	"handprint/attribution"
	"handprint/schemas"
)

// StateRows makes the records of the state topic. They follow from the rows in
// the store alone, so those of the rows that a transaction has changed are made
// when it is complete, and need no memory until then. It is for one goroutine.
type StateRows struct {
	format *schemas.Format

	row                row
	values             values
	identity, key, out []byte
}

// NewStateRows returns one that writes rows in a format; nil: JSON.
func NewStateRows(format *schemas.Format) *StateRows { return &StateRows{format: format} }

// Of returns the record of the state topic that shows a row as it is now. key is
// the row's key in the store, as Outbox.RowChanged got it; value is its value
// there, nil if the row was deleted since. The returned value is nil, a tombstone,
// if the row is not to be shown. The returned key is nil if there is nothing to
// write: a large value is not in the row, and Outbox.StateRow was given it. Both
// are valid until the next call.
func (s *StateRows) Of(key, value []byte) (stateKey, stateRow []byte, err error) {
	identity, err := s.showKey(key)
	if err != nil {
		return nil, nil, err
	}
	if value == nil {
		return s.key, nil, nil
	}
	if err := decodeRow(value, &s.row, &s.values); err != nil {
		return nil, nil, fmt.Errorf("row %s: %w", s.key, err)
	}
	switch {
	case !s.row.published:
		return s.key, nil, nil
	case isLarge(s.row.was.Value):
		return nil, nil, nil
	}
	s.out = appendStateRow(s.out[:0], s.format, s.key, identity, &s.row.was)
	return s.key, s.out, nil
}

// Key returns the key that the record of a row has in the state topic. It is valid until
// the next call.
func (s *StateRows) Key(key []byte) (stateKey []byte, err error) {
	_, err = s.showKey(key)
	return s.key, err
}

// showKey makes s.key of a row's key in the store, and returns how long the identity in
// it is.
func (s *StateRows) showKey(key []byte) (identity int, err error) {
	if len(key) == 0 || key[0] != kindRow {
		return 0, fmt.Errorf("%x is not the key of a row", key)
	}
	id, rest, err := appendCutID(s.identity[:0], key[1:])
	if err != nil {
		return 0, err
	}
	primitive, _, err := cutPrimitive(rest)
	if err != nil {
		return 0, err
	}
	s.identity = id
	s.key = appendStateKey(s.key[:0], id, primitive)
	return len(id), nil
}

// appendStateRow appends the record of a row whose key in the state topic begins
// with an identity of that length.
func appendStateRow(dst []byte, format *schemas.Format, key []byte, identity int, r *attribution.Row) []byte {
	return format.AppendStateRow(dst, &schemas.StateRow{Identity: view(key[:identity]), Primitive: view(key[identity+1:]), Row: *r})
}

func appendStateKey(dst, identity, primitive []byte) []byte {
	return append(append(append(dst, identity...), '/'), primitive...)
}
