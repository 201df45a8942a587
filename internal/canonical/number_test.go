package canonical

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNumberOfLongTexts(t *testing.T) {
	zeros := strings.Repeat("0", 200_000)
	nines := strings.Repeat("9", 5000)
	tests := []struct {
		in   string
		want float64
		err  error
	}{
		{"0." + zeros + "1e200001", 1, nil},
		{"-0." + zeros + "25e200001", -2.5, nil},
		{"1" + zeros + "e-200000", 1, nil},
		{"1" + zeros, 0, ErrNotFinite},
		{"0." + zeros + "1", 0, nil},
		{"0." + zeros + "1e99999999999999999999", 0, ErrNotFinite},
		{"1" + zeros + "e-99999999999999999999", 0, nil},
		{"-0." + zeros, 0, nil},
		{"0." + nines, 1, nil},
		{nines + "." + nines + "e-5000", 1, nil},
		{"17976931348623157" + zeros + "e-199708", 1.7976931348623157e308, nil},
	}
	for _, tt := range tests {
		out, rest, err := Append(nil, []byte(tt.in))
		if !errors.Is(err, tt.err) {
			t.Errorf("Append(%.20s... of %d bytes): %v, want %v", tt.in, len(tt.in), err, tt.err)
			continue
		}
		if f, ok := Number(out); err == nil && (!ok || f != tt.want || math.Signbit(f) != math.Signbit(tt.want) || len(rest) > 0) {
			t.Errorf("Append(%.20s... of %d bytes) = %s, want %v", tt.in, len(tt.in), out, tt.want)
		}
	}
}

func TestNumberRefuses(t *testing.T) {
	for _, in := range []string{"", " 1", "1 ", "01", "-", "1e", "null", "true", `"1"`, "1e999", "NaN", "0x1", "1_0", "+1"} {
		if f, ok := Number([]byte(in)); ok {
			t.Errorf("Number(%q) = %v, true", in, f)
		}
	}
}

func TestAppendFloat(t *testing.T) {
	for _, tt := range []struct {
		f    float64
		want string
	}{
		{0, "0"}, {math.Copysign(0, -1), "0"}, {1, "1"}, {-1, "-1"}, {1e15, "1000000000000000"}, {1e16, "1e16"}, {-1e16, "-1e16"},
		{1 << 53, "9007199254740992"}, {9999999999999998, "9999999999999998"}, {0.1, "0.1"}, {1e-6, "0.000001"}, {9.5e-7, "9.5e-7"},
		{1e-10, "1e-10"}, {1e100, "1e100"}, {1.5e100, "1.5e100"}, {5e-324, "5e-324"}, {math.MaxFloat64, "1.7976931348623157e308"},
		{-math.SmallestNonzeroFloat64, "-5e-324"}, {math.NaN(), "null"}, {math.Inf(1), "null"}, {math.Inf(-1), "null"},
	} {
		if got := AppendFloat(nil, tt.f); string(got) != tt.want {
			t.Errorf("AppendFloat(%v) = %s, want %s", tt.f, got, tt.want)
		}
	}
}

func TestEveryFiniteDoubleReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := math.Float64frombits(rapid.Uint64().Draw(t, "bits"))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			t.Skip()
		}
		text := AppendFloat(nil, f)
		if back, ok := Number(text); !ok || back != f {
			t.Fatalf("AppendFloat(%v) = %s, which reads as %v, %v", f, text, back, ok)
		}
		if len(text) > 24 {
			t.Fatalf("AppendFloat(%v) = %s: %d bytes", f, text, len(text))
		}
	})
}

// What is written by the short path and what lies next to it is what strconv
// writes.
func TestThousandthsAreWrittenAsStrconvDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.Int64Range(1, 2e15), rapid.Int64Range(-2e15, -1)).Draw(t, "thousandths")
		f := float64(n) / 1000
		switch rapid.IntRange(0, 2).Draw(t, "next") {
		case 1:
			f = math.Nextafter(f, math.Inf(1))
		case 2:
			f = math.Nextafter(f, math.Inf(-1))
		}
		if got, want := string(AppendFloat(nil, f)), strconv.FormatFloat(f, 'f', -1, 64); got != want {
			t.Fatalf("%s, strconv says %s", got, want)
		}
	})
}

// TestNumbersAreRead checks every path to a double, the short one and the one
// that copies the text above all, against strconv.
func TestNumbersAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?`).Draw(t, "text")
		want, err := strconv.ParseFloat(text, 64)
		if want == 0 {
			want = 0 // never -0
		}
		out, rest, got := Append(nil, []byte(text))
		if err != nil {
			if !errors.Is(got, ErrNotFinite) {
				t.Fatalf("Append(%s) = %s, %v; strconv: %v", text, out, got, err)
			}
			return
		}
		if got != nil || len(rest) > 0 {
			t.Fatalf("Append(%s): %v, rest %q", text, got, rest)
		}
		if string(out) != string(AppendFloat(nil, want)) {
			t.Fatalf("Append(%s) = %s, want %s", text, out, AppendFloat(nil, want))
		}
	})
}

// Short decimals around the ends of the range, and around the bounds of plain notation.
func TestShortDecimalsAreWrittenAsTheirDoublesAre(t *testing.T) {
	for _, exp := range []int{-332, -331, -325, -324, -323, -322, -321, -310, -309, -308, -307, -306, -23, -22, -21, -20, -12, -8, -7, -6, -5, -1, 0, 1, 2, 13, 14, 15, 16, 17, 21, 22, 23, 287, 288, 305, 306, 307, 308} {
		for m := range 2200 {
			if m >= 1200 { // of up to 15 digits
				m *= 454_545_454_545
			}
			for _, text := range []string{fmt.Sprintf("%de%d", m, exp), fmt.Sprintf("-%d.5E%+d", m, exp), fmt.Sprintf("%d.%de%d", m%10, m/10, exp)} {
				f, err := strconv.ParseFloat(text, 64)
				out, _, got := Append(nil, []byte(text))
				if err != nil {
					if !errors.Is(got, ErrNotFinite) {
						t.Fatalf("Append(%s) = %s, %v; strconv: %v", text, out, got, err)
					}
					continue
				}
				if want := AppendFloat(nil, f); got != nil || !bytes.Equal(out, want) {
					t.Fatalf("Append(%s) = %s, %v; want %s", text, out, got, want)
				}
			}
		}
	}
}

// TestMiddlesAreRead checks numbers at and next to the middle between two doubles, of few
// and many digits: there a double is exact or wrong.
func TestMiddlesAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.OneOf(
			rapid.Uint64Range(0, math.Float64bits(math.MaxFloat64)),
			rapid.Uint64Range(0, 1<<53), // subnormal ones, and those next to them
			rapid.Uint64Range(math.Float64bits(1e300), math.Float64bits(math.MaxFloat64)),
			rapid.Map(rapid.Uint64Range(0, 2046), func(e uint64) uint64 { return e << 52 }), // powers of two
		).Draw(t, "bits")
		f := math.Float64frombits(b)
		exact := new(big.Float).SetPrec(1200).SetFloat64(f)
		half := new(big.Float).SetMantExp(big.NewFloat(0.5), max(exact.MantExp(nil)-53, -1074))
		exact.Add(exact, half)
		digits := rapid.SampledFrom([]int{1, 2, 5, 15, 17, 18, 19, 20, 21, 22, 25, 37, 38, 39, 100, 766, 767, 768, 799, 800, 801, 900}).Draw(t, "digits")
		text := []byte(exact.Text('e', digits-1))
		last := bytes.IndexByte(text, 'e') - 1
		if other := rapid.ByteRange('0', '9').Draw(t, "last digit"); rapid.Bool().Draw(t, "other") && isDigit(text[last]) && last > 0 {
			text[last] = other
		}
		want, err := strconv.ParseFloat(string(text), 64)
		if got, _, fault := scanNumber(text, 0); fault == nil != (err == nil) || err == nil && got != want {
			t.Fatalf("scanNumber(%s) = %v, %v; strconv: %v, %v", text, got, fault, want, err)
		}
	})
}
