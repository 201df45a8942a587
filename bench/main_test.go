package main

import (
	"strings"
	"testing"
)

// Several rounds on a real broker follow a warm-up round, in which it compiles its code.
func TestWhichRunsHaveARoundBefore(t *testing.T) {
	for _, c := range []struct {
		args string
		want bool
		err  string
	}{
		{"", false, ""},
		{"-rounds 3", false, ""},
		{"-real", false, ""},
		{"-real -rounds 3", true, ""},
		{"-brokers 127.0.0.1:9092 -rounds 2", true, ""},
		{"-real -rounds 3 -warmup no", false, ""},
		{"-warmup yes", true, ""},
		{"-warmup 1", false, `-warmup "1": yes, no or auto`},
		{"-warmup yes -seen -audit=false -contenders handprint", false, "none before it"},
	} {
		p, err := parse(strings.Fields(c.args))
		switch {
		case c.err == "" && err != nil, c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: %v; want %q", c.args, err, c.err)
		case err == nil && p.warmup != c.want:
			t.Errorf("%s: %t", c.args, p.warmup)
		}
	}
}
