//go:build !race

package schemas

import (
	"testing"

	"handprint/attribution"
)

// With the race detector, which allocates itself, there is nothing to count.
func TestAvroDecodingAllocatesNothing(t *testing.T) {
	d := ObservationDecoder{Writers: testWriters()}
	record := avroObservationRecord(`{"a":[1,"x"]}`, 5)
	var o attribution.Observation
	if n := testing.AllocsPerRun(100, func() {
		if err := d.Decode(record, &o); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
