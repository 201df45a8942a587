package cowrie

import (
	"fmt"
	"strings"
	"testing"
)

// outline shows what a line was read as: heads with their arguments, pipes.
func outline(line string) string {
	var sh shell
	sh.read(line)
	var b strings.Builder
	for i, c := range sh.commands {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s%q", c.head, c.args)
	}
	fmt.Fprintf(&b, " |%d", sh.pipes)
	if sh.help {
		b.WriteString(" help")
	}
	return b.String()
}

func TestShellLines(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{``, ` |0`},
		{`  `, ` |0`},
		{`ls -l /tmp`, `ls["-l" "/tmp"] |0`},
		{`a;b&c&&d||e|f` + "\n" + `g`, `a[]; b[]; c[]; d[]; e[]; f[]; g[] |1`},
		{`a ||| b |||| c`, `a[]; b[]; c[] |1`},
		{`a 'b;c' "d|e\"f" g\;h`, `a["b;c" "d|e\"f" "g;h"] |0`},
		{`a 'b\'`, `a["b\\"] |0`},
		{`a "b\`, `a["b"] |0`},
		{`a b\`, `a["b"] |0`},
		{`a \`, `a[] |0`},
		{`a '' ""`, `a["" ""] |0`},
		{`'' a`, ` |0`},
		{`a$(b c)` + "`d`", `a$["b" "c" "d"] |0`},
		{`a 2>&1 b`, `a["b"] |0`},
		{`a2>&1 b`, `a2["b"] |0`},
		{`a 2 >x b`, `a["2" "b"] |0`},
		{`a '2'>x b`, `a["2" "b"] |0`},
		{`a 2&>x b`, `a["2" "b"] |0`},
		{`a &>>x b&c`, `a["b"]; c[] |0`},
		{`a &<x b`, `a[]; b[] |0`},
		{`a <<<"x y" b`, `a["b"] |0`},
		{`a >||b c|d`, `a["c"]; d[] |1`},
		{`a > > b c`, `a["c"] |0`},
		{`a > 2> b c`, `a["c"] |0`},
		{`a >b>c d`, `a["d"] |0`},
		{`a <(b c)`, `a["c"] |0`},
		{`a >; b`, `a[]; b[] |0`},
		{`>a`, ` |0`},
		{`a >'' b`, `a["b"] |0`},
		{`a > -h; b -h`, `a[]; b["-h"] |0 help`},
		{`for x in --help; do`, ` |0 help`},
		{`A=1 b=/x/y _c= ./ls z`, `ls["z"] |0`},
		{`1A=2 x; A-B=3; A+=4; =5`, `1A=2["x"]; A-B=3[]; A+=4[]; =5[] |0`},
		{`'A B'=1 x`, `A B=1["x"] |0`},
		{`./A=1 x`, `A=1["x"] |0`},
		{`/bin/sudo -u -n root id`, `root["id"] |0`},
		{`sudo /-x id`, `-x["id"] |0`},
		{`sudo nohup -x A=1 -y z`, `-y["z"] |0`},
		{`if ! { /x/then A=1 ls`, `ls[] |0`},
		{`/usr/bin/ x`, ` |0`},
		{`case x in a) ls`, ` |0`},
		{`/x/for y; Sudo z`, `Sudo["z"] |0`},
	} {
		if got := outline(c.line); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.line, got, c.want)
		}
	}
}

func TestSetsAreByArguments(t *testing.T) {
	for _, c := range []struct {
		line           string
		cleans, guards bool
	}{
		{"rm", true, false}, {"set", false, true}, {"script x", false, true}, {"kill 1", true, false},
		{"history", false, false}, {"history -c", true, true}, {"history 5 -aw", true, true}, {"history -d5", true, true},
		{"history --clear", false, false}, {"history -5c", false, false}, {"history c", false, false}, {"History -c", false, false},
		{"unset HISTFILE", true, true}, {"unset A HIST", true, true}, {"unset hist", false, false},
		{"export HISTFILE=", false, true}, {"export PATH=HIST", false, false}, {"HISTFILE=x export", false, false},
	} {
		var sh shell
		sh.read(c.line)
		got := sh.commands[0]
		if got.cleans() != c.cleans || got.guards() != c.guards {
			t.Errorf("%s: cleans %v, guards %v, want %v, %v", c.line, got.cleans(), got.guards(), c.cleans, c.guards)
		}
	}
}

func FuzzShell(f *testing.F) {
	for _, seed := range []string{"a | b || c; d && e & f", `'a"b' "c'\"d" \`, "x 2>&1 >| y <<EOF", "sudo -u root A=1 /bin/busybox wget", "\xff&>\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var sh shell
		sh.read(line)
		size := 0
		for _, c := range sh.commands {
			if c.head == "" || strings.Contains(c.head, "/") || uncounted[c.head] || reserved[c.head] || wrappers[c.head] {
				t.Fatalf("%q has the head %q", line, c.head)
			}
			size += len(c.head)
			for _, a := range c.args {
				size += len(a)
			}
		}
		if size > len(line) || sh.pipes > strings.Count(line, "|") {
			t.Fatalf("%q gives %d bytes of words and %d pipes", line, size, sh.pipes)
		}
		// Nothing is left behind for the next line.
		before := outline(line)
		sh.read("x")
		sh.read(line)
		if sh.read(line); len(sh.commands) > 0 && !strings.HasPrefix(before, sh.commands[0].head) {
			t.Fatalf("%q reads differently the second time", line)
		}
	})
}
