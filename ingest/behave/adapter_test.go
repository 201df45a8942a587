package behave

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"handprint/ingest"
)

// passed gives all lines and returns what became of them.
func passed(t testing.TB, lines ...string) (*Adapter, string) {
	var b strings.Builder
	a := New(
		func(key, value []byte) error {
			if key == nil {
				key = []byte("nil")
			}
			_, err := fmt.Fprintf(&b, "%s=%s\n", key, value)
			return err
		},
		func(d ingest.DeadLetter) error {
			_, err := fmt.Fprintf(&b, "dead %d %s: %s\n", d.Number, d.Line, d.Reason)
			return err
		})
	for _, l := range lines {
		if err := a.Line([]byte(l)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	return a, b.String()
}

func TestEveryLineIsARecordOrADeadLetter(t *testing.T) {
	a, got := passed(t,
		` {"attacker_uuid":"a","value":1e999} `+"\r",
		``, " \t",
		`{"attacker_uuid":""}`, `{"attacker_uuid":7}`, `{"Attacker_uuid":"x"}`,
		`{"attacker_uuid":"a","attacker_uuid":"\u0062"}`, `{"attacker_uuid":"a","attacker_uuid":null}`,
		`[]`, `{"attacker_uuid":"a"`, `{"value":NaN}`)
	want := `a={"attacker_uuid":"a","value":1e999}
nil={"attacker_uuid":""}
nil={"attacker_uuid":7}
dead 6 {"Attacker_uuid":"x"}: not an observation: it has neither attacker_uuid nor primitive
b={"attacker_uuid":"a","attacker_uuid":"\u0062"}
nil={"attacker_uuid":"a","attacker_uuid":null}
dead 9 []: not a JSON object
dead 10 {"attacker_uuid":"a": not a JSON object
dead 11 {"value":NaN}: not a JSON object
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if s := a.Stats(); s != (Stats{Lines: 11, Blank: 2, Records: 5, Dead: 4, Keyless: 3}) {
		t.Errorf("%+v", s)
	}
}

func TestErrorsOfTheSinkComeBack(t *testing.T) {
	broken := errors.New("broken")
	a := New(func(_, _ []byte) error { return broken }, func(ingest.DeadLetter) error { return broken })
	for _, line := range []string{"{}", "x"} {
		if err := a.Line([]byte(line)); !errors.Is(err, broken) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add([]byte(`{"attacker_uuid":"a","primitive":"p.q","value":null}`))
	f.Add([]byte("\n{}\nx"))
	f.Fuzz(func(t *testing.T, log []byte) {
		var lines []string
		for l := range bytes.SplitSeq(log, []byte("\n")) {
			lines = append(lines, string(l))
		}
		a, _ := passed(t, lines...)
		if s := a.Stats(); s.Blank+s.Records+s.Dead != s.Lines || s.Lines != int64(len(lines)) {
			t.Fatalf("%+v of %d lines", s, len(lines))
		}
	})
}
