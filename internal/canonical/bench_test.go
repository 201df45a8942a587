package canonical

import (
	"fmt"
	"testing"
)

func BenchmarkAppend(b *testing.B) {
	shuffled := []byte("{")
	for i := range 1800 {
		shuffled = fmt.Appendf(shuffled, `"%04x":1,`, i*7919&0xffff)
	}
	for _, bench := range []struct{ name, text string }{
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
	} {
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
