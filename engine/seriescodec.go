package engine

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math"
	"math/bits"
	"slices"

	"handprint/attribution"
)

// A series, without a version: it stands inside a row or a contribution.
//
//	flags      byte: 1 the count is the number of entries, 2 gone values are
//	           records of their own, 4 gone values follow the entries, and
//	           times 8 the shift: how many low bits of all ts, as doubles, are
//	           0, at most 31
//	count      uvarint, unless a flag says it
//	entries    uvarint, then each:
//	             form        2 bytes, little endian, from the low end: 4 bits
//	                         which value, 15: a uvarint says it; a bit each if
//	                         another record replaced the first, if the
//	                         partition differs from that of the entry before,
//	                         if the confidence does; 3 bits each the sizes of
//	                         ts, time and offset: 0 to 6 bytes, 7 means 8
//	             evidence    8 bytes
//	             ts          the bits of the double less the expected
//	                         ones (below), without the shift
//	             time        that of the place, less that of the entry before
//	             offset      likewise; these three are zigzag, little endian
//	             value       uvarint, if its number is 15 or more; and if it is
//	                         the number of values so far, a new one (see
//	                         appendValue)
//	             partition   varint, the difference, if it differs
//	             confidence  see appendConfidence, if it differs
//	             latest      varints: time, partition, offset, as differences
//	                         to place, if another record replaced the first
//	tree       if gone values are records of their own: how many, uvarint, which
//	           is not 0, the name of their root, and the least ts, 8 bytes
//	gone       uvarint, then each: a value, and a varint as ts has it, with what
//	           was before expected; the first is expected at the last entry
//
// The entry before the first is taken to be all zero, without a confidence.
//
// Doubles of one sign are in the order of their bits, so that of two that are
// near each other the bits are, and any double at all is what was expected plus
// something. Around now a second is 2^22 of the last bits. Observations come
// some time after their ts, so an entry is expected as long after the one
// before as its record arrived later; the first when it arrived.
const (
	seriesCounted = 1
	seriesSpilled = 2
	seriesGone    = 4
	seriesShift   = 3
	maxShift      = 31

	entryValue      = 0xf
	entryReplaced   = 1 << 4
	entryPartition  = 1 << 5
	entryConfidence = 1 << 6
	entryTS         = 7
	entryTime       = 10
	entryOffset     = 13
)

// Bytes that an entry and a gone value take at least, which bounds what a
// hostile count can make us allocate; and what an entry takes at most before
// its value.
const (
	minEntry = 10
	minGone  = 2
	maxFixed = 34
)

// sizes are what the three bits of a size mean, sizeOf the bits of a size by
// the bits of a number, and masks what a size leaves of 8 bytes.
var (
	sizes  = [8]uint8{0, 1, 2, 3, 4, 5, 6, 8}
	sizeOf = func() (of [65]uint8) {
		for n := range of {
			of[n] = uint8(min((n+7)/8, 7))
		}
		return of
	}()
	masks = [8]uint64{0, 1<<8 - 1, 1<<16 - 1, 1<<24 - 1, 1<<32 - 1, 1<<40 - 1, 1<<48 - 1, math.MaxUint64}
)

func zigzag(n int64) uint64   { return uint64(n<<1) ^ uint64(n>>63) }
func unzigzag(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }

// expected returns the bits of the ts that is expected ms milliseconds after
// the one with these bits. Any answer would do that is the same for reader and
// writer, so it is worked out in integers.
func expected(before uint64, ms int64, shift uint) uint64 {
	return (before + uint64(ms<<22/1000)) >> shift << shift
}

// appendSeries appends a series, whose long values stand as long has them.
func appendSeries(dst []byte, s *series, long *longWriter) []byte {
	low := uint64(1) << maxShift
	for i := range s.Entries {
		low |= math.Float64bits(s.Entries[i].TS)
	}
	flags := byte(0)
	if s.Elsewhere > 0 {
		flags = seriesSpilled
	}
	if len(s.Gone) > 0 {
		flags |= seriesGone
		for i := range s.Gone {
			low |= math.Float64bits(s.Gone[i].TS)
		}
	}
	shift := uint(bits.TrailingZeros64(low))
	flags |= byte(shift) << seriesShift
	if s.Count == int64(len(s.Entries)) {
		dst = append(dst, flags|seriesCounted)
	} else {
		dst = binary.AppendUvarint(append(dst, flags), uint64(s.Count))
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.Entries)))

	var seen distinct
	if n := min(len(s.Entries), maxSeen); n > 1 {
		var few [64]firstSeen // clearing it is half of what an entry costs
		seen.table = few[:]
		if n > len(few)/2 {
			seen.table = make([]firstSeen, 2<<bits.Len(uint(n)))
		}
	}
	before, confidence := &attribution.Entry{}, math.Float64bits(-1)
	ts := uint64(0)
	for i := range s.Entries {
		e := &s.Entries[i]
		which, isNew := seen.number(s.Entries, i)
		form := uint64(min(which, entryValue))
		if e.Latest != e.Place {
			form |= entryReplaced
		}
		if e.Place.Partition != before.Place.Partition {
			form |= entryPartition
		}
		c := math.Float64bits(e.Confidence)
		if c != confidence {
			form |= entryConfidence
		}
		later := e.Place.Time - before.Place.Time
		if i == 0 {
			ts = secondsBits(e.Place.Time)
			ts = ts >> shift << shift
		} else {
			ts = expected(ts, later, shift)
		}
		is := math.Float64bits(e.TS)
		tsN, timeN, offsetN := zigzag(int64(is-ts)>>shift), zigzag(later), zigzag(e.Place.Offset-before.Place.Offset)
		tsS, timeS, offsetS := sizeOf[bits.Len64(tsN)], sizeOf[bits.Len64(timeN)], sizeOf[bits.Len64(offsetN)]
		form |= uint64(tsS)<<entryTS | uint64(timeS)<<entryTime | uint64(offsetS)<<entryOffset

		// Each number is written whole and the next one over what it has too
		// many.
		at := len(dst)
		dst = slices.Grow(dst, maxFixed+8)
		room := dst[at : at+maxFixed+8]
		binary.LittleEndian.PutUint16(room, uint16(form))
		binary.LittleEndian.PutUint64(room[2:], e.Evidence)
		n := 10
		binary.LittleEndian.PutUint64(room[n:], tsN)
		n += int(sizes[tsS])
		binary.LittleEndian.PutUint64(room[n:], timeN)
		n += int(sizes[timeS])
		binary.LittleEndian.PutUint64(room[n:], offsetN)
		n += int(sizes[offsetS])
		dst = dst[:at+n]

		if which >= entryValue {
			dst = binary.AppendUvarint(dst, uint64(which))
		}
		if isNew {
			dst = long.append(dst, e.Value)
		}
		if form&entryPartition != 0 {
			dst = binary.AppendVarint(dst, int64(e.Place.Partition)-int64(before.Place.Partition))
		}
		if c != confidence {
			dst = appendConfidence(dst, e.Confidence)
		}
		if form&entryReplaced != 0 {
			dst = appendArrival(dst, e.Latest, e.Place)
		}
		before, confidence, ts = e, c, is
	}
	if flags&seriesSpilled != 0 {
		dst = binary.AppendUvarint(dst, uint64(s.Elsewhere))
		dst = appendFloat(appendValue(dst, s.root), s.oldest)
	}
	if flags&seriesGone == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.Gone)))
	for i := range s.Gone {
		dst = long.append(dst, s.Gone[i].Value)
		is := math.Float64bits(s.Gone[i].TS)
		dst = binary.AppendVarint(dst, int64(is-ts)>>shift)
		ts = is
	}
	return dst
}

// distinct numbers the values of a series by where they are first seen. It is a
// table of hashes, since comparing each with each takes long where, as of
// numbers, no two are equal.
type distinct struct {
	table []firstSeen // of a power of two; at most half of it is taken
	count int
	last  int
}

type firstSeen struct {
	at     uint16 // of the entry, plus 1
	number uint16
}

// maxSeen is how many entries the table takes. A value that is first seen
// beyond is written each time anew.
const maxSeen = math.MaxUint16

var valueSeed = maphash.MakeSeed()

// number returns the number of the value of the ith entry; those before it were
// asked for. Most have the value of the entry before or of the first, which costs
// no look into the table.
func (d *distinct) number(entries []attribution.Entry, i int) (n int, isNew bool) {
	v := entries[i].Value
	switch {
	case i == 0:
		d.count = 1
		return 0, true
	case bytes.Equal(v, entries[i-1].Value):
		return d.last, false
	case bytes.Equal(v, entries[0].Value):
		d.last = 0
		return 0, false
	}
	mask := uint64(len(d.table) - 1)
	for h := maphash.Bytes(valueSeed, v) & mask; ; h = (h + 1) & mask {
		slot := &d.table[h]
		if slot.at == 0 {
			d.last = d.count
			d.count++
			if i < maxSeen {
				*slot = firstSeen{uint16(i + 1), uint16(d.last)}
			}
			return d.last, true
		}
		if bytes.Equal(v, entries[slot.at-1].Value) {
			d.last = int(slot.number)
			return d.last, false
		}
	}
}

// series reads into s, whose slices are reused. Its values are parts of the
// record or of values, which hold nothing before.
func (r *reader) series(s *series, values *values) {
	flags := r.byte()
	shift := uint(flags >> seriesShift)
	s.Entries, s.Gone = s.Entries[:0], s.Gone[:0]
	s.Elsewhere, s.root, s.oldest = 0, nil, 0
	if flags&seriesCounted == 0 {
		s.Count = int64(r.uvarint())
	}
	count := r.count(minEntry)
	if flags&seriesCounted != 0 {
		s.Count = int64(count)
	}
	s.Entries = slices.Grow(s.Entries, count)[:count]
	var place attribution.Arrival
	ts, confidence := uint64(0), -1.0
	for i := range s.Entries {
		b := r.b
		if len(b) < minEntry {
			r.fail(errShort)
			return
		}
		form := uint(binary.LittleEndian.Uint16(b))
		tsS, timeS, offsetS := form>>entryTS&7, form>>entryTime&7, form>>entryOffset&7
		e := &s.Entries[i]
		e.Evidence = binary.LittleEndian.Uint64(b[2:])
		var tsN, timeN, offsetN uint64
		if len(b) >= maxFixed {
			// Each number is read with what stands behind it, which goes.
			at := minEntry
			tsN = binary.LittleEndian.Uint64(b[at:]) & masks[tsS]
			at += int(sizes[tsS])
			timeN = binary.LittleEndian.Uint64(b[at:]) & masks[timeS]
			at += int(sizes[timeS])
			offsetN = binary.LittleEndian.Uint64(b[at:]) & masks[offsetS]
			r.b = b[at+int(sizes[offsetS]):]
		} else {
			r.b = b[minEntry:]
			tsN, timeN, offsetN = r.sized(tsS), r.sized(timeS), r.sized(offsetS)
		}
		later := unzigzag(timeN)
		place.Time += later
		place.Offset += unzigzag(offsetN)
		if i == 0 {
			ts = secondsBits(place.Time) >> shift << shift
		} else {
			ts = expected(ts, later, shift)
		}
		ts += uint64(unzigzag(tsN)) << shift
		e.TS = math.Float64frombits(ts)

		which := uint64(form & entryValue)
		if which == entryValue {
			which = r.uvarint()
		}
		switch known := uint64(len(values.list)); {
		case which == known:
			values.list = append(values.list, r.value(values))
		case which > known:
			r.fail(errShort)
		}
		if r.err != nil {
			return
		}
		e.Value = values.list[which]
		if form&entryPartition != 0 {
			place.Partition = int32(int64(place.Partition) + r.varint())
		}
		if form&entryConfidence != 0 {
			confidence = r.confidence()
		}
		e.Confidence = confidence
		e.Place, e.Latest = place, place
		if form&entryReplaced != 0 {
			e.Latest = r.arrival(place)
		}
	}
	if flags&seriesSpilled != 0 {
		n := r.uvarint()
		if n == 0 || n > math.MaxInt32 {
			r.fail(errValue)
			return
		}
		s.Elsewhere, s.root, s.oldest = int(n), r.value(values), r.float()
	}
	if flags&seriesGone != 0 {
		for range r.count(minGone) {
			v := r.value(values)
			ts += uint64(r.varint()) << shift
			s.Gone = append(s.Gone, attribution.Gone{Value: v, TS: math.Float64frombits(ts)})
		}
	}
}

// sized reads a number of a size that three bits say.
func (r *reader) sized(size uint) (n uint64) {
	count := int(sizes[size])
	if len(r.b) < count {
		r.fail(errShort)
		return 0
	}
	for i := range count {
		n |= uint64(r.b[i]) << (8 * i)
	}
	r.b = r.b[count:]
	return n
}

func appendArrival(dst []byte, a, before attribution.Arrival) []byte {
	dst = binary.AppendVarint(dst, a.Time-before.Time)
	dst = binary.AppendVarint(dst, int64(a.Partition)-int64(before.Partition))
	return binary.AppendVarint(dst, a.Offset-before.Offset)
}

func (r *reader) arrival(before attribution.Arrival) attribution.Arrival {
	return attribution.Arrival{
		Time:      before.Time + r.varint(),
		Partition: int32(int64(before.Partition) + r.varint()),
		Offset:    before.Offset + r.varint(),
	}
}
