package ingest

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"handprint/ingest/internal/jsonscan"
)

// UnusableError says that nothing of an input could be used.
type UnusableError struct {
	Lines int64  // that were read, blank ones left out
	Tally Tally  // what became of them
	Shape string // what the input looks like, and what to do
	First bool   // there may be more lines: reading has stopped
}

func (e *UnusableError) Error() string {
	what := fmt.Sprintf("none of %d lines can be used", e.Lines)
	if e.First {
		what = fmt.Sprintf("none of the first %d lines can be used", e.Lines)
	}
	why := ""
	for i, c := range e.Tally.Reasons {
		if i == 3 {
			break
		}
		why += fmt.Sprintf(", %d: %s", c.N, c.Name)
	}
	for _, c := range e.Tally.Of {
		if c.N > 0 && c.Name != "dead" && c.Name != "blank" {
			why += fmt.Sprintf(", %d: %s", c.N, c.Name)
		}
	}
	if why != "" {
		why = " (" + why[2:] + ")"
	}
	return what + why + ": " + e.Shape
}

// shape says what a line that is none of a sensor's looks like, and what to do
// about it. It tells nothing of the line itself. The reason is the most frequent
// one of the dead letters.
func shape(line []byte, reason string) string {
	line = bytes.TrimSpace(line)
	switch {
	case strings.HasPrefix(reason, "columns"):
		return "its rows have no #fields before them, or another number of columns: give the log with its header"
	case len(line) == 0:
		return "there is nothing in them"
	case bytes.IndexByte(line, 0) >= 0 || !utf8.Valid(line) && !validStart(line):
		return "it is binary data, or text that is not UTF-8: unpack or convert it first"
	case bytes.HasPrefix(line, []byte("#separator")) || bytes.HasPrefix(line, []byte("#fields")) || bytes.HasPrefix(line, []byte("#set_separator")):
		return "it looks like a Zeek log: use handprint ingest zeek"
	case line[0] == '<' && (bytes.HasPrefix(bytes.ToLower(line[:min(len(line), 9)]), []byte("<!doctype")) || bytes.HasPrefix(line, []byte("<?xml")) || bytes.HasPrefix(line, []byte("<html"))):
		return "it is HTML or XML: give the log itself"
	case bytes.Contains(line, []byte("[HoneyPot")) || bytes.Contains(line, []byte("[cowrie.")) || bytes.Contains(line, []byte("[-] ")):
		return "it looks like Cowrie's text log: give cowrie.json, which [output_jsonlog] of cowrie.cfg makes"
	}
	members, cowries := map[string]bool{}, false
	object := line
	if line[0] == '[' {
		object = bytes.TrimLeft(line, "[ ")
	}
	if jsonscan.Object(bytes.TrimRight(object, ", \r"), func(name, value []byte) {
		members[string(name)] = true
		cowries = cowries || string(name) == "eventid" && bytes.HasPrefix(value, []byte(`"cowrie.`))
	}) != nil {
		if line[0] == '{' || line[0] == '[' {
			return "it looks like JSON that is cut or damaged: each line must be a whole JSON object"
		}
		return "it is text that is no JSON: give the sensor's JSON log, one object a line"
	}
	switch {
	case members["event_type"] && (members["flow_id"] || members["src_ip"]):
		return "it looks like Suricata's EVE log: use handprint ingest suricata"
	case members["attacker_uuid"] && members["primitive"]:
		return "it holds observations: use handprint ingest behave"
	case members["id.orig_h"] || members["uid"] && members["ts"]:
		return "it looks like a Zeek log: use handprint ingest zeek"
	case cowries && !strings.HasPrefix(reason, "timestamp") && !strings.HasPrefix(reason, "session"):
		return "it looks like Cowrie's log: use handprint ingest cowrie"
	case cowries:
		return "its events are Cowrie's, but their timestamp or session cannot be read: a timestamp is a text such as 2026-05-01T00:00:00.123456Z, or a number of seconds since 1970 that is no text"
	case members["eventid"]:
		return "its eventid does not begin with cowrie., nor is it an old one that opens a session (COW0001, KIPP0001): it is another sensor's log, or one for handprint ingest cowrie"
	}
	for _, name := range [...]string{"log", "message", "json", "cowrie", "event", "honeypot", "_source", "result", "_raw", "fields", "MESSAGE", "body", "@timestamp"} {
		if members[name] {
			return fmt.Sprintf("it holds JSON objects of a shipper with a member %q in which no event of this sensor is: see docs/sensors.md for what is unwrapped", name)
		}
	}
	return "it holds JSON objects that are no events of this sensor"
}

// validStart reports whether text is UTF-8 but for a character cut at its end.
func validStart(text []byte) bool {
	for range utf8.UTFMax - 1 {
		if len(text) == 0 {
			return false
		}
		text = text[:len(text)-1]
		if utf8.Valid(text) {
			return true
		}
	}
	return false
}
