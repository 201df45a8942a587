package cowrie

import (
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTimestampIsReadInEverySpelling(t *testing.T) {
	for text, want := range map[string]micros{
		"1970-01-01T00:00:00Z":              0,
		"1970-01-01T00:00:00":               0,
		"1969-12-31T23:30:00-01:00":         1800 * microsPerSecond,
		"2026-03-01T10:00:00.5+02:00":       1772352000_500000,
		"2026-03-01T10:00:00.1234567-0530":  1772379000_123456,
		"2024-02-29T23:59:59.999999999999Z": 1709251199_999999,
		"2000-02-29T00:00:00Z":              951782400_000000,
		"2100-03-01T00:00:00Z":              4107542400_000000,
		"9999-12-31T23:59:59.999999-23:59":  253402387139_999999,
	} {
		if got, ok := parseTimestamp([]byte(text)); !ok || got != want {
			t.Errorf("parseTimestamp(%q) = %d, %v, want %d", text, got, ok, want)
		}
	}
}

func TestTimestampThatCannotBeRead(t *testing.T) {
	for _, text := range []string{
		"", "2026-03-01", "2026-03-01T10:00", "2026-03-01 10:00:00Z", "2026-03-01t10:00:00Z", "2026-03-01T10:00:00z",
		"2026-03-01T10:00:00.Z", "2026-03-01T10:00:00.", "2026-03-01T10:00:00,5Z", "2026-03-01T10:00:00ZZ",
		"2026-03-01T10:00:00 Z", " 2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z ", "2026-03-01T10:00:60Z",
		"2026-03-01T10:60:00Z", "2026-03-01T24:00:00Z", "2026-00-01T10:00:00Z", "2026-03-00T10:00:00Z",
		"2025-02-29T10:00:00Z", "2100-02-29T10:00:00Z", "2026-04-31T10:00:00Z", "1969-12-31T23:59:59.999999Z",
		"1970-01-01T00:00:00+00:01", "2026-03-01T10:00:00+02", "2026-03-01T10:00:00+2:00", "2026-03-01T10:00:00+24:00",
		"2026-03-01T10:00:00+02:60", "2026-03-01T10:00:00+02:0", "2026-03-01T10:00:00+020", "2026-03-01T10:00:00*02:00",
		"0000-01-01T00:00:00Z", "+026-03-01T10:00:00Z", "2026-03-01T-1:00:00Z", "2026-03-01T10:00:00+-1:00", "２026-03-01T10:00:00Z",
	} {
		if got, ok := parseTimestamp([]byte(text)); ok {
			t.Errorf("parseTimestamp(%q) = %d, want it unreadable", text, got)
		}
	}
}

func TestTimestampAgreesWithTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		us := rapid.Int64Range(0, 253402300799_999999).Draw(t, "us")
		zone := rapid.IntRange(-23*60-59, 23*60+59).Draw(t, "zone")
		at := time.UnixMicro(us).In(time.FixedZone("", zone*60))
		if at.Year() < 0 || at.Year() > 9999 {
			t.Skip("no such spelling")
		}
		text := at.Format("2006-01-02T15:04:05.000000-07:00")
		if got, ok := parseTimestamp([]byte(text)); !ok || int64(got) != us {
			t.Fatalf("parseTimestamp(%q) = %d, %v, want %d", text, got, ok, us)
		}
	})
}

func TestSecondsIsTheNearestDouble(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		us := rapid.Int64Range(0, 1<<62).Draw(t, "us")
		want, _ := big.NewRat(us, microsPerSecond).Float64()
		if got := micros(us).seconds(); got != want {
			t.Fatalf("micros(%d).seconds() = %v, want %v", us, got, want)
		}
	})
}

func FuzzTimestamp(f *testing.F) {
	f.Add([]byte("2026-03-01T10:00:00.000001Z"))
	f.Add([]byte("2026-03-01T10:00:00+0530"))
	f.Add([]byte("2026-02-30T10:00:00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		us, ok := parseTimestamp(text)
		if ok && (us < 0 || us > 253402387199_999999) {
			t.Fatalf("%q reads as %d", text, us)
		}
		want, err := time.Parse("2006-01-02T15:04:05Z07:00", string(text))
		if err != nil || want.Unix() < 0 || len(text) != len("2026-03-01T10:00:00Z") && len(text) != len("2026-03-01T10:00:00+01:00") || text[19] == '.' || text[19] == ',' {
			return // the standard library reads more spellings
		}
		if !ok || int64(us) != want.UnixMicro() {
			t.Fatalf("%q reads as %d, %v, want %d", text, us, ok, want.UnixMicro())
		}
	})
}
