package engine

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"

	"handprint/attribution"
)

// A value of more than longValue bytes, up to largeValue, is a record of its own
// as well: the record of a series has longMark and a digest in its place. So an
// observation writes the text of a value once, when the value is new to its
// series, and not with each of the next 32. Unlike a large value it is spelled
// out whenever a series is read, so nothing above the codecs knows of it. What
// was published last of a row is spelled out in the row's record, which is shown
// to the world without a look at others.
//
// A value of more than middleValue bytes, as it is written, is a record of its own
// if it is new to its series and the series' record has maxMiddle bytes of such
// values already. As long as it is kept it stays one. So a few values of some
// length, as sensors send them, stay where they are, and however many and however
// long the values are, a series' record has a bounded number of their bytes.
//
// The key is that of the series: identity and primitive of a row's own series,
// with the attacker for a contribution; then the digest.
const (
	longValue   = 96
	middleValue = 40
	longMark    = 0x02 // no canonical JSON begins with it, and no large value's place
)

var maxMiddle = 512 // tests have less

// longText is a value that is a record of its own, as a series was read with it.
type longText struct {
	digest [digestSize]byte
	text   attribution.Value // empty: not at hand
	kept   bool              // the series is being written, and still has it
}

// longReader spells out what stands for long values in a record. One without a
// place to read from leaves them as they stand.
type longReader struct {
	from   Reader
	series []byte // the key of its row or contribution
	key    []byte // scratch: of a long value
	prefix int    // how many bytes of key all of the series have; 0: not known yet
}

// at says where the long values of a series are, by the key of its row or
// contribution, which is to stay until the series is read.
func (l *longReader) at(from Reader, key []byte) { l.from, l.series, l.prefix = from, key, 0 }

// any reports whether the series has, or had, long values.
func (w *longWriter) any() bool { return len(w.known) > 0 || len(w.fresh) > 0 }

func isLong(v attribution.Value) bool { return len(v) == 1+digestSize && v[0] == longMark }

// spellOut returns the text that a value of a record stands for.
func (r *reader) spellOut(ref attribution.Value, values *values) attribution.Value {
	if values.long.from == nil {
		return ref
	}
	l := &values.long
	if l.prefix == 0 {
		l.key = longPrefix(l.key, l.series)
		l.prefix = len(l.key)
	}
	l.key = append(l.key[:l.prefix], ref[1:]...)
	b, err := l.from.Get(l.key)
	if err == nil && b == nil {
		err = fmt.Errorf("the long value %x is not in the store", ref[1:])
	}
	if err != nil {
		r.fail(err)
		return nil
	}
	at := len(values.texts)
	values.texts = append(values.texts, b...)
	text := attribution.Value(values.texts[at:len(values.texts):len(values.texts)])
	values.longs = append(values.longs, longText{digest: [digestSize]byte(ref[1:]), text: text})
	return text
}

// longWriter says how values stand in the record of a series. A nil one has all
// spelled out.
type longWriter struct {
	known []longText // that the series was read with
	next  int        // of known: where the next value is looked for first
	fresh []longText // that have no record yet
	// middle is how many bytes the record has of values between middleValue and
	// longValue.
	middle int
	ref    [1 + digestSize]byte
}

// begin makes w ready for a series.
func (w *longWriter) begin(s *series) {
	w.known, w.next, w.fresh, w.middle = s.long, 0, w.fresh[:0], 0
	for i := range w.known {
		w.known[i].kept = false
	}
}

// append appends what stands for a value in the record.
func (w *longWriter) append(dst []byte, v attribution.Value) []byte {
	if w == nil || len(v) <= middleValue {
		return appendValue(dst, v)
	}
	if len(v) <= longValue && !w.refers(v) {
		at := len(dst)
		dst = appendValue(dst, v)
		n := len(dst) - at
		if n <= middleValue {
			return dst
		}
		if w.middle += n; w.middle <= maxMiddle {
			return dst
		}
		w.middle -= n
		dst = dst[:at]
	}
	return appendValue(dst, w.stored(v))
}

// refers reports whether a value is a record of its own: it was one when the series
// was read, or has become one.
func (w *longWriter) refers(v attribution.Value) bool {
	if len(v) <= middleValue {
		return false
	}
	if len(v) > longValue {
		return true
	}
	is := func(l longText) bool { return bytes.Equal(l.text, v) }
	return slices.ContainsFunc(w.known, is) || slices.ContainsFunc(w.fresh, is)
}

// stored returns what stands for a value that is a record of its own. It is valid
// until the next call.
func (w *longWriter) stored(v attribution.Value) attribution.Value {
	if len(v) > largeValue { // a number, which is no longer than it must be
		return v
	}
	w.ref[0] = longMark
	digest := w.digest(v)
	copy(w.ref[1:], digest[:])
	return w.ref[:]
}

func (w *longWriter) digest(v attribution.Value) [digestSize]byte {
	for range w.known {
		if w.next >= len(w.known) {
			w.next = 0
		}
		k := &w.known[w.next]
		w.next++
		if len(k.text) == len(v) && &k.text[0] == &v[0] { // it was read with the series
			k.kept = true
			return k.digest
		}
	}
	sum := sha256.Sum256(v)
	digest := [digestSize]byte(sum[:])
	known := false
	for i := range w.known {
		if w.known[i].digest == digest {
			w.known[i].kept, known = true, true
		}
	}
	if !known {
		w.fresh = append(w.fresh, longText{digest: digest, text: v, kept: true})
	}
	return digest
}

// storeLong brings the records of long values in step with the record of a
// series, whose key is given. The series was written with e.long just now.
func (e *Engine) storeLong(s *series, key []byte) {
	w := &e.long
	e.keys.part = longPrefix(e.keys.part, key)
	of := func(l *longText) []byte { return append(e.keys.part, l.digest[:]...) }
	left := w.known[:0]
	for i := range w.known {
		k := w.known[i]
		if k.kept || w.keeps(&k) {
			left = append(left, k)
			continue
		}
		e.store.Delete(of(&k))
	}
	for i := range w.fresh {
		e.store.Put(of(&w.fresh[i]), w.fresh[i].text)
	}
	s.long = append(left, w.fresh...)
}

// keeps reports whether a value that a series was read with twice is kept.
func (w *longWriter) keeps(l *longText) bool {
	for i := range w.known {
		if w.known[i].kept && w.known[i].digest == l.digest {
			return true
		}
	}
	return false
}
