package schemas

import (
	"fmt"
	"strings"
	"testing"

	"handprint/attribution"
)

// A suspicion that names all of the largest registry, and as many other primitives as it
// may, fits into a record, with names, groups and labels as long as they may be.
func TestTheLargestSuspicionFitsIntoARecord(t *testing.T) {
	const largest = 4096
	long := func(i int) attribution.Primitive {
		name := fmt.Sprintf("a.%0*d", attribution.MaxPrimitiveName-2, i)
		return attribution.Primitive{Name: name, Kind: attribution.Hash, Returning: true, Group: name, Label: name}
	}
	var list []attribution.Primitive
	var evidence attribution.Evidence
	for i := range largest {
		list = append(list, long(i))
		evidence.Returns = append(evidence.Returns, list[i].Name)
	}
	if _, err := attribution.NewRegistry(append(list, long(largest))); err == nil {
		t.Error("a larger registry is taken")
	}
	registry, err := attribution.NewRegistry(list)
	if err != nil {
		t.Fatal(err)
	}
	thresholds := attribution.DefaultThresholds()
	for i := range thresholds.NamedPrimitives {
		evidence.Alternates = append(evidence.Alternates, attribution.ShortPrimitive(fmt.Sprintf("b.%0200d", i)))
	}
	value := attribution.Value(`"` + strings.Repeat("x", 254) + `"`)
	var open attribution.OpenSuspicion
	reasons, err := open.Name(&evidence, registry, &thresholds, func(string, attribution.ReasonKind) ([]attribution.Value, int, error) {
		return []attribution.Value{value, value}, 1 << 30, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s := open.Event(attribution.SuspicionRaised, reasons, 1701015245.825, true, registry, &thresholds)
	if len(s.Primitives) != largest+thresholds.NamedPrimitives {
		t.Errorf("%d primitives are named", len(s.Primitives))
	}
	const maxRecord = 4<<20 - 4096 // max.message.bytes of the topic, less what is around a record
	for name, format := range map[string]*Format{"JSON": nil, "Avro": AvroFormat(testIDs())} {
		if n := len(format.AppendSuspicion(nil, &s)); n > maxRecord {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
}
