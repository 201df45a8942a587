package cowrie

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// sentSession is what the observations of one evidence_ref have in common.
type sentSession struct {
	attacker, duration string
	observations       int
}

func (c *collected) sessions(t *testing.T) map[string]sentSession {
	t.Helper()
	ids := map[string]bool{}
	out := map[string]sentSession{}
	for _, text := range c.sent {
		var o struct {
			ID, Primitive string
			Value         any
			Attacker      string `json:"attacker_uuid"`
			Evidence      string `json:"evidence_ref"`
		}
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			t.Fatal(err)
		}
		if ids[o.ID] {
			t.Errorf("id %s twice", o.ID)
		}
		ids[o.ID] = true
		s := out[o.Evidence]
		s.attacker = o.Attacker
		s.observations++
		if o.Primitive == "temporal.session_duration" {
			s.duration = fmt.Sprint(o.Value)
		}
		out[o.Evidence] = s
	}
	return out
}

const hour10 = 1772359200_000000 // what logLine counts from

func TestAnIDThatIsUsedAgainIsAnotherSession(t *testing.T) {
	const a, b = "198.51.100.7", "203.0.113.9"
	attacker := func(address string) string {
		id, _ := Attacker(address)
		return id
	}
	for name, c := range map[string]struct {
		lines []string
		want  map[string]sentSession
	}{
		"after its end": {
			[]string{
				logLine("hp", "s", 0, "session.connect"), logLine("hp", "s", 5, "session.closed"),
				logLine("hp", "s", 900, "session.connect", "src_ip", b), logLine("hp", "s", 903, "client.version", "version", "SSH-2.0-Go", "src_ip", b),
				logLine("hp", "s", 1000, "session.closed", "src_ip", b),
			},
			map[string]sentSession{"cowrie:hp/s": {attacker(a), "short", 1}, fmt.Sprint("cowrie:hp/s@", hour10+900_000000): {attacker(b), "medium", 2}},
		},
		"the same address": {
			[]string{
				logLine("hp", "s", 0, "session.connect"), logLine("hp", "s", 5, "session.closed"),
				logLine("hp", "s", 900, "session.connect"), logLine("hp", "s", 901, "session.closed"),
			},
			map[string]sentSession{"cowrie:hp/s": {attacker(a), "short", 1}, fmt.Sprint("cowrie:hp/s@", hour10+900_000000): {attacker(a), "short", 1}},
		},
		"days later": {
			[]string{
				logLine("hp", "s", 0, "session.connect"), logLine("hp", "s", 5, "session.closed"),
				logLine("hp", "x", 200_000, "session.connect"), logLine("hp", "x", 200_001, "session.closed"),
				logLine("hp", "s", 300_000, "session.connect"), logLine("hp", "s", 300_001, "session.closed"),
			},
			map[string]sentSession{
				"cowrie:hp/s": {attacker(a), "short", 1}, "cowrie:hp/x": {attacker(a), "short", 1},
				fmt.Sprint("cowrie:hp/s@", hour10+300_000_000000): {attacker(a), "short", 1},
			},
		},
		"while it is open": {
			[]string{
				logLine("hp", "s", 0, "session.connect"), logLine("hp", "s", 1, "session.connect", "src_ip", b),
				logLine("hp", "s", 70, "client.size"), logLine("hp", "s", 71, "session.closed", "src_ip", b),
				logLine("hp", "s", 72, "session.closed"),
			},
			map[string]sentSession{"cowrie:hp/s": {attacker(a), "medium", 1}, fmt.Sprint("cowrie:hp/s@", hour10+1_000000): {attacker(b), "medium", 1}},
		},
		"its end was not seen": {
			[]string{
				logLine("hp", "s", 0, "session.connect"), logLine("hp", "s", 1, "client.size"),
				logLine("hp", "s", 100, "session.connect"), logLine("hp", "s", 101, "session.closed"),
			},
			map[string]sentSession{"cowrie:hp/s": {attacker(a), "short", 1}, fmt.Sprint("cowrie:hp/s@", hour10+100_000000): {attacker(a), "short", 1}},
		},
		"an event without an address": {
			[]string{
				logLine("hp", "s", 0, "session.connect"), logLine("hp", "s", 1, "session.connect", "src_ip", b),
				logLine("hp", "s", 2, "client.version", "version", "SSH-2.0-Go", "src_ip", nil),
			},
			map[string]sentSession{"cowrie:hp/s": {attacker(a), "short", 1}, fmt.Sprint("cowrie:hp/s@", hour10+1_000000): {attacker(b), "short", 2}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := collect(t, nil).feed(c.lines...).sessions(t)
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
			// Read twice in one run: nothing new.
			twice := collect(t, nil).feed(append(slices.Clone(c.lines), c.lines...)...)
			evidence := map[string]bool{}
			for _, o := range twice.sent {
				evidence[o[strings.Index(o, `"evidence_ref"`):strings.Index(o, `,"envelope_v"`)]] = true
			}
			if len(evidence) != len(c.want) {
				t.Errorf("read twice: %v", evidence)
			}
		})
	}
}

func TestAnOpenTunnelKeepsASessionOpen(t *testing.T) {
	lines := []string{
		logLine("hp", "s", 0, "session.connect"), logLine("hp", "s", 10, "direct-tcpip.request"),
		logLine("hp", "x", 5400, "session.connect"), logLine("hp", "x", 5401, "session.closed"),
		logLine("hp", "s", 7450, "direct-tcpip.data"), logLine("hp", "s", 7500, "session.closed", "duration", "7500.0"),
	}
	c := collect(t, nil).feed(lines...)
	if got := c.sessions(t)["cowrie:hp/s"]; got.duration != "marathon" || got.observations != 1 || c.Stats().TimedOut != 0 {
		t.Errorf("%+v, %d timed out", got, c.Stats().TimedOut)
	}
	// Cut by the tunnel's own timeout, the rest has an id of its own and the
	// duration that its end tells.
	short := collect(t, func(s *Settings) { s.TunnelTimeout = 2 * 3600e9 })
	got := short.feed(append(lines[:4:4], logLine("hp", "s", 7450, "direct-tcpip.data"), logLine("hp", "s", 7500, "session.closed", "duration", "7500.0"))...).sessions(t)
	rest := got[fmt.Sprint("cowrie:hp/s@", hour10+7450_000000)]
	if len(got) != 3 || rest.duration != "marathon" || short.Stats().TimedOut != 1 {
		t.Errorf("%v, %d timed out", got, short.Stats().TimedOut)
	}
}

func TestTheRestOfACutSession(t *testing.T) {
	lines := []string{
		logLine("hp", "s", 0, "session.connect"), logLine("hp", "s", 4000, "client.size"),
		logLine("hp", "s", 9000, "client.size"), logLine("hp", "s", 9001, "session.closed", "duration_ms", 9001000),
	}
	c := collect(t, func(s *Settings) { s.SeparateParts = true }).feed(lines...)
	got := c.sessions(t)
	if len(got) != 3 || got["cowrie:hp/s"].duration != "short" || got[fmt.Sprint("cowrie:hp/s@", hour10+9000_000000)].duration != "marathon" || c.Stats().TimedOut != 2 {
		t.Errorf("%v, %+v", got, c.Stats())
	}
}

func TestTheClosingEventTellsTheLengthWhereTheConnectWasNotSeen(t *testing.T) {
	for field, value := range map[string]any{"duration": 700.5, "duration_ms": 700500} {
		for _, v := range []any{value, fmt.Sprint(value)} {
			c := collect(t, nil).feed(logLine("hp", "s", 700, "client.size"), logLine("hp", "s", 701, "session.closed", field, v))
			if got := c.sessions(t)["cowrie:hp/s"]; got.duration != "long" {
				t.Errorf("%s %v: %s", field, v, got.duration)
			}
		}
	}
	for _, text := range []string{"", "x", "-5", "1e3", "1.x", "99999999999999999999", " "} {
		if d, ok := decimalMicros([]byte(`"`+text+`"`), 6); ok {
			t.Errorf("%q is %d", text, d)
		}
	}
}

func TestAddressesInEverySpelling(t *testing.T) {
	want, _ := Attacker("198.51.100.7")
	want6, _ := Attacker("2001:db8::1")
	for text, id := range map[string]string{
		"198.51.100.7:4022": want, "::ffff:198.51.100.7": want, "[::ffff:198.51.100.7]:22": want, "198.51.100.7/32": want,
		"[2001:db8::1]": want6, "[2001:db8::1]:22": want6, "2001:db8::1%eth0": want6, "[2001:db8::1%eth0]:22": want6,
	} {
		if got, ok := Attacker(text); !ok || got != id {
			t.Errorf("%s: %s, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", " ", "unknown", "-", "None", "192.0.2", "192.0.2.01", " 192.0.2.1", "honeypot.example", "192.0.2.xxx", "198.51.100.0/24", "2001:db8::/64", strings.Repeat("a", 5000)} {
		if got, ok := Attacker(text); ok {
			t.Errorf("%q: %s, want none", text, got)
		}
	}
}

func TestATextThatIsNoAddressStandsForAnAttacker(t *testing.T) {
	hashed := strings.Repeat("0f", 32)
	var said []string
	c := collect(t, func(s *Settings) { s.OpaqueSource = func(form string) { said = append(said, form) } })
	c.feed(
		logLine("hp", "s", 0, "session.connect", "src_ip", hashed), logLine("hp", "s", 1, "session.closed", "src_ip", hashed),
		logLine("hp", "t", 2, "session.connect", "src_ip", "attacker-7"), logLine("hp", "t", 3, "session.closed", "src_ip", "attacker-7"),
	)
	if got := c.sessions(t); len(got) != 2 || got["cowrie:hp/s"].attacker == got["cowrie:hp/t"].attacker || c.Stats().Opaque != 2 {
		t.Errorf("%v, %+v", got, c.Stats())
	}
	if !slices.Equal(said, []string{"64 characters: hexadecimal digits"}) {
		t.Errorf("said %q", said)
	}
	if got := form("attacker-7"); got != "10 characters: digits, letters, others" {
		t.Error(got)
	}
}

// Pseudonyms of any length and spelling are told apart, and are no addresses.
func TestHashedAddresses(t *testing.T) {
	ids := map[string]string{}
	for _, text := range []string{
		"0f0f0f0f", "0F0F0F0F", strings.Repeat("0f", 8), strings.Repeat("0f", 16), strings.Repeat("0f", 20), strings.Repeat("0f", 32), strings.Repeat("0f", 64),
		"sha256:" + strings.Repeat("0f", 32), "Dw8PDw8PDw8PDw8PDw8PDw==", "12345678", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "anon-17", "3325256711",
	} {
		id, ok := Attacker(text)
		if other, twice := ids[id]; !ok || twice {
			t.Errorf("%s: %v, as %s", text, ok, other)
		}
		ids[id] = text
	}
}

func TestThreeSourcesOfOneID(t *testing.T) {
	var lines []string
	addresses := []string{"198.51.100.7", "[2001:db8::1%eth0]:22", strings.Repeat("0f", 32)}
	for i, a := range addresses {
		at := float64(i * 400)
		lines = append(lines, logLine("hp", "s", at, "session.connect", "src_ip", a), logLine("hp", "s", at+1, "client.version", "version", "SSH-2.0-Go", "src_ip", a),
			logLine("hp", "s", at+70, "session.closed", "src_ip", a))
	}
	c := collect(t, nil).feed(lines...)
	got := c.sessions(t)
	for i, a := range addresses {
		evidence := "cowrie:hp/s"
		if i > 0 {
			evidence += fmt.Sprint("@", hour10+int64(i)*400_000000)
		}
		if id, _ := Attacker(a); got[evidence] != (sentSession{id, "medium", 2}) {
			t.Errorf("%s: %+v", evidence, got[evidence])
		}
	}
	if len(got) != len(addresses) || c.Stats().Taken != int64(len(lines)) {
		t.Errorf("%v, %+v", got, c.Stats())
	}
}

// A time as a number is one in the unit that its length says; as a text of
// digits only in the place of one that cannot be read.
func TestTimesAsNumbers(t *testing.T) {
	lines := func(member string, times ...any) []string {
		var out []string
		for i, at := range times {
			l := logLine("hp", "s", 0, []string{"session.connect", "session.closed"}[i])
			text, err := json.Marshal(at)
			if err != nil {
				t.Fatal(err)
			}
			start := strings.Index(l, `"timestamp":`)
			out = append(out, l[:start]+strings.ReplaceAll(member, "AT", string(text))+"}")
		}
		return out
	}
	for name, c := range map[string]struct {
		lines []string
		taken int64
	}{
		"seconds":                   {lines(`"timestamp":AT`, 1772359200, json.Number("1772359900.5")), 2},
		"milliseconds":              {lines(`"timestamp":AT`, 1772359200000, 1772359900500), 2},
		"microseconds":              {lines(`"timestamp":AT`, 1772359200000000, 1772359900500000), 2},
		"nanoseconds":               {lines(`"timestamp":AT`, 1772359200000000000, 1772359900500000000), 2},
		"@timestamp":                {lines(`"@timestamp":AT`, 1772359200000, 1772359900500), 2},
		"@timestamp as a text":      {lines(`"@timestamp":AT`, "1772359200", "1772359900.5"), 2},
		"@timestamp for a bad one":  {lines(`"timestamp":"Mar 1 10:00","@timestamp":AT`, "2026-03-01T10:00:00Z", "2026-03-01T12:11:40.5+02:00"), 2},
		"@timestamp for a text":     {lines(`"timestamp":"1772359200","@timestamp":AT`, 1772359200, json.Number("1772359900.5")), 2},
		"timestamp as a text":       {lines(`"timestamp":AT`, "1772359200", "1772359900.5"), 0},
		"too few digits":            {lines(`"timestamp":AT`, 177235920, 177235990), 0},
		"between two units":         {lines(`"timestamp":AT`, 17723592000, 17723599005), 0},
		"with an exponent":          {lines(`"timestamp":AT`, json.Number("1.7723592e9"), json.Number("1.7723599005e9")), 0},
		"negative":                  {lines(`"timestamp":AT`, -1772359200, -1772359900), 0},
		"a point and nothing after": {[]string{`{"eventid":"cowrie.session.connect","session":"s","timestamp":1772359200.}`}, 0},
	} {
		got := collect(t, nil).feed(c.lines...)
		if s := got.Stats(); s.Taken != c.taken || s.Dead != int64(len(c.lines))-c.taken {
			t.Errorf("%s: %+v", name, s)
			continue
		}
		if c.taken > 0 {
			if o := got.sent[0]; !strings.Contains(o, `"window_start_ts":1772359200,"window_end_ts":1772359900.5`) || !strings.Contains(o, `"long"`) {
				t.Errorf("%s: %s", name, o)
			}
		}
	}
}

func TestOldEventIDs(t *testing.T) {
	old := func(session string, at float64, id string, fields ...any) string {
		return strings.Replace(logLine("hp", session, at, id, fields...), `"cowrie.`+id, `"`+id, 1)
	}
	for _, prefix := range []string{"KIPP", "COW"} {
		c := collect(t, nil).feed(
			old("1", 0, prefix+"0001"), old("1", 1, prefix+"0009", "version", "SSH-2.0-x"), old("1", 2, prefix+"0002"),
			old("1", 3, prefix+"0005", "input", "uname -a"), old("1", 4, prefix+"0006", "input", "frob"), old("1", 5, prefix+"0011"),
			old("2", 6, prefix+"0007"), old("2", 7, prefix+"9999"), old("3", 8, prefix+"00x1"), old("4", 8, "OTHER0001"),
		)
		if s := c.Stats(); s.Taken != 6 || s.Foreign != 4 || s.Sessions != 1 {
			t.Errorf("%s: %+v", prefix, s)
		}
		if all := strings.Join(c.sent, "\n"); !strings.Contains(all, `"retry_tactic"`) && !strings.Contains(all, `retry_tactic","value":"abort"`) {
			t.Errorf("%s: %s", prefix, all)
		}
	}
}

func TestQuotedBanners(t *testing.T) {
	for _, v := range []string{"'SSH-2.0-Go'", `"SSH-2.0-Go"`, "b'SSH-2.0-Go'", `b"SSH-2.0-Go"`, " 'SSH-2.0-Go\r' ", "SSH-2.0-Go"} {
		c := collect(t, nil).feed(logLine("hp", "s", 0, "client.version", "version", v))
		if !strings.Contains(strings.Join(c.sent, "\n"), `"value":"SSH-2.0-Go"`) {
			t.Errorf("%q: %v", v, c.sent)
		}
	}
}

func TestManySessionsOfOneID(t *testing.T) {
	c := collect(t, nil)
	for i := range 3 * maxSameID {
		if err := c.Line([]byte(logLine("hp", "0", float64(i)/1000, "session.connect", "src_ip", fmt.Sprint("a", i)))); err != nil {
			t.Fatal(err)
		}
	}
	c.feed()
	if s := c.Stats(); s.Sessions != 3*maxSameID || len(c.sessions(t)) != 3*maxSameID {
		t.Errorf("%+v, %d sessions", s, len(c.sessions(t)))
	}
}
