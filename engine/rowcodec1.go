package engine

import (
	"encoding/binary"
	"fmt"

	"handprint/attribution"
)

// A row of version 1: read for ever, written while the setting upgrade-from
// says that there are processes that read nothing newer.
//
//	version    1
//	flags      byte: 1 published, 2 inline
//	published  state (byte), confidence (double), count (uvarint),
//	           last_change_ts, last_observation_ts, updated_at (doubles),
//	           value (text)
//	inline     a series of version 1
const (
	rowPublished1 = 1
	rowInline1    = 2
)

func appendRow1(dst []byte, r *row) []byte {
	flags := byte(0)
	if r.published {
		flags |= rowPublished1
	}
	if r.inline {
		flags |= rowInline1
	}
	dst = append(dst, 1, flags)
	if r.published {
		dst = append(dst, byte(r.was.State))
		dst = appendFloat(dst, r.was.Confidence)
		dst = binary.AppendUvarint(dst, uint64(r.was.Count))
		dst = appendFloat(dst, r.was.LastChangeTS)
		dst = appendFloat(dst, r.was.LastObservationTS)
		dst = appendFloat(dst, r.was.UpdatedAt)
		dst = appendBytes(dst, r.was.Value)
	}
	if r.inline {
		dst = appendSeries1(dst, &r.series.Series, r.series.spilled)
	}
	return dst
}

func (r *reader) row1(to *row, values *values) {
	flags := r.byte()
	to.published, to.inline = flags&rowPublished1 != 0, flags&rowInline1 != 0
	if to.published {
		to.was.State = r.state(r.byte())
		to.was.Confidence = r.float()
		to.was.Count = int64(r.uvarint())
		to.was.LastChangeTS = r.float()
		to.was.LastObservationTS = r.float()
		to.was.UpdatedAt = r.float()
		to.was.Value = r.bytes()
	}
	if to.inline {
		to.series.spilled = r.series1(&to.series.Series, values)
	}
}

// state refuses a number that no version has written.
func (r *reader) state(n byte) attribution.State {
	if n > byte(attribution.MultiActor) {
		r.fail(fmt.Errorf("no state has number %d", n))
		return attribution.Unknown
	}
	return attribution.State(n)
}

func appendContribution1(dst []byte, s *series) []byte {
	return appendSeries1(append(dst, 1), &s.Series, s.spilled)
}
