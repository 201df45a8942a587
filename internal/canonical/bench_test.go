package canonical

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkAppend(b *testing.B) {
	shuffled := []byte("{")
	for i := range 1800 {
		shuffled = fmt.Appendf(shuffled, `"%04x":1,`, i*7919&0xffff)
	}
	type text struct{ name, text string }
	var tokens []text
	for _, token := range []string{
		"1", "12", "0.5", "-0", "1e9", "1E15", "1e-6", "1e16", "3e-101", "5e-324", "12e-324", "1.5e-323", "1234e-324", "123456789012345", "9007199254740993",
		"1e-307", "1.2345e-310", "0.1234567890123456", "1.4142135623730951e-300", "12345678901234567890", "4503599627370497.5", "123456789012e-330", "9007199254740993.00000000001", "1.0000000000000001110223024625156540423631668090820312", `""`, "{}", "[]", "null", `{"":1}`,
	} {
		tokens = append(tokens, text{"200 KiB of " + token, "[" + strings.Repeat(token+",", 200<<10/(len(token)+1)) + "1]"})
	}
	for _, bench := range append([]text{
		{"string", `"keyboard_interactive"`},
		{"escaped", `"a\u0041\ud83d\ude00 \"quoted\""`},
		{"integer", "250"},
		{"decimal", "0.8125"},
		{"timestamp", "1701015245.825"},
		{"17 digits", "1700000000.1234567"},
		{"less than the normal doubles", "5e-324"},
		{"between two doubles", "1.0000000000000001110223024625156540423631668090820312"},
		{"between two great doubles", "1.100000000000000078905671983e308"},
		{"array", `["curve25519-sha256","curve25519-sha256@libssh.org","ecdh-sha2-nistp256"]`},
		{"sorted object", `{"a":1,"b":2,"c":[1,2,3]}`},
		{"unsorted object", `{"c":[1,2,3],"b":2,"a":1}`},
		{"shuffled object", string(shuffled) + `"":1}`},
	}, tokens...) {
		b.Run(bench.name, func(b *testing.B) {
			src := []byte(bench.text)
			var dst []byte
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if dst, _, err = Append(dst[:0], src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
