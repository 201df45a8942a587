package ingest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/unicode"
	"pgregory.net/rapid"

	"handprint/ingest"
	"handprint/ingest/cowrie"
)

// events returns the lines of two sessions.
func events() []string {
	var lines []string
	for i, session := range []string{"aaaaaaaaaaa1", "aaaaaaaaaaa2"} {
		for j, rest := range []string{
			`"eventid":"cowrie.session.connect"`, `"eventid":"cowrie.client.version","version":"SSH-2.0-Go"`,
			`"eventid":"cowrie.login.success","username":"root","password":"p{\"[,] }"`,
			`"eventid":"cowrie.command.input","input":"echo '{\\\"}' [ ü"`, `"eventid":"cowrie.session.closed","duration":"8.0"`,
		} {
			lines = append(lines, fmt.Sprintf(`{%s,"message":"x {\"a\":1} \\","timestamp":"2026-05-01T00:0%d:0%d.123456Z","src_ip":"198.51.100.%d","sensor":"hp1","session":"%s"}`,
				rest, i, j, i+7, session))
		}
	}
	return lines
}

func read(t fatalf, files ...[]byte) (*kept, ingest.Result, error) {
	t.Helper()
	dir := t.TempDir()
	var names []string
	for i, data := range files {
		names = append(names, writeIn(t, dir, fmt.Sprint("cowrie.json.", i), data))
	}
	var sink kept
	run := ingest.Files{Names: names}
	result, err := run.Run(context.Background(), &sink, cowrieAdapter)
	if got := result.Tally.Accounted(); got != result.Tally.Lines+result.Tally.Extra {
		t.Fatalf("%d of %d lines and %d more events are accounted for: %+v", got, result.Tally.Lines, result.Tally.Extra, result.Tally)
	}
	return &sink, result, err
}

func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// Whatever a shipper makes of the log, it says what the log says.
func TestWrappedEventsAreTheSame(t *testing.T) {
	lines := events()
	plain, _, err := read(t, []byte(strings.Join(lines, "\n")+"\n"))
	if err != nil || len(plain.observations) < 10 {
		t.Fatal(len(plain.observations), err)
	}
	each := func(wrap func(event string) string) string {
		var b strings.Builder
		for _, l := range lines {
			b.WriteString(wrap(l) + "\n")
		}
		return b.String()
	}
	member := func(name string) string {
		return each(func(e string) string { return `{"x":1,"` + name + `":` + e + `,"y":{"z":[]}}` })
	}
	text := func(name string) string {
		return each(func(e string) string { return `{"x":"{","` + name + `":` + quoted(e) + `,"stream":"stdout"}` })
	}
	var pretty, prettyArray bytes.Buffer
	for i, l := range lines {
		if err := json.Indent(&pretty, []byte(l), "", "  "); err != nil {
			t.Fatal(err)
		}
		pretty.WriteByte('\n')
		if i > 0 {
			prettyArray.WriteString(",\n")
		}
		prettyArray.WriteString("  ")
		if err := json.Indent(&prettyArray, []byte(l), "  ", "  "); err != nil {
			t.Fatal(err)
		}
	}
	cut := func(e string) (string, string) { return e[:40], e[40:] }
	utf16 := func(order unicode.Endianness, bom unicode.BOMPolicy) string {
		s, err := unicode.UTF16(order, bom).NewEncoder().String(strings.ReplaceAll(strings.Join(lines, "\n")+"\n", "\n", "\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, input := range map[string]string{
		"crlf":     each(func(e string) string { return e + "\r" }),
		"blank":    each(func(e string) string { return "\n  \n" + e }),
		"bom":      "\ufeff" + each(func(e string) string { return e }),
		"boms":     each(func(e string) string { return "\ufeff" + e }),
		"utf-16le": utf16(unicode.LittleEndian, unicode.UseBOM), "utf-16be": utf16(unicode.BigEndian, unicode.UseBOM),
		"utf-16le without a mark": utf16(unicode.LittleEndian, unicode.IgnoreBOM),
		"object log":              member("log"), "object message": member("message"), "object json": member("json"), "object cowrie": member("cowrie"),
		"object event": member("event"), "object honeypot": member("honeypot"), "object _source": member("_source"),
		"text log": text("log"), "text message": text("message"), "text json": text("json"), "text event": text("event"), "text _raw": text("_raw"),
		"docker": each(func(e string) string {
			return `{"log":` + quoted(e+"\n") + `,"stream":"stdout","time":"2026-05-01T00:00:00Z"}`
		}),
		"docker in pieces": each(func(e string) string {
			a, b := cut(e)
			return `{"log":` + quoted(a) + `,"stream":"stdout"}` + "\n" + `{"log":` + quoted(b+"\n") + `,"stream":"stdout"}`
		}),
		"splunk": each(func(e string) string {
			return `{"preview":false,"offset":0,"result":{"_raw":` + quoted(e) + `,"_time":"1"}}`
		}),
		"hec": each(func(e string) string {
			return `{"time":1777593600.1,"host":"h","sourcetype":"cowrie","event":` + e + `}`
		}),
		"filebeat of docker": each(func(e string) string {
			return `{"@timestamp":"2026-05-01T00:00:00Z","message":` + quoted(`{"log":`+quoted(e+"\n")+`}`) + `}`
		}),
		"search answer": `{"took":1,"hits":{"total":{"value":2},"hits":[` + strings.Join(lines, ",") + `]}}`,
		"syslog 5424":   each(func(e string) string { return `<134>1 2026-05-01T00:00:00.123456Z hp1 cowrie 77 - - ` + e }),
		"syslog 3164":   each(func(e string) string { return `<134>May  1 00:00:00 hp1 cowrie[77]: ` + e }),
		"syslog cee":    each(func(e string) string { return `May  1 00:00:00 hp1 cowrie: @cee: ` + e }),
		"cri":           each(func(e string) string { return `2026-05-01T00:00:00.123456789Z stdout F ` + e }),
		"cri in pieces": each(func(e string) string {
			a, b := cut(e)
			return "2026-05-01T00:00:00.1Z stdout P " + a + "\n2026-05-01T00:00:00.1Z stdout F " + b
		}),
		"array":           "[\n" + strings.Join(lines, ",\n") + "\n]\n",
		"array on a line": "[" + strings.Join(lines, ",") + "]",
		"array, tight":    "[" + strings.Join(lines, ",\n") + "]",
		"pretty":          pretty.String(),
		"pretty array":    "[\n" + prettyArray.String() + "\n]\n",
		"several a line":  strings.Join(lines, " "),
		"several, no gap": strings.Join(lines[:5], "") + "\n" + strings.Join(lines[5:], ""),
		"only @timestamp": each(func(e string) string { return strings.Replace(e, `"timestamp"`, `"@timestamp"`, 1) }),
		"@timestamp around": each(func(e string) string {
			i := strings.Index(e, `"timestamp":"`) + len(`"timestamp":"`)
			return `{"@timestamp":"` + e[i:i+27] + `","json":` + strings.Replace(e, `"timestamp"`, `"stamped"`, 1) + `}`
		}),
	} {
		t.Run(name, func(t *testing.T) {
			got, result, err := read(t, []byte(input))
			if err != nil || len(got.dead) > 0 || !slices.Equal(got.observations, plain.observations) {
				t.Errorf("%d observations, dead letters %v, %v\n%s", len(got.observations), got.dead, err, &result.Tally)
			}
		})
	}
}

func TestUnusableInputStops(t *testing.T) {
	for name, c := range map[string]struct{ line, says string }{
		"text":     {"2026-05-01T00:00:00Z [cowrie.ssh.factory] New connection", "text log"},
		"csv":      {"a,b,c", "text that is no JSON"},
		"html":     {"<html>", "HTML"},
		"binary":   {"\x00\x01\x02", "binary"},
		"zeek":     {"#separator \\x09", "handprint ingest zeek"},
		"suricata": {`{"event_type":"ssh","flow_id":1,"timestamp":"2026-05-01T00:00:00Z"}`, "handprint ingest suricata"},
		"behave":   {`{"attacker_uuid":"a","primitive":"p"}`, "handprint ingest behave"},
		"other":    {`{"eventid":"other.x","session":"a","timestamp":"2026-05-01T00:00:00Z"}`, "does not begin with cowrie."},
		"wrapper":  {`{"message":"hello"}`, `"message"`},
		"objects":  {`{"secret":"x"}`, "no events of this sensor"},
		"cut":      {`{"eventid":"cowrie.x`, "cut or damaged"},
		"time":     {`{"eventid":"cowrie.x","session":"a","timestamp":"1777593600"}`, "timestamp or session cannot be read"},
		"fields":   {`{"_index":"x","fields":{"eventid":["cowrie.x"],"session":["a"]}}`, `"fields"`},
	} {
		for _, n := range []int{3, 5000} {
			got, result, err := read(t, []byte(strings.Repeat(c.line+"\n", n)))
			var unusable *ingest.UnusableError
			if !errors.As(err, &unusable) || !strings.Contains(err.Error(), c.says) || len(got.dead) > 10 || result.Tally.Lines > 1000 {
				t.Errorf("%s: %v, %d dead letters of %d lines", name, err, len(got.dead), result.Tally.Lines)
			}
		}
	}
	// One line of use, and all are told.
	got, _, err := read(t, []byte(strings.Repeat("x\n", 900)+events()[0]+"\n"))
	if err != nil || len(got.dead) != 900 {
		t.Errorf("%d dead letters, %v", len(got.dead), err)
	}
}

func TestFilesAreReadOldestFirst(t *testing.T) {
	lines := events()
	old, young := strings.Join(lines[:3], "\n")+"\n", strings.Join(lines[3:], "\n")+"\n"
	plain, _, _ := read(t, []byte(old+young))
	got, _, err := read(t, []byte(young), []byte(old))
	if err != nil || !slices.Equal(got.observations, plain.observations) {
		t.Errorf("%d observations, %v", len(got.observations), err)
	}
	// A rotation that cut a line in two.
	whole := old + young
	for _, at := range []int{len(old) + 10, len(old) + len(lines[3]) - 1, len(old) + len(lines[3])} {
		got, result, err := read(t, []byte(whole[:at]), []byte(whole[at:]))
		if err != nil || len(got.dead) > 0 || !slices.Equal(got.observations, plain.observations) {
			t.Errorf("cut at %d: %d observations, %v, %v\n%s", at, len(got.observations), got.dead, err, &result.Tally)
		}
	}
}

// What a rotation cuts in two is one: an event over several lines, and the
// pieces that a container's log makes of one.
func TestWhatARotationCutsIsJoined(t *testing.T) {
	lines := events()
	plain, _, _ := read(t, []byte(strings.Join(lines, "\n")))
	var pretty bytes.Buffer
	for _, l := range lines {
		if err := json.Indent(&pretty, []byte(l), "", " "); err != nil {
			t.Fatal(err)
		}
		pretty.WriteByte('\n')
	}
	const cri = "2026-05-01T00:00:00.1Z stdout "
	var pieces, docker []string
	for _, l := range lines {
		pieces = append(pieces, cri+"P "+l[:40], cri+"P "+l[40:60], cri+"F "+l[60:])
		docker = append(docker, `{"log":`+quoted(l[:40])+`,"stream":"stdout"}`, `{"log":`+quoted(l[40:]+"\n")+`,"stream":"stdout"}`)
	}
	for name, all := range map[string][]string{"pretty": strings.Split(strings.TrimSuffix(pretty.String(), "\n"), "\n"), "cri": pieces, "docker": docker} {
		for at := 1; at < len(all); at++ {
			got, result, err := read(t, []byte(strings.Join(all[:at], "\n")+"\n"), []byte(strings.Join(all[at:], "\n")))
			if err != nil || len(got.dead) > 0 || !slices.Equal(got.observations, plain.observations) {
				t.Errorf("%s, cut behind line %d: %d observations, %v, %v\n%s", name, at, len(got.observations), got.dead, err, &result.Tally)
			}
		}
	}
	// What is begun and does not go on is told where it stood.
	got, _, err := read(t, []byte(lines[0]+"\n{\n\"a\":1,\n"), []byte(lines[1]+"\n"))
	if err != nil || len(got.dead) != 2 || !strings.HasPrefix(got.dead[0], "cowrie.json.0:2 ") || !strings.HasPrefix(got.dead[1], "cowrie.json.0:3 ") {
		t.Errorf("%v, %v", got.dead, err)
	}
}

func TestLinesThatRunBackwards(t *testing.T) {
	lines := events()
	plain, _, _ := read(t, []byte(strings.Join(lines, "\n")))
	slices.Reverse(lines)
	mixed := []byte(strings.Join(lines, "\n") + "\n")
	_, result, err := read(t, mixed)
	if err != nil || len(result.Tally.Notes) == 0 || !strings.Contains(result.Tally.Notes[0], "--sort") {
		t.Errorf("%v, %v", result.Tally.Notes, err)
	}
	var sink kept
	run := ingest.Files{Names: []string{write(t, "x", mixed)}, SortWithin: 24 * 3600e9}
	if _, err := run.Run(context.Background(), &sink, cowrieAdapter); err != nil || !slices.Equal(sink.observations, plain.observations) {
		t.Errorf("sorted: %d observations, %v", len(sink.observations), err)
	}
}

// A dead letter of a sensor's line tells nothing that was typed or logged in
// with, masked or not.
func TestDeadLettersTellNothing(t *testing.T) {
	const secret = "CANARY"
	bad := []string{
		secret, `{"eventid":"cowrie.login.failed","password":"` + secret + `"`, `{"password":"` + secret + `","x":{"` + secret + `":["` + secret + `",1234]}}`,
		`{"log":"` + secret + ` {\"password\":\"` + secret + `\"}"}`, `{"eventid":"cowrie.x","session":"s","timestamp":"never","input":"` + secret + `"}`,
		`[{"input":"` + secret + `"}]`, `2026-05-01T00:00:00Z stdout P {"password":"` + secret, `{"message":"` + secret + `"}`, strings.Repeat(secret, 200_000),
	}
	input := []byte(events()[0] + "\n" + strings.Join(bad, "\n") + "\n")
	for _, text := range []ingest.LetterText{ingest.NoText, ingest.MaskedText, ingest.WholeText} {
		sink := &letters{}
		run := ingest.Files{Names: []string{write(t, "x", input)}, LetterText: text}
		result, err := run.Run(context.Background(), sink, cowrieAdapter)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range sink.got {
			all := fmt.Sprintf("%s %s %s %s", d.Reason, d.Line, d.Digest, d.File)
			if strings.Contains(all, secret) != (text == ingest.WholeText) || len(d.Digest) != 64 || d.Length == 0 || d.Number == 0 {
				t.Errorf("%d: %.200s, %d bytes, line %d", text, all, d.Length, d.Number)
			}
			if text == ingest.NoText && d.Line != nil {
				t.Errorf("text %q", d.Line)
			}
		}
		if len(sink.got) != len(bad) || strings.Contains(result.Tally.String(), secret) {
			t.Errorf("%d dead letters, want %d: %s", len(sink.got), len(bad), &result.Tally)
		}
	}
}

// letters keeps dead letters.
type letters struct {
	kept
	got []ingest.DeadLetter
}

func (l *letters) Dead(d ingest.DeadLetter) error {
	d.Line = bytes.Clone(d.Line)
	l.got = append(l.got, d)
	return nil
}

// drawPiece draws text as logs are made of, and as they are not.
func drawPiece(t *rapid.T) string {
	event := rapid.SampledFrom(events()).Draw(t, "event")
	n := rapid.IntRange(0, len(event)).Draw(t, "at")
	return rapid.SampledFrom([]string{
		event, event, event[:n], event[n:], "\n", "\n", "\r\n", "[", "]", ",", " ", "{", "}", `"`, `\`, "\ufeff", "x", "\x00", "<13>1 h ",
		"2026-05-01T00:00:00Z stdout P ", "2026-05-01T00:00:00Z stdout F ", `{"log":` + quoted(event[:n]) + "}", `{"log":` + quoted(event+"\n") + "}", `{"hits":[` + event + "," + event + "]}",
	}).Draw(t, "piece")
}

// Whatever bytes a file holds, every line of it is accounted for.
func TestEveryLineIsAccountedFor(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		var names []string
		lines := int64(0)
		for i := range rapid.IntRange(1, 3).Draw(t, "files") {
			text := events()[0] + "\n"
			for range rapid.IntRange(0, 12).Draw(t, "pieces") {
				text += drawPiece(t)
			}
			lines += int64(strings.Count(text, "\n"))
			if !strings.HasSuffix(text, "\n") {
				lines++
			}
			names = append(names, writeIn(t, dir, fmt.Sprint("f", i), []byte(text)))
		}
		sink := &letters{}
		run := ingest.Files{Names: names, MaxLine: rapid.SampledFrom([]int{0, 500}).Draw(t, "max")}
		result, err := run.Run(context.Background(), sink, cowrieAdapter)
		tally := &result.Tally
		if err != nil || tally.Lines != lines || tally.Accounted() != tally.Lines+tally.Extra {
			t.Fatalf("%d lines, %d accounted for, %d extra: %s, %v", lines, tally.Accounted(), tally.Extra, tally, err)
		}
		dead := int64(0)
		for _, c := range tally.Of {
			if c.N < 0 {
				t.Fatalf("%s is %d", c.Name, c.N)
			}
			if c.Name == "dead" {
				dead = c.N
			}
		}
		if dead != int64(len(sink.got)) {
			t.Fatalf("%d dead letters, %d counted", len(sink.got), dead)
		}
	})
}

func FuzzInput(f *testing.F) {
	log := strings.Join(events(), "\n") + "\n"
	f.Add([]byte(log))
	f.Add([]byte("[" + strings.Join(events(), ",\n") + "]"))
	f.Add([]byte(`{"log":` + quoted(events()[0][:30]) + "}\n" + `{"log":` + quoted(events()[0][30:]+"\n") + "}"))
	for _, magic := range []string{"\x1f\x8b\x08\x00", "\x28\xb5\x2f\xfd\x00", "\xfd7zXZ\x00", "BZh91AY&SY", "\xff\xfe{\x00", "PK\x03\x04"} {
		f.Add([]byte(magic + log))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		_, _, err := read(t, data)
		var unusable *ingest.UnusableError
		if err != nil && !errors.As(err, &unusable) && !strings.Contains(err.Error(), "unpacking") && !strings.Contains(err.Error(), "reading") {
			t.Fatal(err)
		}
	})
}

var _ ingest.Stamper = (*cowrie.Adapter)(nil)
