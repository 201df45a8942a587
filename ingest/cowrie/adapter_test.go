package cowrie

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"handprint/ingest"
	"handprint/ingest/cowrie/lab"
)

// collected is an adapter with all that it has sent.
type collected struct {
	*Adapter
	sent []string // as JSON
	dead []string // reasons
}

// fataler is a test or a property.
type fataler interface{ Fatal(args ...any) }

func collect(t fataler, change func(*Settings)) *collected {
	c := &collected{}
	settings := DefaultSettings()
	if change != nil {
		change(&settings)
	}
	adapter, err := New(settings,
		func(o ingest.Observation) error {
			c.sent = append(c.sent, string(o.AppendJSON(nil)))
			return nil
		},
		func(d ingest.DeadLetter) error {
			c.dead = append(c.dead, d.Reason)
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	c.Adapter = adapter
	return c
}

// feed gives all lines and the end.
func (c *collected) feed(lines ...string) *collected {
	for _, l := range lines {
		if err := c.Line([]byte(l)); err != nil {
			panic(err)
		}
	}
	if err := c.Close(); err != nil {
		panic(err)
	}
	return c
}

// sorted returns what was sent, in an order of its own.
func (c *collected) sorted() []string { return slices.Sorted(slices.Values(c.sent)) }

// logLine writes an event: seconds after a fixed hour, and further fields as
// names and values.
func logLine(sensor, session string, seconds float64, id string, fields ...any) string {
	m := map[string]any{
		"eventid": "cowrie." + id, "session": session, "sensor": sensor, "src_ip": "198.51.100.7",
		"timestamp": time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC).Add(time.Duration(seconds * 1e9)).Format("2006-01-02T15:04:05.000000Z"),
	}
	for i := 0; i < len(fields); i += 2 {
		m[fields[i].(string)] = fields[i+1]
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func labLines(t testing.TB) []string {
	text, err := io.ReadAll(lab.Log())
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func TestTheLabIsReadWhole(t *testing.T) {
	c := collect(t, nil).feed(labLines(t)...)
	stats := c.Stats()
	if stats.Lines != 1135 || stats.Taken+stats.Late+stats.AfterEnd != 1135 || stats.Sessions != 81 || stats.Unaddressed != 0 || len(c.dead) != 0 {
		t.Errorf("%+v, dead letters %v", stats, c.dead)
	}
	attackers, perPrimitive := map[string]bool{}, map[string]int{}
	for _, text := range c.sent {
		var o struct {
			Attacker  string `json:"attacker_uuid"`
			Primitive string `json:"primitive"`
		}
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			t.Fatal(err)
		}
		attackers[o.Attacker] = true
		perPrimitive[o.Primitive]++
	}
	if len(attackers) != 15 {
		t.Errorf("%d attackers, want 15", len(attackers))
	}
	for _, p := range []string{"toolchain.ssh.hassh_client", "toolchain.ssh.ssh_client_banner", "toolchain.ssh.kex_algorithm_order", "temporal.session_duration"} {
		if perPrimitive[p] != 81 {
			t.Errorf("%s %d times, want 81", p, perPrimitive[p])
		}
	}
}

func TestReadingALogTwiceGivesTheSame(t *testing.T) {
	lines := labLines(t)
	once, again := collect(t, nil).feed(lines...), collect(t, nil).feed(lines...)
	if !reflect.DeepEqual(once.sent, again.sent) || len(once.sent) == 0 {
		t.Error("the second reading differs")
	}
}

func TestTheOrderOfUnrelatedSensorsIsIrrelevant(t *testing.T) {
	lines := labLines(t)[:200]
	other := make([]string, len(lines))
	for i, l := range lines {
		other[i] = strings.ReplaceAll(l, `"lab01"`, `"lab02"`)
	}
	want := collect(t, nil).feed(append(slices.Clone(lines), other...)...).sorted()
	rapid.Check(t, func(t *rapid.T) {
		random := rapid.SliceOfN(rapid.Bool(), 1, 50).Draw(t, "turns")
		c, a, b := collect(t, nil), lines, other
		for i := 0; len(a) > 0 || len(b) > 0; i++ {
			if len(b) == 0 || len(a) > 0 && random[i%len(random)] {
				c.Line([]byte(a[0]))
				a = a[1:]
			} else {
				c.Line([]byte(b[0]))
				b = b[1:]
			}
		}
		if got := c.feed().sorted(); !reflect.DeepEqual(got, want) {
			t.Fatal("the observations differ")
		}
	})
}

// The bright line: what an attacker wrote does not leave, nor does what he
// logged in with.
func TestNothingTypedLeaves(t *testing.T) {
	const secret = "Xyzzy"
	lines := []string{logLine("hp", "s", 0, "session.connect", "protocol", "telnet")}
	for i, id := range []string{"login.failed", "login.success", "client.fingerprint", "session.file_download", "session.file_upload",
		"command.success", "tunnel", "log.closed", "direct-tcpip.data", "direct-tcpip.request", "client.version", "client.kex"} {
		lines = append(lines, logLine("hp", "s", float64(i), id, "username", secret, "password", secret, "key", secret, "fingerprint", secret,
			"url", secret, "shasum", secret, "data", secret, "message", secret, "input", secret, "ttylog", secret, "filename", secret,
			"dst_ip", secret, "version", secret, "hassh", secret, "client_fingerprint", secret))
	}
	for i, input := range []string{secret, "echo " + secret, "history -c " + secret, "export HIST" + secret, secret + "=1 ls", "rm /" + secret, "man " + secret} {
		lines = append(lines,
			logLine("hp", "s", 20+float64(i), "command.input", "input", input),
			logLine("hp", "s", 20.5+float64(i), "command.failed", "input", input),
			logLine("hp", "s", 20.6+float64(i), "command.input", "input", secret, "realm", secret),
			logLine("hp", "s", 20.7+float64(i), "client.var", "name", "LANG", "value", secret),
			logLine("hp", "s", 20.8+float64(i), "client.var", "name", secret, "value", "de_DE"))
	}
	c := collect(t, nil).feed(lines...)
	if len(c.sent) < 15 {
		t.Errorf("only %d observations", len(c.sent))
	}
	for _, o := range c.sent {
		if strings.Contains(strings.ToLower(o), strings.ToLower(secret)) {
			t.Errorf("it leaves in %s", o)
		}
	}
}

func TestTheFirstEventAfterItsSessionsEndWarnsOnce(t *testing.T) {
	var warned []string
	c := collect(t, func(s *Settings) {
		s.EndedEvent = func(sensor, session string) { warned = append(warned, sensor+"/"+session) }
	})
	c.feed(
		logLine("hp", "a", 0, "session.closed"),
		logLine("hp", "b", 0, "session.closed"),
		logLine("hp", "c", 1, "client.version", "late", true), // nothing of it has ended
		logLine("hp", "b", 1, "client.version", "late", true),
		logLine("hp", "a", 1, "client.version"),
	)
	if !slices.Equal(warned, []string{"hp/b"}) {
		t.Errorf("warned of %v", warned)
	}
	if s := c.Stats(); s.Late != 2 || s.AfterEnd != 1 || s.Sessions != 2 {
		t.Errorf("%+v", s)
	}
}

func TestALineOfTheFutureIsADeadLetter(t *testing.T) {
	now := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	c := collect(t, func(s *Settings) {
		s.MaxAhead, s.Now = 24*time.Hour, func() time.Time { return now }
	})
	c.feed(
		`{"eventid":"cowrie.session.connect","session":"a","src_ip":"192.0.2.1","sensor":"hp","timestamp":"2020-01-01T23:59:59Z"}`,
		`{"eventid":"cowrie.client.version","session":"a","sensor":"hp","timestamp":"2020-03-27T00:00:01Z","version":"SSH-2.0-x"}`,
	)
	if s := c.Stats(); s.Taken != 1 || s.Dead != 1 || s.TimedOut != 0 || len(c.dead) != 1 || c.dead[0] != "ts is 86 days ahead" {
		t.Errorf("%+v, %+v", s, c.dead)
	}
}

func TestExactNames(t *testing.T) {
	c := collect(t, nil).feed(
		`{"EventID":"cowrie.x","session":"s","timestamp":"2026-03-01T10:00:00Z"}`,
		`{"eventid":"cowrie.session.connect","session":"s","timestamp":"2026-03-01T10:00:00Z","SRC_IP":"192.0.2.1"}`,
		`{"eventid":"cowrie.session.connect","session":"t","timestamp":"2026-03-01T10:00:00Z","src_ip":"192.0.2.1","src_ip":null}`,
		`{"eventid":"cowrie.session.connect","session":"u","timestamp":"2026-03-01T10:00:00Z","src_ip":null,"src_\u0069p":"192.0.2.1"}`+"\r",
	)
	if s := c.Stats(); len(c.dead) != 1 || s.Unaddressed != 2 || len(c.sent) != 1 {
		t.Errorf("dead letters %v, %+v", c.dead, s)
	}
}

func TestErrorsOfTheSinkComeBack(t *testing.T) {
	broken := errors.New("broken")
	adapter, err := New(DefaultSettings(),
		func(ingest.Observation) error { return broken },
		func(ingest.DeadLetter) error { return broken })
	if err != nil {
		t.Fatal(err)
	}
	if err := adapter.Line([]byte("x")); !errors.Is(err, broken) {
		t.Errorf("a dead letter: %v", err)
	}
	if err := adapter.Line([]byte(logLine("hp", "s", 0, "session.closed"))); !errors.Is(err, broken) {
		t.Errorf("an end: %v", err)
	}
	if err := adapter.Line([]byte(logLine("hp", "t", 0, "session.connect"))); err != nil {
		t.Errorf("a begin: %v", err)
	}
	if err := adapter.Close(); !errors.Is(err, broken) {
		t.Errorf("the end of the input: %v", err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	c := collect(t, func(s *Settings) {
		s.MaxOpenSessions, s.MaxEndedKeys, s.MaxHeldBytes = 50, 20, 1<<17
	})
	long := strings.Repeat("x", 5000)
	for i := range 3000 {
		line := logLine(fmt.Sprintf("hp%d", i%7), fmt.Sprint("s", i), float64(i)/1000, "command.input", "input", long)
		if err := c.Line([]byte(line)); err != nil {
			t.Fatal(err)
		}
		tr := &c.tracker
		if tr.open.Len() > 50 || tr.finished.Len() > 20 || tr.held > 1<<17 || tr.byOpening.Len() != tr.open.Len()+tr.finished.Len() {
			t.Fatalf("line %d: %d open, %d ended, %d bytes", i, tr.open.Len(), tr.finished.Len(), tr.held)
		}
	}
	c.feed(logLine("hp0", "z", 100_000, "session.closed"))
	if len(c.tracker.sensors["hp0"].sessions) != 1 || c.tracker.held != 0 {
		t.Errorf("%d sessions of hp0, %d bytes held at the end", len(c.tracker.sensors["hp0"].sessions), c.tracker.held)
	}
	if s := c.Stats(); s.Sessions != 3001 || s.Early == 0 {
		t.Errorf("%+v", s)
	}
}

func TestASessionTooBigForMemoryEndsOnce(t *testing.T) {
	c := collect(t, func(s *Settings) { s.MaxHeldBytes = 1 << 16 })
	line := logLine("hp", "s", 0, "command.input", "input", strings.Repeat("x", 30_000))
	c.feed(line, line, line, line)
	if s := c.Stats(); s.Sessions != 1 || s.Early != 1 || s.Taken != 3 || s.AfterEnd != 1 {
		t.Errorf("%+v", s)
	}
}

// checkCounts fails unless each line given is counted exactly once.
func checkCounts(t testing.TB, c *collected) {
	s := c.Stats()
	if s.Blank+s.Parts+s.Taken+s.Late+s.Foreign+s.AfterEnd+s.WithoutAddress+s.Dead != s.Lines+s.Extra || s.Dead != int64(len(c.dead)) || s.Observations != int64(len(c.sent)) {
		t.Fatalf("%+v, %d dead letters, %d observations", s, len(c.dead), len(c.sent))
	}
}

func FuzzLine(f *testing.F) {
	f.Add([]byte(logLine("hp", "s", 0, "session.connect") + "\n\n" + logLine("hp", "s", 1, "session.closed", "duration", "0.4") + "\nx"))
	f.Add([]byte(logLine("hp", "s", 0, "client.kex", "kexAlgs", []string{"a"}, "hassh", nil) + "\n" + logLine("hp", "s", 9999, "command.failed", "input", "a|b")))
	f.Add([]byte(logLine("hp", "s", 0, "command.input", "input", "sudo -n 'x", "late", true) + "\n" + logLine("", "s", -1, "client.var", "name", "LANG", "value", "C")))
	f.Add([]byte(logLine("hp", "s", 0, "client.version", "version", "b'SSH-2.0-x'", "protocol", "telnet") + "\n" + logLine("hp", "s", 5, "command.input", "input", "id")))
	f.Fuzz(func(t *testing.T, log []byte) {
		c := collect(t, func(s *Settings) { s.MaxOpenSessions, s.MaxEndedKeys = 3, 3 })
		n := int64(0)
		for l := range bytes.SplitSeq(log, []byte("\n")) {
			n++
			if err := c.Line(l); err != nil {
				t.Fatal(err)
			}
			if c.Open() > 3 || c.tracker.finished.Len() > 3 {
				t.Fatalf("%d sessions open, %d remembered", c.Open(), c.tracker.finished.Len())
			}
		}
		c.feed()
		if checkCounts(t, c); c.Stats().Lines != n || c.Open() != 0 {
			t.Fatalf("%d lines, %+v, %d open", n, c.Stats(), c.Open())
		}
		for _, o := range c.sent {
			if !json.Valid([]byte(o)) {
				t.Fatalf("not JSON: %s", o)
			}
		}
	})
}

func BenchmarkLab(b *testing.B) {
	lines := labLines(b)
	var size int64
	for _, l := range lines {
		size += int64(len(l))
	}
	b.SetBytes(size)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		a, err := New(DefaultSettings(), func(ingest.Observation) error { return nil }, func(ingest.DeadLetter) error { return nil })
		if err != nil {
			b.Fatal(err)
		}
		for _, l := range lines {
			if err := a.Line([]byte(l)); err != nil {
				b.Fatal(err)
			}
		}
		if err := a.Close(); err != nil {
			b.Fatal(err)
		}
		n += len(lines)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
}
