package engine

import (
	"testing"

	"handprint/attribution"
)

// What a row of the store is for the world: nothing else than what was published
// last.
func TestStateRowsOf(t *testing.T) {
	key := rowKey(nil, kindRow, []byte("who"), []byte("t.any"))
	series := attribution.Series{Entries: []attribution.Entry{{TS: 5, Value: attribution.Value(`"a"`), Confidence: -1}}, Count: 1}
	published := func(v attribution.Value) *row {
		return &row{published: true, inline: true, series: seriesOf(series), was: attribution.Row{
			Value: v, Count: 1, State: attribution.Stable, Confidence: 0.5, LastObservationTS: 5, LastChangeTS: 5, UpdatedAt: 6,
		}}
	}
	large := attribution.Value(append([]byte{largeMark}, make([]byte, digestSize)...))
	for _, c := range []struct {
		name      string
		key       []byte
		row       *row // nil: deleted
		shown     bool
		tombstone bool
		bad       bool
	}{
		{"published", key, published(attribution.Value(`"a"`)), true, false, false},
		{"of a former value", key, published(attribution.Value(`"b"`)), true, false, false},
		{"a large value is not in the row", key, published(large), false, false, false},
		{"deleted", key, nil, true, true, false},
		{"not published", key, &row{inline: true, series: seriesOf(series)}, true, true, false},
		{"another record", idKey(nil, kindIdentity, []byte("who")), nil, false, false, true},
		{"an identity cut off", key[:3], nil, false, false, true},
		{"a primitive cut off", key[:len(key)-1], nil, false, false, true},
		{"no key", nil, nil, false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, version := range []int{1, RecordVersion} {
				var value []byte
				if c.row != nil {
					value = appendRow(nil, c.row, byte(version), nil)
				}
				k, v, err := NewStateRows(nil).Of(c.key, value)
				if bad := err != nil; bad != c.bad || (k != nil) != c.shown {
					t.Fatalf("version %d: key %q, value %q, %v", version, k, v, err)
				}
				if !c.shown {
					continue
				}
				if string(k) != "who/t.any" {
					t.Errorf("version %d: key %q", version, k)
				}
				if (v == nil) != c.tombstone {
					t.Errorf("version %d: value %q", version, v)
				}
			}
		})
	}
}

func seriesOf(s attribution.Series) series { return series{Series: s} }

// Making a state row takes one allocation, of its names.
func TestStateRowsAllocateLittle(t *testing.T) {
	id := []byte("00000000-0000-8000-8000-000000000001")
	key := rowKey(nil, kindRow, id, []byte("t.any"))
	r := row{published: true, was: attribution.Row{Value: attribution.Value(`"a"`), Count: 1, State: attribution.Stable}}
	value := appendRow(nil, &r, RecordVersion, nil)
	rows := NewStateRows(nil)
	if n := testing.AllocsPerRun(100, func() {
		if _, _, err := rows.Of(key, value); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("%v allocations", n)
	}
}
