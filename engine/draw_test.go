package engine

import (
	"fmt"

	"pgregory.net/rapid"

	"handprint/attribution"
)

// What records are made of, drawn at random.

func drawBytes(t *rapid.T) []byte { return rapid.SliceOfN(rapid.Byte(), 0, 12).Draw(t, "bytes") }

func drawList(t *rapid.T) [][]byte {
	return rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 5), 0, 4).Draw(t, "list")
}

func drawTasks(t *rapid.T) []int32 {
	return rapid.SliceOfN(rapid.Int32Min(0), 0, 4).Draw(t, "tasks")
}

func drawOrigin(t *rapid.T) origin {
	return origin{rapid.Uint64().Draw(t, "version"), attribution.EventType(rapid.IntRange(0, 4).Draw(t, "type")), rapid.Int64().Draw(t, "offset"), rapid.Int64().Draw(t, "time")}
}

func drawArrival(t *rapid.T) attribution.Arrival {
	return attribution.Arrival{Time: rapid.Int64().Draw(t, "time"), Partition: rapid.Int32().Draw(t, "partition"), Offset: rapid.Int64().Draw(t, "offset")}
}

func drawEntry(t *rapid.T) attribution.Entry {
	e := attribution.Entry{
		TS: rapid.Float64().Draw(t, "ts"), Evidence: rapid.Uint64().Draw(t, "evidence"), Confidence: -1, Place: drawArrival(t),
		Value: attribution.Value(fmt.Sprintf("value %d", rapid.IntRange(0, 400).Draw(t, "value"))),
	}
	e.Latest = e.Place
	if rapid.Bool().Draw(t, "replaced") {
		e.Latest = drawArrival(t)
	}
	switch rapid.IntRange(0, 2).Draw(t, "confidence") {
	case 1:
		e.Confidence = float64(rapid.IntRange(0, 1000).Draw(t, "thousandths")) / 1000
	case 2:
		e.Confidence = rapid.Float64Range(0, 1).Draw(t, "confidence")
	}
	return e
}

func drawArriving(t *rapid.T) attribution.Entry {
	e := drawEntry(t)
	e.Latest = e.Place
	return e
}

func drawSeries(t *rapid.T) series {
	s := series{Series: attribution.Series{Count: rapid.Int64().Draw(t, "count")}}
	if rapid.IntRange(0, 9).Draw(t, "many") == 0 {
		// More than a byte tells apart.
		for i := range rapid.IntRange(120, 400).Draw(t, "entries") {
			e := drawEntryAt(i)
			s.Entries = append(s.Entries, e)
		}
	} else {
		s.Entries = rapid.SliceOfN(rapid.Custom(drawEntry), 0, 6).Draw(t, "entries")
	}
	if s.spilled = rapid.IntRange(0, 3).Draw(t, "spilled") == 0; !s.spilled {
		s.Gone = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) attribution.Gone {
			return attribution.Gone{Value: drawBytes(t), TS: rapid.Float64().Draw(t, "ts")}
		}), 0, 4).Draw(t, "gone")
	}
	return s
}

func drawEntryAt(i int) attribution.Entry {
	at := attribution.Arrival{Time: int64(i), Offset: int64(i)}
	return attribution.Entry{TS: float64(i), Value: attribution.Value(fmt.Sprint(i)), Evidence: uint64(i), Confidence: -1, Place: at, Latest: at}
}
