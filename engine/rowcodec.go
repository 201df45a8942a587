package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"handprint/attribution"
)

// row is the record of one (identity, primitive).
//
//	version    byte
//	flags      byte: 1 published, 2 inline, the state times 4 (7 instead of a
//	           state: it stands in the next byte), and of a row that
//	           is published: 32 the count is the series', 64 last_observation_ts
//	           is the ts of the last entry, 128 last_change_ts is
//	           last_observation_ts
//	more       byte, if the state is 7: the state, and 8 the row returns
//	inline     the series of the stub's own attacker, as long as nobody else
//	           has contributed to the row: one record is read and written for
//	           an observation of an attacker that no clusterer has named
//	published  what the world was told last. Absent while the identity's first
//	           contributions are still on their way. What a flag says is left
//	           out:
//	             value                a place (below), 0: a value follows
//	             confidence           see appendConfidence
//	             count                uvarint
//	             last_observation_ts  double
//	             last_change_ts       a place, 0: a varint follows, the
//	                                  difference of the double's bits to those
//	                                  of last_observation_ts
//	             updated_at           varint: the difference of the double's
//	                                  bits to those of the time at which the
//	                                  latest record of the last entry arrived,
//	                                  in seconds, or of last_observation_ts
//	                                  where no entry is inline
//
// A place is a uvarint: n is that of the nth entry from the end, which has the
// value or the ts that is meant.
type row struct {
	published bool
	inline    bool
	was       attribution.Row
	series    series
}

const (
	rowPublished  = 1
	rowInline     = 2
	rowState      = 2 // how far up the state is, three bits
	rowCounted    = 32
	rowLast       = 64
	rowChangeLast = 128

	rowMore    = 7 // in the place of the state
	rowReturns = 8
)

// series is a series as the store has it. Of a HASH primitive with many values
// that were pushed out, Elsewhere of them are the nodes of a tree (gonetree.go).
type series struct {
	attribution.Series
	root   attribution.Value // the name of the tree's
	oldest float64           // the least ts in it
	long   []longText        // values that are records of their own, as it was read
}

// appendRow appends a row in a version, which is between 1 and [RecordVersion].
// Long values of its series stand as long has them.
func appendRow(dst []byte, r *row, version byte, long *longWriter) []byte {
	at := len(dst) + 1
	dst = append(dst, version, 0)
	returns := r.published && r.was.Returns
	if returns {
		dst = append(dst, byte(r.was.State)|rowReturns)
	}
	var entries []attribution.Entry
	if r.inline {
		entries = r.series.Entries
		dst[at] |= rowInline
		dst = appendSeries(dst, &r.series, long)
	}
	if !r.published {
		return dst
	}
	w := &r.was
	flags := rowPublished | byte(w.State)<<rowState
	if returns {
		flags = rowPublished | rowMore<<rowState
	}
	n := uint64(0)
	if long == nil || !long.refers(w.Value) { // else its entry has no text
		n = placeOfValue(entries, w.Value)
	}
	dst = binary.AppendUvarint(dst, n)
	if n == 0 {
		dst = appendValue(dst, w.Value)
	}
	dst = appendConfidence(dst, w.Confidence)
	if r.inline && w.Count == r.series.Count {
		flags |= rowCounted
	} else {
		dst = binary.AppendUvarint(dst, uint64(w.Count))
	}
	last, change := math.Float64bits(w.LastObservationTS), math.Float64bits(w.LastChangeTS)
	arrived := last
	if len(entries) > 0 {
		e := &entries[len(entries)-1]
		arrived = secondsBits(e.Latest.Time)
		if math.Float64bits(e.TS) == last {
			flags |= rowLast
		}
	}
	if flags&rowLast == 0 {
		dst = appendFixed64(dst, last)
	}
	if change == last {
		flags |= rowChangeLast
	} else {
		n := placeOfTS(entries, w.LastChangeTS)
		dst = binary.AppendUvarint(dst, n)
		if n == 0 {
			dst = binary.AppendVarint(dst, int64(change-last))
		}
	}
	dst[at] |= flags
	return binary.AppendVarint(dst, int64(math.Float64bits(w.UpdatedAt)-arrived))
}

// placeOfValue returns the place of an entry with this value, or 0. A row's
// value is one of the newest or, of numbers, as a rule none.
func placeOfValue(entries []attribution.Entry, v attribution.Value) uint64 {
	const newest = 10 // two windows
	for n := 1; n <= min(len(entries), newest); n++ {
		if bytes.Equal(entries[len(entries)-n].Value, v) {
			return uint64(n)
		}
	}
	return 0
}

// placeOfTS returns the place of an entry with this ts, or 0.
func placeOfTS(entries []attribution.Entry, ts float64) uint64 {
	want := math.Float64bits(ts)
	for n := 1; n <= len(entries); n++ {
		e := &entries[len(entries)-n]
		if math.Float64bits(e.TS) == want {
			return uint64(n)
		}
		if e.TS < ts {
			break // they are in order
		}
	}
	return 0
}

// secondsBits are the bits of a time in milliseconds as seconds.
func secondsBits(ms int64) uint64 { return math.Float64bits(float64(ms) / 1000) }

// decodeRow reads a record into r, whose slices are reused; its values are
// parts of the record or of values.
func decodeRow(b []byte, r *row, values *values) error {
	in := reader{b: b}
	r.was, r.series.Elsewhere = attribution.Row{}, 0
	values.reset()
	in.recordVersion()
	in.row(r, values)
	r.series.long = values.longs
	return in.end("row")
}

// recordVersion reads the version of a row or a contribution, and refuses what a
// newer program wrote. All versions so far have the same layout.
func (r *reader) recordVersion() {
	if v := r.byte(); r.err == nil && (v < 1 || v > RecordVersion) {
		r.fail(fmt.Errorf("unknown version %d, this program reads up to %d", v, RecordVersion))
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

func (r *reader) row(to *row, values *values) {
	flags := r.byte()
	to.published, to.inline = flags&rowPublished != 0, flags&rowInline != 0
	state, returns := flags>>rowState&7, false
	if state == rowMore {
		more := r.byte()
		state, returns = more&^rowReturns, more&rowReturns != 0
	}
	var entries []attribution.Entry
	if to.inline {
		r.series(&to.series, values)
		entries = to.series.Entries
	}
	if !to.published || r.err != nil {
		return
	}
	w := &to.was
	w.State, w.Returns = r.state(state), returns
	if e := r.place(entries); e != nil {
		w.Value = e.Value
	} else {
		w.Value = r.value(values)
	}
	w.Confidence = r.confidence()
	if flags&rowCounted != 0 && to.inline {
		w.Count = to.series.Count
	} else {
		w.Count = int64(r.uvarint())
	}
	var last, arrived uint64
	if len(entries) > 0 {
		e := &entries[len(entries)-1]
		last, arrived = math.Float64bits(e.TS), secondsBits(e.Latest.Time)
	}
	if flags&rowLast == 0 || len(entries) == 0 {
		last = r.fixed64()
	}
	if len(entries) == 0 {
		arrived = last
	}
	w.LastObservationTS, w.LastChangeTS = math.Float64frombits(last), math.Float64frombits(last)
	if flags&rowChangeLast == 0 {
		if e := r.place(entries); e != nil {
			w.LastChangeTS = e.TS
		} else {
			w.LastChangeTS = math.Float64frombits(last + uint64(r.varint()))
		}
	}
	w.UpdatedAt = math.Float64frombits(arrived + uint64(r.varint()))
}

// place reads which of the entries is meant; nil: none.
func (r *reader) place(entries []attribution.Entry) *attribution.Entry {
	n := r.uvarint()
	if n == 0 {
		return nil
	}
	if n > uint64(len(entries)) {
		r.fail(fmt.Errorf("place %d of %d entries", n, len(entries)))
		return nil
	}
	return &entries[len(entries)-int(n)]
}

// appendContribution appends a contribution in a version: the version, then the
// series, whose long values stand as long has them.
func appendContribution(dst []byte, s *series, version byte, long *longWriter) []byte {
	return appendSeries(append(dst, version), s, long)
}

func decodeContribution(b []byte, s *series, values *values) error {
	in := reader{b: b}
	values.reset()
	in.recordVersion()
	in.series(s, values)
	s.long = values.longs
	return in.end("contribution")
}
