package audit

import (
	"encoding/binary"
	"math"

	"handprint/attribution"
	"handprint/engine"
)

// What digests are made of. A form of this package's own: it is never kept.

func appendFloat(b []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
}

func appendText(b, text []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func appendArrival(b []byte, a attribution.Arrival) []byte {
	b = binary.AppendVarint(b, a.Time)
	b = binary.AppendVarint(b, int64(a.Partition))
	return binary.AppendVarint(b, a.Offset)
}

func appendEntry(b []byte, e *attribution.Entry) []byte {
	b = appendFloat(b, e.TS)
	b = appendText(b, engine.SeriesValue(e.Value))
	b = binary.LittleEndian.AppendUint64(b, e.Evidence)
	b = appendArrival(b, e.Place)
	b = appendArrival(b, e.Latest)
	if e.Confidence < 0 {
		return append(b, 0)
	}
	return appendFloat(append(b, 1), e.Confidence)
}
