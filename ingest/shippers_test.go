package ingest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"handprint/ingest"
)

// shipped is what shippers and stores write of a log: each a whole file.
func shipped(lines []string) map[string]string {
	each := func(wrap func(event string) string) string {
		var b strings.Builder
		for _, l := range lines {
			b.WriteString(wrap(l) + "\n")
		}
		return b.String()
	}
	all := func(before, between, after string, wrap func(event string) string) string {
		wrapped := make([]string, len(lines))
		for i, l := range lines {
			wrapped[i] = wrap(l)
		}
		return before + strings.Join(wrapped, between) + after
	}
	prefixed := func(prefix string) string { return each(func(e string) string { return prefix + e }) }
	text := func(object string) func(string) string { // object has %s for the event as a JSON text
		return func(e string) string { return fmt.Sprintf(object, quoted(e)) }
	}
	plain := func(object string) func(string) string {
		return func(e string) string { return fmt.Sprintf(object, e) }
	}
	numbers := func(e string) string {
		list := make([]int, len(e))
		for i := range len(e) {
			list[i] = int(e[i])
		}
		b, _ := json.Marshal(list)
		return string(b)
	}
	indented := func(document string) string {
		var b bytes.Buffer
		if json.Indent(&b, []byte(document), "", "\t") != nil {
			return "not JSON: " + document
		}
		return b.String()
	}
	const date = `"@timestamp":"2026-05-01T00:00:00.123Z"`
	return map[string]string{
		"filebeat 8": each(text(`{` + date + `,"log":{"offset":1,"file":{"path":"/x"}},"message":%s,"input":{"type":"filestream"},"agent":{"type":"filebeat"}}`)),
		"filebeat 5": each(text(`{` + date + `,"message":%s,"offset":1,"source":"/x","type":"log"}`)), "filebeat, own target": each(plain(`{` + date + `,"log":{"offset":1},"cowrie_json":%s}`)),
		"elastic agent":           each(text(`{` + date + `,"event":{"dataset":"c","original":%s}}`)),
		"logstash":                each(text(`{"@version":"1",` + date + `,"event":{"original":%[1]s},"message":%[1]s}`)),
		"logstash with a type":    each(text(`{"@version":"1",` + date + `,"type":"syslog","message":%s}`)),
		"vector":                  each(text(`{"file":"/x","host":"h","message":%s,"source_type":"file","timestamp":"2026-05-01T00:00:00Z"}`)),
		"vector in vector":        each(func(e string) string { return `{"message":{"message":` + quoted(e) + `},"timestamp":"x"}` }),
		"fluent bit, json_lines":  each(text(`{"date":1777593600.1,"log":%s}`)),
		"fluent bit, json":        all("[", ",", "]", text(`{"date":1777593600.1,"log":%s}`)),
		"fluent bit, file":        each(text(`tail.0: [1777593600.123456789, {"log":%s}]`)),
		"fluent bit, metadata":    each(text(`tail.0: [[1777593600.123456789, {}], {"log":%s}]`)),
		"fluent bit, kubernetes":  each(text(`{"log":%s,"stream":"stdout","kubernetes":{"pod_name":"x","labels":{"app":"c"}}}`)),
		"fluentd, out_file":       each(text("2026-05-01T00:00:00+00:00\tcowrie\t" + `{"log":%s}`)),
		"fluentd, forward":        each(text(`["cowrie",1777593600,{"log":%s}]`)),
		"fluentd, forward, batch": all(`["cowrie",[`, ",", "]]", plain(`[1777593600,%s]`)),
		"splunk, results":         all(`{"preview":false,"results":[`, ",", "]}", text(`{"_raw":%s,"_time":"1"}`)),
		"splunk, line":            each(text(`{"time":1777593600.1,"event":{"line":%s,"source":"stdout"}}`)),
		"splunk, hec, no newline": all("", "", "", plain(`{"time":1777593600.1,"event":%s}`)),
		"gelf":                    each(text(`{"version":"1.1","host":"h","short_message":%s,"timestamp":1777593600.123,"level":6}`)),
		"gelf, full":              each(text(`{"version":"1.1","host":"h","short_message":"cut","full_message":%s,"timestamp":1777593600.123}`)),
		"gelf, zeros":             all("", "\x00", "\x00", text(`{"version":"1.1","host":"h","short_message":%s}`)),
		"graylog":                 all(`{"messages":[`, ",", "]}", text(`{"index":"g","message":{"message":%s,"source":"h"}}`)),
		"cri, offset":             prefixed("2026-05-01T00:00:00.123456789+02:00 stdout F "),
		"cri of filebeat":         each(text(`2026-05-01T00:00:00.1Z stdout F {"message":%s}`)),
		"journald":                each(text(`{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1777593600123456","MESSAGE":%s,"_PID":"1"}`)),
		"journald, bytes":         each(func(e string) string { return `{"__CURSOR":"s=1","MESSAGE":` + numbers(e) + `}` }),
		"journald, json-seq":      each(text("\x1e" + `{"MESSAGE":%s}`)),
		"journald, json-sse":      each(text(`data: {"MESSAGE":%s}` + "\n")),
		"journald, json-pretty":   all("", "\n", "", func(e string) string { return indented(`{"MESSAGE":` + quoted(e) + `,"_PID":"1"}`) }),
		"journald, short":         prefixed("May 01 00:00:00 hp1 cowrie[77]: "),
		"journald, short-iso":     prefixed("2026-05-01T00:00:00+0000 hp1 twistd[77]: "),
		"kubectl --prefix":        prefixed("[pod/cowrie-0/cowrie] "),
		"docker logs -t":          prefixed("2026-05-01T00:00:00.123456789Z "),
		"compose":                 prefixed("cowrie-1  | "),
		"compose, coloured":       each(func(e string) string { return "\x1b[36mcowrie-1  | \x1b[0m" + e + "\x1b[0m" }),
		"logcli":                  prefixed(`2026-05-01T00:00:00Z {filename="/x", job="cowrie"} `),
		"logcli, jsonl":           each(text(`{"labels":{"job":"c"},"line":%s,"timestamp":"2026-05-01T00:00:00Z"}`)),
		"loki, push":              all(`{"streams":[{"stream":{"job":"c"},"values":[`, ",", "]}]}", text(`["1777593600123456789",%s]`)),
		"loki, query":             all(`{"status":"success","data":{"resultType":"streams","result":[{"stream":{},"values":[`, ",", "]}]}}", text(`["1777593600123456789",%s]`)),
		"opentelemetry":           all(`{"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":[`, ",", "]}]}]}", text(`{"timeUnixNano":"1","body":{"stringValue":%s}}`)),
		"cloudwatch":              all(`{"events":[`, ",", `],"nextForwardToken":"f"}`, text(`{"timestamp":1777593600123,"message":%s}`)),
		"cloudwatch, firehose":    all(`{"messageType":"DATA_MESSAGE","logEvents":[`, ",", "]}", text(`{"id":"1","timestamp":1777593600123,"message":%s}`)),
		"azure, event hub":        all(`{"records":[`, ",", "]}", text(`{"time":"x","properties":{"log":%s,"stream":"stdout"}}`)),
		"azure, workspace":        each(text(`{"TimeGenerated":"2026-05-01T00:00:00Z","LogMessage":%s}`)),
		"google cloud":            indented(all("[", ",", "]", plain(`{"jsonPayload":%s,"timestamp":"2026-05-01T00:00:00Z","insertId":"x"}`))),
		"google cloud, text":      each(text(`{"textPayload":%s,"timestamp":"2026-05-01T00:00:00Z"}`)),
		"datadog":                 all(`{"data":[`, ",", "]}", text(`{"id":"x","type":"log","attributes":{"message":%s}}`)),
		"datadog, attributes":     all(`{"data":[`, ",", "]}", plain(`{"id":"x","type":"log","attributes":{"attributes":%s}}`)),
		"elasticsearch, bulk":     each(plain(`{"index":{"_index":"cowrie"}}` + "\n%s")),
		"elasticsearch, pretty":   indented(all(`{"took":1,"hits":{"total":{"value":2},"hits":[`, ",", "]}}", plain(`{"_source":%s}`))),
		"elasticsearch, msearch":  all(`{"responses":[{"hits":{"hits":[`, ",", "]}}]}", plain(`{"_source":%s}`)),
		"kafka connect":           each(text(`{"schema":{"type":"string"},"payload":%s}`)),
		"kcat":                    each(text(`{"topic":"cowrie","partition":0,"offset":1,"key":null,"payload":%s}`)),
		"kafka console":           prefixed("CreateTime:1777593600123\tPartition:0\tnull\t"),
		"mongoexport":             each(plain(`{"_id":{"$oid":"65"},"doc":%s}`)),
		"logfmt":                  each(text(`ts=2026-05-01T00:00:00Z level=info msg=%s`)),
		"syslog, equals":          prefixed("<134>May  1 00:00:00 hp1 cowrie: cowrie_json="),
		"syslog, counted":         prefixed("400 <134>1 2026-05-01T00:00:00.1Z hp1 cowrie 1 - - "),
		"syslog, structured":      prefixed(`<134>1 2026-05-01T00:00:00.1Z hp1 cowrie 1 ID47 [e@32473 iut="3" source="App"] ` + "\ufeff"),
		"syslog, no blank":        prefixed("<134>May  1 00:00:00 hp1 cowrie:"),
		"rsyslog":                 each(func(e string) string { return `{"timegenerated":"x","hostname":"h","msg":` + quoted(" "+e) + `}` }),
		"syslog-ng":               each(text(`{"PROGRAM":"cowrie","MESSAGE":%s,"HOST":"h","DATE":"May  1 00:00:00"}`)),
		"nxlog":                   each(text(`{"EventReceivedTime":"2026-05-01 00:00:00","Message":%s}`)),
		"wazuh":                   each(plain(`{"timestamp":"2026-05-01T00:00:00.000+0000","rule":{"level":3},"data":%s}`)),
		"wazuh, archives":         each(text(`{"timestamp":"2026-05-01T00:00:00.000+0000","full_log":%s,"location":"/x"}`)),
		"a text that is JSON":     each(quoted),
		"three deep": each(func(e string) string {
			return `{"message":` + quoted(`{"log":`+quoted(`{"message":`+quoted(e)+`}`)+`}`) + `}`
		}),
		"zeros of a crash": strings.Repeat("\x00", 4096) + strings.Join(lines[:3], "\n") + "\n" + strings.Repeat("\x00", 512) + strings.Join(lines[3:], "\n") + "\n",
		"commas":           strings.Join(lines, ",\n"),
		"carriage returns": strings.Join(lines, "\r"),
		"two arrays":       "[" + strings.Join(lines[:4], ",") + "][" + strings.Join(lines[4:], ",") + "]",
		"named array":      `{"cowrie":[` + strings.Join(lines, ",") + "]}",
		"one way after another": func() string {
			var b strings.Builder
			for i, e := range lines {
				b.WriteString([]string{
					e, `{"log":` + quoted(e+"\n") + "}", `{"message":` + quoted(e) + "}", "<134>May  1 00:00:00 h c: " + e,
					"2026-05-01T00:00:00Z stdout F " + e, `{"_source":` + e + "}", "[" + e + "]", indented(e),
				}[i%8] + "\n")
			}
			return b.String()
		}(),
	}
}

// What a shipper or a store writes of a log says what the log says, and every
// line is accounted for.
func TestShippedEventsAreTheSame(t *testing.T) {
	lines := events()
	plain, _, err := read(t, []byte(strings.Join(lines, "\n")+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, input := range shipped(lines) {
		t.Run(name, func(t *testing.T) {
			got, result, err := read(t, []byte(input))
			if err != nil || len(got.dead) > 0 || !slices.Equal(got.observations, plain.observations) {
				t.Errorf("%d observations, dead letters %v, %v\n%s", len(got.observations), got.dead, err, &result.Tally)
			}
		})
	}
}

// Whatever a log is wrapped in, nothing that was typed or logged in with is told
// where it cannot be used, masked or not, nor by what is said of it.
func TestShippedSecretsStay(t *testing.T) {
	const secret = "CANARY"
	var lines []string
	for _, l := range events() {
		// No session: none of the events can be used, and each field has it.
		l = strings.Replace(l, `"session":`, `"`+secret+`":["`+secret+`"],"`+secret+`x":{"a":"`+secret+`"},"ttylog":"`+secret+`","input":"`+secret+`","username":"`+secret+`","no session":`, 1)
		lines = append(lines, l)
	}
	good := events()[0] + "\n"
	for name, input := range shipped(lines) {
		for _, alone := range []bool{true, false} { // all of no use, and not
			text := input
			if !alone {
				text = good + input
			}
			for _, letterText := range []ingest.LetterText{ingest.NoText, ingest.MaskedText} {
				sink := &letters{}
				run := ingest.Files{Names: []string{write(t, "x", []byte(text))}, LetterText: letterText, Warn: func(s string) {
					if strings.Contains(s, secret) {
						t.Errorf("%s: said: %s", name, s)
					}
				}}
				result, err := run.Run(t.Context(), sink, cowrieAdapter)
				said := result.Tally.String() + strings.Join(result.Tally.Notes, " ")
				if err != nil {
					said += err.Error()
				}
				if (err == nil) == alone || len(sink.got) == 0 || strings.Contains(said, secret) {
					t.Errorf("%s: %d dead letters, %v, said %s", name, len(sink.got), err, said)
				}
				for _, d := range sink.got {
					if all := fmt.Sprintf("%s %s %s", d.Reason, d.Line, d.File); strings.Contains(all, secret) {
						t.Errorf("%s: %.300s", name, all)
					}
				}
				for _, o := range sink.observations {
					if strings.Contains(fmt.Sprint(o), secret) {
						t.Errorf("%s: %v", name, o)
					}
				}
			}
		}
	}
}

// One document of any size on one line is read in little memory.
func TestALineLongerThanTheBoundIsTakenApart(t *testing.T) {
	lines := events()
	plain, _, err := read(t, []byte(strings.Join(lines, "\n")+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, input := range shipped(lines) {
		if strings.Count(input, "\n") > 1 || strings.Contains(name, "carriage") {
			continue
		}
		sink := &letters{}
		run := ingest.Files{Names: []string{write(t, "x", []byte(input))}, MaxLine: 700}
		result, err := run.Run(t.Context(), sink, cowrieAdapter)
		tally := &result.Tally
		if err != nil || len(sink.got) > 0 || !slices.Equal(sink.observations, plain.observations) || tally.Accounted() != tally.Lines+tally.Extra {
			t.Errorf("%s: %d observations, %d dead letters, %v\n%s", name, len(sink.observations), len(sink.got), err, tally)
		}
	}
	// What does not fit, and holds nothing, is told with its length.
	long := `{"a":"` + strings.Repeat("x", 2000) + `"}`
	sink := &letters{}
	run := ingest.Files{Names: []string{write(t, "x", []byte("["+strings.Join(lines, ",")+","+long+"]\n"+lines[0]))}, MaxLine: 700}
	result, err := run.Run(t.Context(), sink, cowrieAdapter)
	if tally := &result.Tally; err != nil || len(sink.got) != 1 || sink.got[0].Length != int64(len(long)) || sink.got[0].Number != 1 || tally.Lines != 2 || tally.Extra != int64(len(lines)) {
		t.Errorf("%+v, %v\n%s", sink.got, err, tally)
	}
}
