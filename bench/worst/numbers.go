package main

import (
	"fmt"
	"strings"
)

// middles are next to the middle between two doubles, where their first digits do not
// say which one is nearer.
var middles = []string{
	"1.0000000000000001110223024625156540423631668090820312",
	"1.1000000000000000789056719830e308",
	"2.3000000000000002470328229206e-308",
	"9007199254740993",
	"1.7976931348623157e308",
	"2.4703282292062328e-324",
}

// tokens are short values, which take long to read for what they are. Of slowTokens a value
// of 200 KiB is above the bounds; docs/performance.md has more of them.
var tokens = []string{
	"1", "12", "-0", "1.0", "1e0", "2e1", "-1.0", "0e0", "1e16", "3e-101", "5e-324", "123456789012e-330", "1.4142135623730951e-300",
	"4503599627370497.5", "12345678901234567890", "9007199254740993.00000000001", "2.3000000000000002470328229206e-308",
	`""`, "[]", "{}", "[1]", `{"":1}`, `"\u000a"`, "null",
}

var slowTokens = []string{"1e-1", "1.10", "1234e-324"}

// arrayOf is an array of a number, again and again, and of v; about as long as length.
func arrayOf(number string, length, v int) string {
	return "[" + strings.Repeat(number+",", length/(len(number)+1)) + fmt.Sprint(v) + "]"
}

// numberKinds are inputs of numbers that take long to read.
func numberKinds() (list []kind) {
	add := func(name, primitive string, value func(n int) string) {
		list = append(list, kind{name: name, before: 100, observe: func(n int) (string, string, string) {
			return "10.0.0.1", primitive, value(n)
		}})
	}
	const interval = "toolchain.c2.beacon_interval_ms"
	add("intervals below the normal doubles", interval, func(n int) string { return fmt.Sprintf("%de-324", 5+n%40) })
	for _, m := range middles {
		add("intervals next to the middle between two doubles", interval, func(int) string { return m })
	}
	for _, m := range middles {
		add("numbers of 900 bytes next to the middle between two doubles", text, func(n int) string { return arrayOf(m, 900, n) })
	}
	for _, number := range []string{"0.5", "1", "9007199254740993"} {
		add("numbers of 16 KiB", text, func(n int) string { return arrayOf(number, 16<<10, n) })
	}
	for _, token := range tokens {
		for _, size := range []int{16, 200} {
			add(fmt.Sprintf("%d KiB of %s", size, token), text, func(n int) string { return arrayOf(token, size<<10, n) })
		}
	}
	for _, token := range slowTokens {
		add("16 KiB of "+token, text, func(n int) string { return arrayOf(token, 16<<10, n) })
	}
	members := []byte("{")
	for i := range 16 << 10 / 9 {
		members = fmt.Appendf(members, `"%04x":1,`, i*7919&0xffff)
	}
	add("objects of 16 KiB whose members are in no order", text, func(n int) string {
		return fmt.Sprintf(`%s"":%d}`, members, n)
	})
	add("numbers of 900 bytes below the normal doubles", text, func(n int) string { return arrayOf("5e-324", 900, n) })
	return list
}
