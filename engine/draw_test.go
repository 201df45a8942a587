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
	return origin{rapid.Uint64().Draw(t, "version"), attribution.EventType(rapid.IntRange(0, 4).Draw(t, "type")), rapid.Int64().Draw(t, "offset"), rapid.Int64().Draw(t, "time"), rapid.Uint64().Draw(t, "round")}
}

func drawArrival(t *rapid.T) attribution.Arrival {
	return attribution.Arrival{Time: rapid.Int64().Draw(t, "time"), Partition: rapid.Int32().Draw(t, "partition"), Offset: rapid.Int64().Draw(t, "offset")}
}

// drawTS draws a ts as sensors have it, in whole seconds or finer, or any double.
func drawTS(t *rapid.T) float64 {
	switch rapid.IntRange(0, 3).Draw(t, "ts") {
	case 0:
		return float64(rapid.Int64Range(0, 4e9).Draw(t, "seconds"))
	case 1:
		return float64(rapid.Int64Range(0, 4e15).Draw(t, "microseconds")) / 1e6
	default:
		return rapid.Float64().Draw(t, "ts")
	}
}

func drawConfidence(t *rapid.T) float64 {
	switch rapid.IntRange(0, 2).Draw(t, "confidence") {
	case 0:
		return float64(rapid.IntRange(0, 1000).Draw(t, "thousandths")) / 1000
	case 1:
		n := rapid.IntRange(1, 16).Draw(t, "of")
		return float64(rapid.IntRange(0, n).Draw(t, "share")) / float64(n)
	default:
		return rapid.Float64Range(0, 1).Draw(t, "confidence")
	}
}

// drawValue draws a text that a value may be, or nearly one.
func drawValue(t *rapid.T) attribution.Value {
	text := rapid.OneOf(
		rapid.StringMatching(`"[0-9a-f]{0,40}"`),
		rapid.StringMatching(`"[0-9a-fA-F]{1,4}"`),
		rapid.StringMatching(`-?[0-9]{1,17}(\.[0-9]{1,17})?(e[+-]?[0-9]{1,3})?`),
		rapid.StringMatching(`[-+.e0-9"]{1,5}`),
		rapid.StringMatching(`"[a-z _./é-]{0,70}"`),
		rapid.StringMatching(`(true|false|null|\[1,"a"\]|\{"a":1\}|"|""|7|\x01.{16}|"a|a")`),
	)
	return attribution.Value(text.Draw(t, "value"))
}

func drawEntry(t *rapid.T) attribution.Entry {
	e := attribution.Entry{
		TS: drawTS(t), Evidence: rapid.Uint64().Draw(t, "evidence"), Confidence: -1, Place: drawArrival(t),
		Value: drawValue(t),
	}
	e.Latest = e.Place
	if rapid.Bool().Draw(t, "replaced") {
		e.Latest = drawArrival(t)
	}
	if rapid.Bool().Draw(t, "confident") {
		e.Confidence = drawConfidence(t)
	}
	return e
}

// drawRow draws a row; some of its fields follow from its series, as most do,
// and others do not.
func drawRow(t *rapid.T) row {
	r := row{published: rapid.Bool().Draw(t, "published"), inline: rapid.Bool().Draw(t, "inline")}
	if r.inline {
		r.series = drawSeries(t)
	}
	if !r.published {
		return r
	}
	r.was = attribution.Row{
		State: attribution.State(rapid.IntRange(0, 4).Draw(t, "state")), Value: drawValue(t), Confidence: drawConfidence(t),
		Count: rapid.Int64().Draw(t, "count"), LastChangeTS: drawTS(t), LastObservationTS: drawTS(t), UpdatedAt: drawTS(t), Returns: rapid.Bool().Draw(t, "returns"),
	}
	follows := func(what string) bool { return rapid.Bool().Draw(t, what) }
	if follows("count") {
		r.was.Count = r.series.Count
	}
	if n := len(r.series.Entries); n > 0 {
		entry := func() *attribution.Entry { return &r.series.Entries[rapid.IntRange(0, n-1).Draw(t, "which")] }
		if follows("value") {
			r.was.Value = entry().Value
		}
		if follows("last") {
			r.was.LastObservationTS = r.series.Entries[n-1].TS
		}
		if follows("change") {
			r.was.LastChangeTS = entry().TS
		}
	}
	if follows("change is last") {
		r.was.LastChangeTS = r.was.LastObservationTS
	}
	return r
}

func drawArriving(t *rapid.T) attribution.Entry {
	e := drawEntry(t)
	e.Latest = e.Place
	return e
}

func drawSeries(t *rapid.T) series {
	s := series{Series: attribution.Series{Count: rapid.Int64().Draw(t, "count")}}
	if rapid.IntRange(0, 9).Draw(t, "many") == 0 {
		// More values than a byte tells apart.
		for i := range rapid.IntRange(120, 400).Draw(t, "entries") {
			e := drawEntryAt(i)
			s.Entries = append(s.Entries, e)
		}
	} else {
		s.Entries = rapid.SliceOfN(rapid.Custom(drawEntry), 0, 6).Draw(t, "entries")
	}
	if rapid.Bool().Draw(t, "nothing pushed out") {
		s.Count = int64(len(s.Entries))
	}
	if rapid.IntRange(0, 3).Draw(t, "spilled") == 0 {
		s.Elsewhere, s.root, s.oldest = rapid.IntRange(1, 5000).Draw(t, "elsewhere"), drawValue(t), drawTS(t)
	}
	if rapid.Bool().Draw(t, "gone values") {
		s.Gone = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) attribution.Gone {
			return attribution.Gone{Value: drawValue(t), TS: drawTS(t)}
		}), 0, 4).Draw(t, "gone")
	}
	return s
}

func drawEntryAt(i int) attribution.Entry {
	at := attribution.Arrival{Time: int64(i), Offset: int64(i)}
	return attribution.Entry{TS: float64(i), Value: attribution.Value(fmt.Sprint(i)), Evidence: uint64(i), Confidence: -1, Place: at, Latest: at}
}
