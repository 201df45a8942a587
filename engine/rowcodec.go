package engine

import (
	"encoding/binary"

	"handprint/attribution"
)

// row is the record of one (identity, primitive).
//
//	version    1
//	flags      byte: 1 published, 2 inline
//	published  state (byte), confidence (double), count (uvarint),
//	           last_change_ts, last_observation_ts, updated_at (doubles),
//	           value (text): what the world was told last. Absent while the
//	           identity's first contributions are still on their way.
//	inline     the series of the stub's own attacker, as long as nobody else
//	           has contributed to the row: one record is read and written for
//	           an observation of an attacker that no clusterer has named
type row struct {
	published bool
	inline    bool
	was       attribution.Row
	series    series
}

const (
	rowVersion   = 1
	rowPublished = 1
	rowInline    = 2
)

// series is a series as the store has it: of a HASH primitive with many values
// gone, these are records of their own, and before holds them as they were
// read.
type series struct {
	attribution.Series
	spilled bool
	before  []attribution.Gone
}

func appendRow(dst []byte, r *row) []byte {
	flags := byte(0)
	if r.published {
		flags |= rowPublished
	}
	if r.inline {
		flags |= rowInline
	}
	dst = append(dst, rowVersion, flags)
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
		dst = appendSeries(dst, &r.series.Series, r.series.spilled)
	}
	return dst
}

// decodeRow reads a record into r, whose slices are reused; its values are
// parts of the record.
func decodeRow(b []byte, r *row, values *[][]byte) error {
	in := reader{b: b}
	in.version(rowVersion)
	flags := in.byte()
	r.published, r.inline = flags&rowPublished != 0, flags&rowInline != 0
	r.was = attribution.Row{}
	if r.published {
		r.was.State = attribution.State(in.byte())
		r.was.Confidence = in.float()
		r.was.Count = int64(in.uvarint())
		r.was.LastChangeTS = in.float()
		r.was.LastObservationTS = in.float()
		r.was.UpdatedAt = in.float()
		r.was.Value = in.bytes()
	}
	r.series.spilled = false
	if r.inline {
		r.series.spilled = in.series(&r.series.Series, values)
	}
	return in.end("row")
}

// A contribution: version 1, then the series.
const contributionVersion = 1

func appendContribution(dst []byte, s *series) []byte {
	return appendSeries(append(dst, contributionVersion), &s.Series, s.spilled)
}

func decodeContribution(b []byte, s *series, values *[][]byte) error {
	in := reader{b: b}
	in.version(contributionVersion)
	s.spilled = in.series(&s.Series, values)
	return in.end("contribution")
}
