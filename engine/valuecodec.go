package engine

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"handprint/attribution"
)

// A value: a uvarint, the number of bytes times 4 and the form, and the bytes.
//
//	0  the text
//	1  the text in quotes, without them
//	2  lower-case hexadecimal digits in quotes: a byte for two of them
//	3  a number: half a byte for each character, the high half first; 15 fills
//	   up the last byte
//
// Any text is read as it was written; what the forms are made for (hashes,
// words, doubles) is what sensors send.
const (
	valueText   = 0
	valueQuoted = 1
	valueHex    = 2
	valueNumber = 3
)

// alphabet is what a form packs, and how.
type alphabet struct {
	half  [256]uint8  // what a letter becomes, or noHalf
	pairs [256]uint16 // the letters that a byte becomes, little endian, or noPair
}

const (
	filler = 15
	noHalf = 0xff
	noPair = 0x8080 // letters are ASCII
)

var (
	numberAlphabet = newAlphabet("0123456789-.e+")
	hexAlphabet    = newAlphabet("0123456789abcdef")
)

func newAlphabet(letters string) (a alphabet) {
	for i := range a.half {
		a.half[i], a.pairs[i] = noHalf, noPair
	}
	for i := range letters {
		a.half[letters[i]] = uint8(i)
		for j := range letters {
			a.pairs[i<<4|j] = uint16(letters[i]) | uint16(letters[j])<<8
		}
	}
	return a
}

// pack appends a text of letters with halves; ok says that it is one.
func (a *alphabet) pack(dst []byte, text attribution.Value, form uint64) (packed []byte, ok bool) {
	if a.half[text[0]] == noHalf {
		return nil, false // most texts of other letters are told by the first
	}
	n := (len(text) + 1) / 2
	dst = binary.AppendUvarint(dst, uint64(n)<<2|form)
	at := len(dst)
	dst = slices.Grow(dst, n)[:at+n]
	to := dst[at:]
	all := uint8(0)
	for i := range len(text) / 2 {
		high, low := a.half[text[2*i]], a.half[text[2*i+1]]
		all |= high | low
		to[i] = high<<4 | low
	}
	if len(text)%2 == 1 {
		high := a.half[text[len(text)-1]]
		all |= high
		to[n-1] = high<<4 | filler
	}
	return dst, all != noHalf
}

// unpack appends the letters of all bytes.
func (a *alphabet) unpack(dst, packed []byte) (text []byte, ok bool) {
	at := len(dst)
	dst = slices.Grow(dst, 2*len(packed))[:at+2*len(packed)]
	all := uint16(0)
	for i, b := range packed {
		pair := a.pairs[b]
		all |= pair
		binary.LittleEndian.PutUint16(dst[at+2*i:], pair)
	}
	return dst, all&noPair == 0
}

var errValue = errors.New("malformed value")

func appendValue(dst []byte, v attribution.Value) []byte {
	n := len(v)
	if n > 2 && v[0] == '"' && v[n-1] == '"' {
		within := v[1 : n-1]
		if n%2 == 0 {
			if packed, ok := hexAlphabet.pack(dst, within, valueHex); ok {
				return packed
			}
		}
		dst = binary.AppendUvarint(dst, uint64(len(within))<<2|valueQuoted)
		return append(dst, within...)
	}
	if n > 1 {
		if packed, ok := numberAlphabet.pack(dst, v, valueNumber); ok {
			return packed
		}
	}
	dst = binary.AppendUvarint(dst, uint64(n)<<2|valueText)
	return append(dst, v...)
}

// values hold the values of a series that is read: their list, and the texts of
// packed ones. They are reused from record to record.
type values struct {
	list  [][]byte
	texts []byte
	long  longReader
	longs []longText // that were spelled out
}

func (v *values) reset() { v.list, v.texts, v.longs = v.list[:0], v.texts[:0], v.longs[:0] }

// value reads a value; the slice is part of the record or of values.
func (r *reader) value(values *values) attribution.Value {
	head := r.uvarint()
	n := head >> 2
	if n > uint64(len(r.b)) {
		r.fail(errShort)
		return nil
	}
	packed := r.b[:n:n]
	r.b = r.b[n:]
	text, from, ok := values.texts, len(values.texts), true
	switch head & 3 {
	case valueText:
		if isLong(packed) {
			return r.spellOut(packed, values)
		}
		return packed
	case valueQuoted:
		text = append(append(append(text, '"'), packed...), '"')
	case valueHex:
		text, ok = hexAlphabet.unpack(append(text, '"'), packed)
		text = append(text, '"')
	case valueNumber:
		if last := len(packed) - 1; last >= 0 && packed[last]&15 == filler {
			// The last half is no letter: any that is one stands for it, and goes.
			text, ok = numberAlphabet.unpack(text, packed[:last])
			pair := numberAlphabet.pairs[packed[last]&^15]
			text = append(text, byte(pair))
			ok = ok && pair != noPair
		} else {
			text, ok = numberAlphabet.unpack(text, packed)
		}
	}
	if !ok {
		r.fail(errValue)
		return nil
	}
	values.texts = text
	return text[from:len(text):len(text)]
}

// A confidence: a byte, 0..100 as hundredths, 101 none, 102 two bytes of
// thousandths follow, 103 a double follows, from 104 on fractions: of windows
// and rotations that are no thousandths.
const (
	confidenceNone        = 101
	confidenceThousandths = 102
	confidenceExact       = 103
	confidenceFraction    = 104
)

// hundredths and fractions are as divisions give them, which is how confidences
// are made. A record has the place of a fraction: more may only be added behind
// them, in a version to come.
var (
	hundredths = func() (of [101]float64) {
		for n := range of {
			of[n] = float64(n) / 100
		}
		return of
	}()
	fractions = [...]float64{
		1.0 / 3, 2.0 / 3, 1.0 / 6, 5.0 / 6,
		1.0 / 7, 2.0 / 7, 3.0 / 7, 4.0 / 7, 5.0 / 7, 6.0 / 7,
		1.0 / 9, 2.0 / 9, 4.0 / 9, 5.0 / 9, 7.0 / 9, 8.0 / 9,
	}
)

func appendConfidence(dst []byte, c float64) []byte {
	if !(c >= 0 && c <= 1) {
		if c == -1 {
			return append(dst, confidenceNone)
		}
		return appendFloat(append(dst, confidenceExact), c)
	}
	is := math.Float64bits(c)
	if n := int(c*100 + 0.5); is == math.Float64bits(hundredths[n]) {
		return append(dst, byte(n))
	}
	if n := int(c*1000 + 0.5); is == math.Float64bits(float64(n)/1000) {
		return binary.LittleEndian.AppendUint16(append(dst, confidenceThousandths), uint16(n))
	}
	for n, f := range fractions {
		if is == math.Float64bits(f) {
			return append(dst, confidenceFraction+byte(n))
		}
	}
	return appendFloat(append(dst, confidenceExact), c)
}

func (r *reader) confidence() float64 {
	switch code := r.byte(); {
	case code < uint8(len(hundredths)):
		return hundredths[code]
	case code == confidenceNone:
		return -1
	case code == confidenceThousandths:
		if len(r.b) < 2 {
			r.fail(errShort)
			return 0
		}
		n := binary.LittleEndian.Uint16(r.b)
		r.b = r.b[2:]
		return float64(n) / 1000
	case code == confidenceExact:
		return r.float()
	case int(code-confidenceFraction) < len(fractions):
		return fractions[code-confidenceFraction]
	default:
		r.fail(errValue)
		return 0
	}
}
