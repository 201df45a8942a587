package canonical

import (
	"math"
	"math/big"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

func TestPowersAreRoundedUp(t *testing.T) {
	for e := minPower; e <= maxPower; e++ {
		exact := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(e, -e))), nil))
		if e < 0 {
			exact.Inv(exact)
		}
		p := powers[e-minPower]
		if p.hi>>63 == 0 {
			t.Fatalf("the first bit of 1e%d is 0", e)
		}
		got := new(big.Int).Lsh(new(big.Int).SetUint64(p.hi), 64)
		got.Add(got, new(big.Int).SetUint64(p.lo))
		if shift := log2Pow10(e) - 127; shift >= 0 {
			exact.Quo(exact, new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), uint(shift))))
		} else {
			exact.Mul(exact, new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), uint(-shift))))
		}
		less := new(big.Int).Sub(got, big.NewInt(1))
		if new(big.Rat).SetInt(got).Cmp(exact) < 0 || new(big.Rat).SetInt(less).Cmp(exact) >= 0 {
			t.Fatalf("1e%d begins with %x, want %s", e, got, exact.FloatString(3))
		}
	}
}

// checkShortest compares what shortest says with strconv.
func checkShortest(t interface{ Fatalf(string, ...any) }, f float64) {
	m, exp := shortest(f)
	for m%10 == 0 {
		m /= 10
		exp++
	}
	digits := strconv.FormatUint(m, 10)
	got := digits[:1]
	if len(digits) > 1 {
		got += "." + digits[1:]
	}
	if want := strconv.FormatFloat(f, 'e', -1, 64); len(digits) > maxDigits || !sameNumber(got, exp+len(digits)-1, want) {
		t.Fatalf("%x is %se%d, strconv says %s", math.Float64bits(f), got, exp+len(digits)-1, want)
	}
}

// sameNumber reports whether text is the same digits and the same exponent.
func sameNumber(digits string, exp int, text string) bool {
	at := len(digits)
	if len(text) <= at || text[:at] != digits || text[at] != 'e' {
		return false
	}
	e, err := strconv.Atoi(text[at+1:])
	return err == nil && e == exp
}

func TestShortestIsWhatStrconvSays(t *testing.T) {
	for e := range uint64(2047) { // powers of two, and what is next to them
		for d := range uint64(40) {
			for _, b := range []uint64{e<<mantissaBits + d, (e+1)<<mantissaBits - d - 1} {
				if b > 0 {
					checkShortest(t, math.Float64frombits(b))
				}
			}
		}
	}
	for e := -323; e <= 308; e++ { // powers of ten, and what is next to them
		f, err := strconv.ParseFloat("1e"+strconv.Itoa(e), 64)
		if err != nil {
			t.Fatal(err)
		}
		for m := range 50 {
			if g := f * float64(m+1); !math.IsInf(g, 0) {
				checkShortest(t, g)
				checkShortest(t, math.Nextafter(g, 1))
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.OneOf(rapid.Uint64Range(1, math.Float64bits(math.MaxFloat64)), rapid.Uint64Range(1, 1<<mantissaBits)).Draw(t, "bits")
		checkShortest(t, math.Float64frombits(b))
	})
}

// FuzzNumber compares what numbers are read as, and written as, with strconv.
func FuzzNumber(f *testing.F) {
	for _, mantissa := range []uint64{1, 5, 1 << 53, 1<<53 + 1, 9007199254740993, 17976931348623157, math.MaxUint64} {
		for _, exp := range []int{-344, -342, -324, -308, -27, -1, 0, 1, 22, 292, 308} {
			f.Add(mantissa, exp, uint64(0))
		}
	}
	f.Add(uint64(4503599627370497), -1, uint64(5))
	f.Fuzz(func(t *testing.T, mantissa uint64, exp int, more uint64) {
		text := strconv.AppendUint(nil, mantissa, 10)
		if more > 0 {
			text = strconv.AppendUint(append(text, '.'), more, 10)
		}
		text = strconv.AppendInt(append(text, 'e'), int64(exp%1000), 10)
		want, err := strconv.ParseFloat(string(text), 64)
		got, end, fault := scanNumber(text, 0)
		if (err == nil) != (fault == nil) || err == nil && (got != want || end != len(text)) {
			t.Fatalf("%s is read as %v up to byte %d, %v; strconv: %v, %v", text, got, end, fault, want, err)
		}
		if err == nil && want > 0 {
			checkShortest(t, want)
		}
	})
}
