package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
)

func TestEventsUntilTheEnd(t *testing.T) {
	t.Parallel()
	e, environ := withTopics(t)
	t1 := transition("aaaa", "x.one", attribution.Stable, attribution.Drifting)
	t2 := transition("aaaa", "x.two", attribution.Drifting, attribution.Conflicted)
	s := suspicion("aaaa", "x.one", "y.two")
	send(t, e, true, t1, t2, s, &kgo.Record{Topic: names.StateChanged, Value: []byte("no event")})
	send(t, e, false, transition("aaaa", "x.one", attribution.Drifting, attribution.Stable)) // aborted
	base := []string{"events", "--from=beginning", "--until-end"}
	for _, c := range []struct {
		args string
		want []*kgo.Record
	}{
		{"", []*kgo.Record{t1, t2, s}},
		{"--type=multi_actor_suspected", []*kgo.Record{s}},
		{"--primitive=x.one", []*kgo.Record{t1, s}},
		{"--state=conflicted", []*kgo.Record{t2}},
		{"--state=multi_actor", []*kgo.Record{s}},
		{"--identity=b", nil},
	} {
		want := ""
		for _, r := range c.want {
			want += string(r.Value) + "\n"
		}
		r := handprint(deadline(t), "", environ, append(base, strings.Fields(c.args)...)...)
		if r.code != exitOK || r.out != want {
			t.Errorf("events %s: %+v\nwant\n%s", c.args, r, want)
		}
	}
	for width, want := range map[string][]string{
		"200": {
			`2023-11-14 22:13:20 UTC  aaaa             x.one                                     stable       -> drifting     0.75  "a\u009bb"`,
			`2023-11-14 22:13:20 UTC  aaaa             x.two                                     drifting     -> conflicted   0.75  "a\u009bb"`,
			`2023-11-14 22:13:20 UTC  aaaa             several actors suspected  0.60`,
			`                         x.one y.two`,
		},
		"": {
			`2023-11-14 UTC`,
			`22:13:20  aaaa             x.one                     -> drifting     "a\u009bb"`,
			`22:13:20  aaaa             x.two                     -> conflicted   "a\u009bb"`,
			`22:13:20  aaaa             several actors suspected  0.60`,
			`          x.one y.two`,
		},
	} {
		r := handprint(deadline(t), "", append(environ, "COLUMNS="+width), append(base, "-o", "pretty")...)
		if want := strings.Join(want, "\n") + "\n"; r.code != exitOK || r.out != want {
			t.Errorf("%q wide\n%swant\n%s%s", width, r.out, want, r.err)
		}
	}
}

// lineWriter hands on each line that is written.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		w <- strings.TrimSuffix(line, "\n")
	}
	return len(p), nil
}

func TestEventsFollowUntilInterrupted(t *testing.T) {
	t.Parallel()
	e, environ := withTopics(t)
	old, fresh := transition("aaaa", "x.old", attribution.Stable, attribution.Drifting), transition("aaaa", "x.new", attribution.Stable, attribution.Drifting)
	send(t, e, true, old)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	lines, ended := make(lineWriter, 10), make(chan int)
	go func() {
		ended <- run(ctx, streams{in: strings.NewReader(""), out: lines, err: new(bytes.Buffer), environ: environ}, []string{"events", "--from", "beginning"})
	}()
	if got := receive(t, lines); got != string(old.Value) {
		t.Errorf("first %s", got)
	}
	send(t, e, true, fresh)
	if got := receive(t, lines); got != string(fresh.Value) {
		t.Errorf("second %s", got)
	}
	interrupt()
	if code := receive(t, ended); code != exitOK {
		t.Errorf("interrupted following ended with %d", code)
	}
}
