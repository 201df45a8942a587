package network_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"handprint/ingest"
	"handprint/ingest/network"
	"handprint/ingest/suricata"
	"handprint/ingest/zeek"
)

type workedCase struct {
	Sensor, Path, Line, Outcome string
	Observations                []map[string]any
	Full                        map[string]any
	Start, End                  *float64
	Evidence                    string
}

func settings() network.Settings {
	return network.Settings{Sensor: "s1", LocalNets: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:1::/48")}}
}

// sink keeps what it is given.
type sink struct {
	sent []map[string]any
	dead []string
}

func (s *sink) Observation(o ingest.Observation) error {
	var fields map[string]any
	if err := json.Unmarshal(o.AppendJSON(nil), &fields); err != nil {
		return err
	}
	s.sent = append(s.sent, fields)
	return nil
}

func (s *sink) Record(_, _ []byte) error { return nil }

func (s *sink) Dead(d ingest.DeadLetter) error {
	s.dead = append(s.dead, d.Reason)
	return nil
}

func adapterOf(sensor string, s network.Settings) func(ingest.Sink) (ingest.Adapter, error) {
	return func(to ingest.Sink) (ingest.Adapter, error) {
		if sensor == "zeek" {
			return zeek.New(s, to.Observation, to.Dead)
		}
		return suricata.New(s, to.Observation, to.Dead)
	}
}

func run(t interface {
	Fatal(...any)
	Helper()
}, dir, sensor, name, text string, s network.Settings) (*sink, ingest.Tally) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out sink
	files := ingest.Files{Names: []string{file}}
	result, _ := files.Run(context.Background(), &out, adapterOf(sensor, s))
	if got := result.Tally.Accounted(); got != result.Tally.Lines+result.Tally.Extra {
		t.Fatal(fmt.Sprintf("%d of %d lines are accounted for: %s", got, result.Tally.Lines, &result.Tally))
	}
	return &out, result.Tally
}

func workedCases(t *testing.T) []workedCase {
	text, err := os.ReadFile("testdata/cases.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var cases []workedCase
	for line := range bytes.Lines(text) {
		var c workedCase
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	if len(cases) != 39 {
		t.Fatalf("%d cases, want 39", len(cases))
	}
	return cases
}

// The worked cases of docs/sensors.md.
func TestWorkedCases(t *testing.T) {
	for i, c := range workedCases(t) {
		t.Run(fmt.Sprint(c.Sensor, " ", i+1), func(t *testing.T) {
			c.check(t, c.Line, c.Path+".log")
			for name, wrap := range map[string]string{"a shipper": `{"@timestamp":"2026-01-01T00:00:00Z","message":%s}`, "Docker": `{"log":%s,"stream":"stdout"}`} {
				quoted, err := json.Marshal(c.Line)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.HasPrefix(c.Outcome, "dead") {
					t.Run(name, func(t *testing.T) { c.check(t, fmt.Sprintf(wrap, quoted), c.Path+".log") })
				}
			}
			if c.Sensor == "zeek" {
				t.Run("as text", func(t *testing.T) { c.check(t, asText(t, c.Line, c.Path), "x") })
			}
		})
	}
}

func (c *workedCase) check(t *testing.T, text, name string) {
	t.Helper()
	out, tally := run(t, t.TempDir(), c.Sensor, name, text+"\n", settings())
	outcome := ""
	reason, found := strings.CutPrefix(c.Outcome, "ignored: ")
	for _, n := range slices.Concat(tally.Of, tally.Also) {
		switch {
		case n.N == 1 && n.Name == "ignored: "+reason && found, n.N == 1 && (n.Name == "taken" || n.Name == "nothing"):
			outcome = strings.Replace(n.Name, "ignored: "+reason, c.Outcome, 1)
		}
	}
	if len(out.dead) == 1 {
		outcome = "dead: " + strings.Fields(out.dead[0])[0]
	}
	if outcome != c.Outcome {
		t.Fatalf("%s (%s), want %s; %v", outcome, &tally, c.Outcome, out.dead)
	}
	for i := range max(len(out.sent), len(c.Observations)) {
		if i >= len(out.sent) || i >= len(c.Observations) {
			t.Fatalf("%d observations, want %d", len(out.sent), len(c.Observations))
		}
		for name, want := range c.Observations[i] {
			if !reflect.DeepEqual(out.sent[i][name], want) {
				t.Errorf("%s is %v, want %v", name, out.sent[i][name], want)
			}
		}
	}
	if c.Full != nil && !reflect.DeepEqual(out.sent[0], c.Full) {
		t.Errorf("got  %v\nwant %v", out.sent[0], c.Full)
	}
	if c.Start != nil {
		o := out.sent[0]
		if o["window_start_ts"] != *c.Start || o["window_end_ts"] != *c.End || o["ts"] != *c.End || o["evidence_ref"] != c.Evidence {
			t.Errorf("%v, want %v to %v, %s", o, *c.Start, *c.End, c.Evidence)
		}
	}
}

// asText writes a row as Zeek's text logs have it.
func asText(t *testing.T, line, path string) string {
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	var row map[string]any
	if err := d.Decode(&row); err != nil {
		t.Fatal(err)
	}
	var names, values []string
	for name, v := range row {
		names = append(names, name)
		text := strings.NewReplacer("\r", `\x0d`, "\n", `\x0a`, "\t", `\x09`).Replace(fmt.Sprint(v))
		if text == "" {
			text = "(empty)"
		}
		values = append(values, text)
	}
	names, values = append(names, "unused"), append(values, "-")
	return "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\t" + path + "\n#open\t2026-11-23-01-18-12\n" +
		"#fields\t" + strings.Join(names, "\t") + "\n#types\t" + strings.Repeat("string\t", len(names)-1) + "string\n" +
		strings.Join(values, "\t") + "\n#close\t2026-11-23-02-00-00"
}

func TestZeekText(t *testing.T) {
	row := func(sep string, columns ...string) string { return strings.Join(columns, sep) + "\n" }
	// Headers in mid file, another separator, columns in another place.
	text := "#separator \\x09\n#path\tssh\n#fields\tts\tuid\tid.orig_h\tid.resp_h\tclient\n" +
		row("\t", "1795396692.5", "C1", "198.51.100.7", "192.0.2.1", `SSH-2.0-a\x09b`) +
		row("\t", "1795396692.5", "C2", "198.51.100.7") +
		"#close\tx\n#separator \\x7c\n#unset_field|?\n#path|http\n#fields|user_agent|uid|ts|id.resp_h|id.orig_h\n" +
		row("|", "curl/8", "C3", "1795396693", "192.0.2.1", "198.51.100.8") + row("|", "?", "C4", "1795396693", "192.0.2.1", "198.51.100.8")
	out, tally := run(t, t.TempDir(), "zeek", "x.log", text, settings())
	if len(out.sent) != 2 || out.sent[0]["value"] != "SSH-2.0-a\tb" || out.sent[1]["value"] != "curl" || !slices.Equal(out.dead, []string{"columns: not as many as #fields names"}) {
		t.Errorf("%v, %v, %s", out.sent, out.dead, &tally)
	}
	out, _ = run(t, t.TempDir(), "zeek", "ssh.log", row("\t", "1795396692.5", "C1", "198.51.100.7", "192.0.2.1", "SSH-2.0-a"), settings())
	if len(out.dead) != 1 || !strings.HasPrefix(out.dead[0], "columns") {
		t.Errorf("before any #fields: %v", out.dead)
	}
}

func TestZeekJSONInEverySpelling(t *testing.T) {
	for _, line := range []string{
		`{"_path":"ssh","_system_name":"zeek-7","ts":"2026-11-23T01:18:12.500000Z","uid":"C1","id":{"orig_h":"198.51.100.7","resp_h":"192.0.2.1"},"client":"SSH-2.0-x"}`,
		`{"_path":"ssh","_system_name":"zeek-7","ts":1.7953966925e9,"uid":"C1","id.orig_h":"198.51.100.7","id.resp_h":"192.0.2.1","client":"SSH-2.0-x"}`,
	} {
		s := settings()
		s.Sensor = ""
		out, _ := run(t, t.TempDir(), "zeek", "whatever.json", line, s)
		if len(out.sent) != 1 || out.sent[0]["ts"] != 1795396692.5 || out.sent[0]["evidence_ref"] != "zeek:zeek-7/C1" {
			t.Errorf("%v, %v", out.sent, out.dead)
		}
	}
}

func TestARepeatIsNotSent(t *testing.T) {
	row := func(agent string) string {
		return `{"timestamp":"2026-11-23T01:18:12Z","flow_id":1,"event_type":"http","src_ip":"198.51.100.7","dest_ip":"192.0.2.1","http":{"http_user_agent":"` + agent + `"}}` + "\n"
	}
	out, tally := run(t, t.TempDir(), "suricata", "eve.json", row("curl/8")+row("curl/8")+row("sqlmap/1")+row("curl/8"), settings())
	if len(out.sent) != 3 {
		t.Errorf("%d sent: %s", len(out.sent), &tally)
	}
}

func TestWhatIsSentCanBeChosen(t *testing.T) {
	c := workedCases(t)[0]
	s := settings()
	s.Primitives = []string{network.Banner}
	out, _ := run(t, t.TempDir(), "zeek", "ssh.log", c.Line, s)
	if len(out.sent) != 1 || out.sent[0]["primitive"] != network.Banner {
		t.Errorf("%v", out.sent)
	}
	s.LocalNets = nil
	if _, err := adapterOf("zeek", s)(&sink{}); err == nil || !strings.Contains(err.Error(), "--local-net") {
		t.Errorf("no local network: %v", err)
	}
	s = settings()
	s.Primitives = []string{"x.y"}
	if err := s.Validate(); err == nil {
		t.Error("x.y is a primitive")
	}
}

func TestNumbersAreSettings(t *testing.T) {
	s := settings()
	s.Numbers = network.DefaultNumbers()
	for _, p := range s.Params() {
		if p.Get() != p.Default {
			t.Errorf("%s is %s, not %s", p.Name, p.Get(), p.Default)
		}
	}
	s.DurationShort, s.DurationConfidence, s.BannerBytes = time.Second, 0.2, 8
	conn := `{"_path":"conn","ts":1,"uid":"C","id.orig_h":"198.51.100.7","id.resp_h":"192.0.2.1","service":"ssh","duration":1.0,"conn_state":"SF"}` + "\n"
	ssh := `{"_path":"ssh","ts":1,"uid":"C","id.orig_h":"198.51.100.7","id.resp_h":"192.0.2.1","client":"SSH-2.0-x"}`
	out, _ := run(t, t.TempDir(), "zeek", "x", conn+ssh, s)
	if len(out.sent) != 2 || out.sent[0]["value"] != "medium" || out.sent[0]["confidence"] != 0.2 || out.sent[1]["value"] != "SSH-2.0-" {
		t.Errorf("%v", out.sent)
	}
	for _, wrong := range []func(){func() { s.DurationMedium = 0 }, func() { s.DurationLong = time.Second }, func() { s.TLSConfidence = 2 }, func() { s.Repeats = -1 }} {
		kept := s.Numbers
		if wrong(); s.Validate() == nil {
			t.Errorf("%+v is valid", s.Numbers)
		}
		s.Numbers = kept
	}
}

func TestAMissingFieldIsSaidOnce(t *testing.T) {
	var said []string
	s := settings()
	s.Missing = func(text string) { said = append(said, text) }
	row := `{"timestamp":"2026-11-23T01:18:12Z","flow_id":1,"event_type":"tls","src_ip":"198.51.100.7","dest_ip":"192.0.2.1","tls":{"sni":"x"}}` + "\n"
	_, tally := run(t, t.TempDir(), "suricata", "eve.json", strings.Repeat(row, 2500), s)
	if len(said) != 1 || !strings.Contains(said[0], "ja4-fingerprints") || tally.Lines != 2500 {
		t.Errorf("%v, %s", said, &tally)
	}
}

func TestARowOfTheFutureIsADeadLetter(t *testing.T) {
	s := settings()
	s.MaxAhead, s.Now = 24*time.Hour, func() time.Time { return time.Unix(1795396692, 0).AddDate(0, 0, -3) }
	for _, i := range []int{0, 20} {
		c := workedCases(t)[i]
		out, _ := run(t, t.TempDir(), c.Sensor, c.Path+".log", c.Line, s)
		if len(out.sent) != 0 || len(out.dead) != 1 || !strings.Contains(out.dead[0], "ahead") {
			t.Errorf("%s: %v, %v", c.Sensor, out.sent, out.dead)
		}
	}
}

// What a row holds beside the rules' fields does not leave, nor what it says in
// a field whose rule does not take it.
func TestNothingElseLeaves(t *testing.T) {
	const secret = "Canary"
	for _, c := range []struct{ sensor, name, line string }{
		{"zeek", "ssh.log", `{"ts":1,"uid":"C","id.orig_h":"198.51.100.7","id.resp_h":"192.0.2.1","hassh":"X","client":"X","X":"X","server":"X","host_key":"X"}`},
		{"zeek", "ssl.log", `{"ts":1,"uid":"C","id.orig_h":"198.51.100.7","id.resp_h":"192.0.2.1","ja3":"X","ja4":"X","server_name":"X","subject":"X"}`},
		{"zeek", "http.log", `{"ts":1,"uid":"C","id.orig_h":"198.51.100.7","id.resp_h":"192.0.2.1","user_agent":"X curl/8 X","uri":"X","host":"X","username":"X","password":"X"}`},
		{"zeek", "X.log", `{"ts":1,"uid":"C","_path":"X"}`},
		{"zeek", "ssh.log", `{"ts":"X","uid":"C"}`}, {"zeek", "ssh.log", `X`}, {"zeek", "ssh.log", "a\tX\tb"}, {"zeek", "ssh.log", "#path\tX\n#fields\tX"},
		{"suricata", "eve.json", `{"timestamp":"2026-11-23T01:18:12Z","flow_id":1,"event_type":"http","src_ip":"198.51.100.7","dest_ip":"192.0.2.1","http":{"http_user_agent":"sqlmap/X","url":"X","hostname":"X"},"payload":"X"}`},
		{"suricata", "eve.json", `{"timestamp":"X","event_type":"ssh"}`}, {"suricata", "eve.json", `{"event_type":"X"}`}, {"suricata", "eve.json", `{"X":"X"}`}, {"suricata", "eve.json", `{"X`},
	} {
		out, tally := run(t, t.TempDir(), c.sensor, strings.ReplaceAll(c.name, "X", secret), strings.ReplaceAll(c.line, "X", secret), settings())
		if all := strings.ToLower(fmt.Sprint(out.sent, out.dead, tally.String())); strings.Contains(all, strings.ToLower(secret)) {
			t.Errorf("%s: %s", c.line, all)
		}
	}
}

func TestEveryRowIsAccountedFor(t *testing.T) {
	dir := t.TempDir()
	cases := workedCases(t)
	rapid.Check(t, func(t *rapid.T) {
		sensor := rapid.SampledFrom([]string{"zeek", "suricata"}).Draw(t, "sensor")
		text := ""
		for range rapid.IntRange(0, 15).Draw(t, "pieces") {
			line := rapid.SampledFrom(cases).Draw(t, "case").Line
			n := rapid.IntRange(0, len(line)).Draw(t, "at")
			text += rapid.SampledFrom([]string{line, line + "\n", line[:n], line[n:], "\n", "[", "]", ",", "{", "\t", "#separator \\x09\n", "#fields\tts\tuid\n", "1\tC\n", "#path\tssh\n", `\x`, "\x00"}).Draw(t, "piece")
		}
		// A text with zero bytes at its beginning may be taken for UTF-16 or UTF-32, which
		// have other lines.
		if at := strings.IndexByte(text, 0); at >= 0 && at < 8 {
			text = strings.ReplaceAll(text, "\x00", "")
		}
		lines := int64(strings.Count(text, "\n"))
		if text != "" && !strings.HasSuffix(text, "\n") {
			lines++
		}
		out, tally := run(t, dir, sensor, "ssh.log", text, settings())
		if tally.Lines != lines {
			t.Fatalf("%d lines, want %d: %s", tally.Lines, lines, &tally)
		}
		for _, n := range tally.Of {
			if n.N < 0 || n.Name == "dead" && int(n.N) < len(out.dead) {
				t.Fatalf("%s: %d, %d dead letters", n.Name, n.N, len(out.dead))
			}
		}
	})
}

func FuzzLines(f *testing.F) {
	text, err := os.ReadFile("testdata/cases.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var c workedCase
		if err := json.Unmarshal(line, &c); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(c.Line), c.Sensor == "zeek")
	}
	f.Add([]byte("#separator \\x09\n#fields\tts\tuid\tid.orig_h\n1\tC\t1.2.3.4\n#separator \\x\n#fields\n\n"), true)
	f.Fuzz(func(t *testing.T, log []byte, isZeek bool) {
		adapter, err := adapterOf(map[bool]string{true: "zeek", false: "suricata"}[isZeek], settings())(&sink{})
		if err != nil {
			t.Fatal(err)
		}
		n := int64(0)
		for l := range bytes.SplitSeq(log, []byte("\n")) {
			n++
			if err := adapter.Line(l); err != nil {
				t.Fatal(err)
			}
		}
		if err := adapter.Close(); err != nil {
			t.Fatal(err)
		}
		if tally := adapter.Tally(); tally.Lines != n || tally.Accounted() != n+tally.Extra {
			t.Fatalf("%d lines: %s", n, &tally)
		}
	})
}

func BenchmarkZeekText(b *testing.B) {
	row := "1795396692.500000\tCab1\t198.51.100.7\t51000\t192.0.2.10\t22\t2\tT\t1\tINBOUND\tSSH-2.0-libssh2_1.11.1\tSSH-2.0-OpenSSH_9.2p1\taes128-ctr\thmac-sha2-256\tnone\tcurve25519-sha256\tssh-ed25519\taa:bb\t2afdc46a6d1ff4a4ff1bce1a5f3b62a7"
	header := "#separator \\x09\n#path\tssh\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tversion\tauth_success\tauth_attempts\tdirection\tclient\tserver\tcipher_alg\tmac_alg\tcompression_alg\tkex_alg\thost_key_alg\thost_key\thassh"
	benchmark(b, "zeek", strings.Split(header, "\n"), func(i int) string { return strings.Replace(row, "Cab1", fmt.Sprint("C", i), 1) })
}

func BenchmarkSuricata(b *testing.B) {
	row := `{"timestamp":"2026-11-23T02:18:12.500000+0100","flow_id":FLOW,"in_iface":"eth0","event_type":"ssh","src_ip":"198.51.100.7","src_port":51000,"dest_ip":"192.0.2.10","dest_port":22,"proto":"TCP","ssh":{"client":{"proto_version":"2.0","software_version":"libssh2_1.11.1","hassh":{"hash":"2afdc46a6d1ff4a4ff1bce1a5f3b62a7","string":"curve25519-sha256,ecdh-sha2-nistp256;aes128-ctr;hmac-sha2-256;none"}},"server":{"proto_version":"2.0","software_version":"OpenSSH_9.2p1"}}}`
	benchmark(b, "suricata", nil, func(i int) string { return strings.Replace(row, "FLOW", fmt.Sprint(i), 1) })
}

func benchmark(b *testing.B, sensor string, header []string, row func(int) string) {
	rows := make([][]byte, 10_000)
	for i := range rows {
		rows[i] = []byte(row(i))
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		adapter, err := adapterOf(sensor, settings())(discard{})
		if err != nil {
			b.Fatal(err)
		}
		for _, l := range header {
			if err := adapter.Line([]byte(l)); err != nil {
				b.Fatal(err)
			}
		}
		for _, l := range rows {
			if err := adapter.Line(l); err != nil {
				b.Fatal(err)
			}
		}
		n += len(rows)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
}

type discard struct{}

func (discard) Observation(ingest.Observation) error { return nil }
func (discard) Record(_, _ []byte) error             { return nil }
func (discard) Dead(ingest.DeadLetter) error         { return nil }
