package main

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
)

func TestRowsShowWhatTheStateTopicHoldsNow(t *testing.T) {
	t.Parallel()
	e, environ := withTopics(t)
	gone := row("bbbb", "a.gone", attribution.Stable)
	send(t, e, true, row("bbbb", "x.one", attribution.Unknown), row("aaaa", "x.two", attribution.Drifting), gone, row("aaaa", "x.one", attribution.Stable))
	send(t, e, true, row("bbbb", "x.one", attribution.MultiActor), &kgo.Record{Topic: names.State, Key: gone.Key},
		&kgo.Record{Topic: names.State, Key: []byte("cccc/x.y"), Value: []byte("{")})
	send(t, e, false, row("bbbb", "x.one", attribution.Conflicted)) // aborted

	line := func(r *kgo.Record) string { return string(r.Value) + "\n" }
	a1, a2, b1 := line(row("aaaa", "x.one", attribution.Stable)), line(row("aaaa", "x.two", attribution.Drifting)), line(row("bbbb", "x.one", attribution.MultiActor))
	for _, c := range []struct{ args, want string }{
		{"", a1 + a2 + b1},
		{"--identity=b", b1},
		{"--primitive=*.two", a2},
		{"--state=stable --state=drifting", a1 + a2},
		{"--state=unknown", ""}, // it was, and is no more
	} {
		r := handprint(deadline(t), "", environ, append([]string{"rows"}, strings.Fields(c.args)...)...)
		if r.code != exitOK || r.out != c.want {
			t.Errorf("rows %s: %+v\nwant\n%s", c.args, r, c.want)
		}
		if c.args == "" && !strings.Contains(r.err, "a row cannot be read and is left out") {
			t.Errorf("nothing said of the row that cannot be read: %s", r.err)
		}
	}
	for width, want := range map[string][]string{
		"200": {
			`IDENTITY  PRIMITIVE  STATE        VALUE  CONF  SEEN  SINCE (UTC)          LAST (UTC)`,
			`aaaa      x.one      stable       "v"    1.00     3  2023-11-14 22:13:20  1e+300`,
			`          x.two      drifting     "v"    1.00     3  2023-11-14 22:13:20  1e+300`,
			`bbbb      x.one      multi_actor  "v"    1.00     3  2023-11-14 22:13:20  1e+300`,
		},
		"60": {
			`IDENTITY  PRIMITIVE  STATE        VALUE  CONF  SEEN`,
			`aaaa      x.one      stable       "v"    1.00     3`,
			`          x.two      drifting     "v"    1.00     3`,
			`bbbb      x.one      multi_actor  "v"    1.00     3`,
		},
	} {
		r := handprint(deadline(t), "", append(environ, "COLUMNS="+width), "rows", "-o", "pretty")
		if want := strings.Join(want, "\n") + "\n"; r.out != want {
			t.Errorf("table of %s\n%swant\n%s", width, r.out, want)
		}
	}
}
