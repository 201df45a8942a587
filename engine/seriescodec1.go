package engine

import (
	"bytes"
	"encoding/binary"
	"math"

	"handprint/attribution"
)

// A series of version 1.
//
//	count     uvarint
//	values    uvarint, then each as a text: the distinct values, in the order
//	          in which the entries first have them
//	entries   uvarint, then each:
//	            ts          double
//	            evidence    8 bytes
//	            value       uvarint: which of the values
//	            form        uvarint: bit 0: another record replaced the first;
//	                        above it the confidence: 0 none, 1..1001 as
//	                        thousandths plus 1, 1002: a double follows
//	            place       varints: time, partition, offset, each as the
//	                        difference to the entry before
//	            latest      the same as differences to place, if bit 0 is set
//	gone      uvarint: 1 if they are records of their own, else twice their
//	          number, then each: a text, and its ts as a double
const (
	confidenceNone1  = 0
	confidenceExact1 = 1002
)

// Bytes that an entry and a gone value take at least, which bounds what a
// hostile count can make us allocate.
const (
	minEntry1 = 21
	minGone1  = 9
)

func appendSeries1(dst []byte, s *attribution.Series, spilled bool) []byte {
	dst = binary.AppendUvarint(dst, uint64(s.Count))
	var few [64]uint8
	which := few[:0]
	if len(s.Entries) > len(few) {
		which = make([]uint8, 0, len(s.Entries))
	}
	distinct, wide := 0, false
	var firsts [256]uint16
	for i := range s.Entries {
		at := -1
		for d := range distinct {
			if bytes.Equal(s.Entries[firsts[d]].Value, s.Entries[i].Value) {
				at = d
				break
			}
		}
		if at < 0 {
			if distinct == len(firsts) {
				wide = true
				break
			}
			at = distinct
			firsts[distinct] = uint16(i)
			distinct++
		}
		which = append(which, uint8(at))
	}
	if wide { // more kept than a byte can tell apart: each its own value
		dst = binary.AppendUvarint(dst, uint64(len(s.Entries)))
		for i := range s.Entries {
			dst = appendBytes(dst, s.Entries[i].Value)
		}
	} else {
		dst = binary.AppendUvarint(dst, uint64(distinct))
		for d := range distinct {
			dst = appendBytes(dst, s.Entries[firsts[d]].Value)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.Entries)))
	var before attribution.Arrival
	for i := range s.Entries {
		e := &s.Entries[i]
		dst = appendFloat(dst, e.TS)
		dst = appendFixed64(dst, e.Evidence)
		if wide {
			dst = binary.AppendUvarint(dst, uint64(i))
		} else {
			dst = append(dst, which[i]&0x7f)
			if which[i] >= 0x80 {
				dst[len(dst)-1] |= 0x80
				dst = append(dst, 1)
			}
		}
		dst = appendForm1(dst, e)
		dst = appendArrival(dst, e.Place, before)
		if e.Latest != e.Place {
			dst = appendArrival(dst, e.Latest, e.Place)
		}
		before = e.Place
	}
	if spilled {
		return binary.AppendUvarint(dst, 1)
	}
	dst = binary.AppendUvarint(dst, 2*uint64(len(s.Gone)))
	for i := range s.Gone {
		dst = appendBytes(dst, s.Gone[i].Value)
		dst = appendFloat(dst, s.Gone[i].TS)
	}
	return dst
}

func appendForm1(dst []byte, e *attribution.Entry) []byte {
	replaced := uint64(0)
	if e.Latest != e.Place {
		replaced = 1
	}
	code, exact := confidenceCode1(e.Confidence)
	dst = binary.AppendUvarint(dst, code<<1|replaced)
	if exact {
		dst = appendFloat(dst, e.Confidence)
	}
	return dst
}

func confidenceCode1(c float64) (code uint64, exact bool) {
	if c < 0 {
		return confidenceNone1, false
	}
	if n := math.Round(c * 1000); n <= 1000 && n/1000 == c {
		return uint64(n) + 1, false
	}
	return confidenceExact1, true
}

// series1 reads into s, whose slices are reused. Its values are parts of the
// record. spilled says that its gone values are records of their own.
func (r *reader) series1(s *attribution.Series, values *values) (spilled bool) {
	s.Count = int64(r.uvarint())
	s.Entries, s.Gone = s.Entries[:0], s.Gone[:0]
	dict := values.list[:0]
	for range r.count(1) {
		dict = append(dict, r.bytes())
	}
	values.list = dict
	var before attribution.Arrival
	for range r.count(minEntry1) {
		e := attribution.Entry{TS: r.float(), Evidence: r.fixed64()}
		at := r.uvarint()
		if at >= uint64(len(dict)) {
			r.fail(errShort)
			return false
		}
		e.Value = dict[at]
		form := r.uvarint()
		switch code := form >> 1; {
		case code == confidenceNone1:
			e.Confidence = -1
		case code < confidenceExact1:
			e.Confidence = float64(code-1) / 1000
		default:
			e.Confidence = r.float()
		}
		e.Place = r.arrival(before)
		e.Latest = e.Place
		if form&1 == 1 {
			e.Latest = r.arrival(e.Place)
		}
		before = e.Place
		s.Entries = append(s.Entries, e)
	}
	gone := r.uvarint()
	if gone == 1 {
		return true
	}
	if gone%2 == 1 || gone/2 > uint64(len(r.b)/minGone1) {
		r.fail(errShort)
		return false
	}
	for range gone / 2 {
		s.Gone = append(s.Gone, attribution.Gone{Value: r.bytes(), TS: r.float()})
	}
	return false
}
