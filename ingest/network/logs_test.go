package network_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"handprint/ingest"
)

// zeekHeader is the header of a log of text.
func zeekHeader(path, separator, setSeparator string, fields ...string) string {
	escaped := ""
	for _, c := range []byte(separator) {
		escaped += fmt.Sprintf(`\x%02x`, c)
	}
	line := func(name string, values ...string) string {
		return "#" + name + separator + strings.Join(values, separator) + "\n"
	}
	return "#separator " + escaped + "\n" + line("set_separator", setSeparator) + line("empty_field", "(empty)") + line("unset_field", "-") + line("path", path) +
		line("open", "2026-11-23-01-18-12") + line("fields", fields...)
}

// zeekRow is a row of text: of a connection from outside, but for what is given.
func zeekRow(separator string, fields []string, other ...string) string {
	values := map[string]string{
		"ts": "1795396692.5", "uid": "C1", "id.orig_h": "198.51.100.7", "id.resp_h": "192.0.2.10", "client": "SSH-2.0-x", "hassh": "2afdc46a6d1ff4a4ff1bce1a5f3b62a7",
		"service": "ssh", "duration": "5.0", "conn_state": "SF",
	}
	for i := 0; i < len(other); i += 2 {
		values[other[i]] = other[i+1]
	}
	var columns []string
	for _, f := range fields {
		columns = append(columns, values[f])
	}
	return strings.Join(columns, separator) + "\n"
}

func packed(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

// eveLine is an event of Suricata's of a connection from outside, with other
// members.
func eveLine(other string) string {
	return `{"timestamp":"2026-11-23T02:18:12.500000+0100","src_ip":"198.51.100.7","dest_ip":"192.0.2.10","ssh":{"client":{"proto_version":"2.0","software_version":"x"}},` + other + "}\n"
}

func texts(lines string, object string) string {
	var b strings.Builder
	for l := range strings.Lines(lines) {
		text, _ := json.Marshal(strings.TrimSuffix(l, "\n"))
		fmt.Fprintf(&b, object+"\n", text)
	}
	return b.String()
}

// Logs as they are found: rotated, packed, changed in the middle, wrapped,
// damaged. What is not read is counted by its reason.
func TestLogsAsTheyAreFound(t *testing.T) {
	ssh := []string{"ts", "uid", "id.orig_h", "id.resp_h", "client", "hassh"}
	other := []string{"uid", "hassh", "id.resp_h", "ts", "id.orig_h"}
	conn := []string{"ts", "uid", "id.orig_h", "id.resp_h", "service", "duration", "conn_state"}
	five := func(separator string) string {
		var b strings.Builder
		for i := range 5 {
			b.WriteString(zeekRow(separator, ssh, "uid", fmt.Sprint("C", i)))
		}
		return b.String()
	}
	log := zeekHeader("ssh", "\t", ",", ssh...) + five("\t") + "#close\t2026-11-23-02-00-00\n"
	rows := strings.TrimSuffix(zeekHeader("ssh", "\t", ",", ssh...)+five("\t"), "\n")
	asJSON := func(more string) string {
		return `{"uid":"C1","id.orig_h":"198.51.100.7","id.resp_h":"192.0.2.10","client":"SSH-2.0-x",` + more + "}\n"
	}
	type file struct{ name, text string }
	for name, c := range map[string]struct {
		sensor       string
		files        []file
		observations int
		tally        string // a part of it
	}{
		"two files, the first without its last newline": {"zeek", []file{{"ssh.log", rows}, {"ssh.2.log", strings.ReplaceAll(log, "C", "D")}}, 20, "10 taken, 15 header"},
		"rotated and packed":                            {"zeek", []file{{"ssh.2026-11-23-01.log.gz", packed(log)}, {"ssh.2026-11-23-02.log.gz", packed(strings.ReplaceAll(log, "C", "D"))}}, 20, "10 taken, 16 header"},
		"concatenated":                                  {"zeek", []file{{"ssh.log", log + log}}, 10, "10 taken, 16 header; 10 repeats"},
		"CR LF":                                         {"zeek", []file{{"ssh.log", strings.ReplaceAll(log, "\n", "\r\n")}}, 10, "5 taken, 8 header"},
		"another separator":                             {"zeek", []file{{"x", zeekHeader("ssh", "|", ";", ssh...) + five("|")}}, 10, "5 taken"},
		"a separator of two":                            {"zeek", []file{{"x", zeekHeader("ssh", "::", ",", ssh...) + five("::")}}, 10, "5 taken"},
		"fields in mid file":                            {"zeek", []file{{"x", log + "#fields\t" + strings.Join(other, "\t") + "\n" + zeekRow("\t", other, "uid", "D")}}, 11, "6 taken"},
		"fields that are fewer":                         {"zeek", []file{{"x", "#path\tssh\n#fields\t" + strings.Join(other, "\t") + "\n" + zeekRow("\t", other) + zeekRow("\t", ssh)}}, 1, "1 taken, 2 header, 1 dead; dead letters: 1 columns: not as many as #fields names"},
		"a row cut short":                               {"zeek", []file{{"x", log[:len(log)-80]}}, 8, "4 taken, 7 header, 1 dead"},
		"services":                                      {"zeek", []file{{"x", zeekHeader("conn", "\t", ";", conn...) + zeekRow("\t", conn, "service", "gssapi;ssh") + zeekRow("\t", conn, "uid", "D", "service", "gssapi,ssh") + zeekRow("\t", conn, "uid", "E", "duration", "-") + zeekRow("\t", conn, "uid", "F", "conn_state", "S1")}}, 1, "1 taken, 3 nothing"},
		"an id that is used again":                      {"zeek", []file{{"x", log + zeekRow("\t", ssh, "uid", "C1", "id.orig_h", "198.51.100.8")}}, 12, "6 taken"},
		"no #fields at all":                             {"zeek", []file{{"ssh.cut.log", five("\t")}}, 0, "5 columns: there is no #fields"},
		"text in Docker's":                              {"zeek", []file{{"x", texts(log, `{"log":%s,"stream":"stdout"}`)}}, 10, "5 taken, 8 header"},
		"text in Filebeat's":                            {"zeek", []file{{"x", texts(log, `{"@timestamp":"2026-11-23T00:00:00Z","message":%s,"event":{"dataset":"zeek.ssh"}}`)}}, 10, "5 taken, 8 header"},
		"text in a container's":                         {"zeek", []file{{"x", "2026-11-23T00:00:00Z stdout F " + strings.ReplaceAll(strings.TrimSuffix(log, "\n"), "\n", "\n2026-11-23T00:00:00Z stdout F ")}}, 10, "5 taken, 8 header"},
		"JSON, its times":                               {"zeek", []file{{"ssh.log", asJSON(`"ts":1795396692.5`) + asJSON(`"ts":"2026-11-23T01:18:12.500000Z","x":1`) + asJSON(`"ts":"1795396692.5"`) + asJSON(`"ts":1795396692500`)}}, 1, "3 taken, 1 dead; 2 repeats; dead letters: 1 ts is missing"},
		"JSON, an array":                                {"zeek", []file{{"x", "[" + asJSON(`"ts":1,"_path":"ssh"`) + "," + asJSON(`"ts":2,"_path":"dns"`) + "]"}}, 1, "1 taken, 1 ignored"},
		"JSON, hits":                                    {"zeek", []file{{"x", `{"hits":{"hits":[{"_source":` + asJSON(`"ts":1,"_path":"ssh"`) + "}]}}"}}, 1, "1 taken"},
		"JSON, of nothing":                              {"zeek", []file{{"x", asJSON(`"ts":1`)}}, 0, "1 ignored: path x"},
		"Suricata, other types":                         {"suricata", []file{{"eve.json", eveLine(`"flow_id":1,"event_type":"ssh"`) + eveLine(`"event_type":"stats"`) + eveLine(`"event_type":"brand new Type"`) + eveLine(`"event_type":7`)}}, 1, "1 taken, 2 ignored, 1 dead; 1 ignored: event_type other, 1 ignored: event_type stats; dead letters: 1 event_type is missing"},
		"Suricata, alerts only":                         {"suricata", []file{{"eve.json", strings.Repeat(eveLine(`"flow_id":1,"event_type":"alert","alert":{"signature":"x"}`), 1500)}}, 0, "1500 ignored: event_type alert"},
		"Suricata, a flow without TLS":                  {"suricata", []file{{"eve.json", eveLine(`"flow_id":1,"event_type":"flow","flow":{"state":"closed"}`) + eveLine(`"flow_id":2,"event_type":"tls"`) + eveLine(`"flow_id":3,"event_type":"tls","tls":[]`) + eveLine(`"flow_id":4,"event_type":"quic","quic":null`)}}, 0, "4 nothing"},
		"Suricata, flow ids":                            {"suricata", []file{{"eve.json", eveLine(`"flow_id":1844674407370955161,"event_type":"ssh"`) + eveLine(`"flow_id":-1,"event_type":"ssh"`) + eveLine(`"flow_id":1.5,"event_type":"ssh"`) + eveLine(`"flow_id":"1","event_type":"ssh"`)}}, 2, "2 taken, 2 dead; dead letters: 2 flow_id is missing or not an integer"},
		"Suricata, one flow id twice":                   {"suricata", []file{{"eve.json", eveLine(`"flow_id":1,"event_type":"ssh"`) + strings.Replace(eveLine(`"flow_id":1,"event_type":"ssh"`), "100.7", "100.8", 1)}}, 2, "2 taken"},
		"Suricata in Filebeat's":                        {"suricata", []file{{"x", `{"@timestamp":"x","suricata":{"eve":` + eveLine(`"flow_id":1,"event_type":"ssh"`) + "}}\n"}}, 1, "1 taken"},
		"Suricata in syslog's":                          {"suricata", []file{{"x", "<13>Nov 23 01:00:00 h suricata[1]: @cee: " + eveLine(`"flow_id":1,"event_type":"ssh"`)}}, 1, "1 taken"},
		"Suricata for Zeek":                             {"zeek", []file{{"eve.json", eveLine(`"flow_id":1,"event_type":"ssh"`)}}, 0, "1 dead"},
		"Zeek for Suricata":                             {"suricata", []file{{"ssh.log", log}}, 0, "13 dead"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var files ingest.Files
			for _, f := range c.files {
				files.Names = append(files.Names, filepath.Join(dir, f.name))
				if err := os.WriteFile(filepath.Join(dir, f.name), []byte(f.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var out sink
			result, err := files.Run(t.Context(), &out, adapterOf(c.sensor, settings()))
			tally := &result.Tally
			if len(out.sent) != c.observations || !strings.Contains(tally.String(), c.tally) || tally.Accounted() != tally.Lines+tally.Extra {
				t.Errorf("%d observations, %s, %v; want %d, %s", len(out.sent), tally, err, c.observations, c.tally)
			}
			if unusable := tally.Used == 0; unusable != (err != nil) {
				t.Errorf("%v; %s", err, tally)
			}
		})
	}
}
