package wrapped

import (
	"bytes"

	"handprint/ingest/internal/jsonscan"
)

// maxDepth bounds how many objects may be around an event.
const maxDepth = 8

// isWrapper reports whether shippers and stores put events under a name (docs/sensors.md,
// "Wrapped events"). A name that holds a sensor's is one too. Names under which
// other honeypots log what they were sent are not: whoever sends it could write
// events there.
func isWrapper(name []byte) bool {
	switch string(name) {
	case "log", "message", "json", "event", "original", // Docker, Filebeat, Logstash, Fluent Bit
		"hits", "_source", "responses", "doc", // Elasticsearch
		"result", "results", "_raw", // Splunk
		"short_message", "full_message", "messages", // Graylog
		"MESSAGE", "msg", "Message", // journald, rsyslog, NXLog
		"streams", "values", "line", // Loki
		"resourceLogs", "scopeLogs", "logRecords", "body", "stringValue", // OpenTelemetry
		"events", "logEvents", "jsonPayload", "textPayload", "records", "properties", "LogMessage", // the clouds
		"attributes", "full_log", // Datadog, Wazuh
		"payload", "data", "record", "value", "parsed", "fields", "content": // Kafka's tools, and parsers' usual targets
		return true
	}
	for _, sensor := range [...]string{"cowrie", "honeypot", "suricata", "eve", "zeek"} {
		if len(name) >= len(sensor) && len(name) <= maxName && holds(name, sensor) {
			return true
		}
	}
	return false
}

// maxName bounds a name that holds a sensor's, in bytes.
const maxName = 64

// holds reports whether a name is a sensor's or has it between other words.
func holds(name []byte, sensor string) bool {
	for i := 0; i+len(sensor) <= len(name); i++ {
		end := i + len(sensor)
		if bytes.EqualFold(name[i:end], []byte(sensor)) && (i == 0 || !isWordByte(name[i-1])) && (end == len(name) || !isWordByte(name[end])) {
			return true
		}
	}
	return false
}

// isWordByte reports whether a byte is a letter or a digit.
func isWordByte(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// Object takes an object: the event that it is, or the events that it holds. It
// reports whether there was one.
func (r *Reader) Object(object []byte, around Around) bool {
	if r.event(object, around) {
		r.taken++
		return true
	}
	if around.Depth >= maxDepth {
		return false
	}
	inner := around
	inner.Depth++
	var values [][]byte
	var log []byte
	err := jsonscan.Object(object, func(name, value []byte) {
		switch string(name) {
		case "@timestamp":
			inner.Stamp = value
		case "type":
			inner.Type = value
		case "log":
			log = value
		}
		if isWrapper(name) && len(value) > 2 && (value[0] == '{' || value[0] == '[' || value[0] == '"') {
			values = append(values, value)
		}
	})
	if err != nil {
		return false
	}
	for _, v := range values {
		some := false
		if r.alone && around.Depth == 0 && &v[0] == first(log) && v[0] == '"' {
			text, _ := jsonscan.Text(v)
			some = r.dockerText(text, inner) || r.line(text)
		} else {
			some = r.value(v, inner)
		}
		if some {
			return true // one name holds it; the others repeat it
		}
	}
	return false
}

// value takes what a member or an element of an array holds, and reports
// whether there was an event.
func (r *Reader) value(v []byte, around Around) (some bool) {
	switch v[0] {
	case '{':
		return r.Object(v, around)
	case '"':
		text, ok := jsonscan.Text(v)
		return ok && (bytes.IndexByte(text, '{') >= 0 && r.text(text, around) || r.line(text))
	case '[':
		if around.Depth >= maxDepth {
			return false
		}
		if text, ok := jsonscan.Bytes(v); ok { // as journald writes what is no plain text
			return bytes.IndexByte(text, '{') >= 0 && r.text(text, around)
		}
		inner := around
		inner.Depth++
		_ = jsonscan.Array(v, func(element []byte) { // it was looked at with the whole
			if element[0] == '{' {
				// An array adds nothing to the depth of an object in it.
				some = r.Object(element, around) || some
				return
			}
			some = r.value(element, inner) || some
		})
	}
	return some
}

func first(b []byte) *byte {
	if len(b) == 0 {
		return nil
	}
	return &b[0]
}

// line takes a text that is a line of a log that is no JSON, and reports whether
// it is.
func (r *Reader) line(text []byte) bool {
	if r.plain == nil || r.part || len(text) == 0 || text[0] == '{' || text[0] == '[' || !r.plain(text) {
		return false
	}
	r.taken++
	return true
}

// isAction reports whether an object says what Elasticsearch's bulk interface
// has to do with the one in the next line.
func isAction(object []byte) bool {
	members, action := 0, false
	err := jsonscan.Object(object, func(name, value []byte) {
		members++
		switch string(name) {
		case "index", "create":
			action = value[0] == '{' && (len(value) == 2 || bytes.Contains(value, []byte(`"_i`)) || bytes.Contains(value, []byte(`"routing"`)))
		}
	})
	return err == nil && members == 1 && action
}

// dockerText takes a text of Docker's log, which cuts long lines: all pieces
// but the last have no newline.
func (r *Reader) dockerText(text []byte, around Around) bool {
	whole := text
	if r.cut > 0 {
		whole = append(bytes.Clone(r.piece), text...)
	}
	if r.text(whole, around) {
		r.goesOn = r.cut > 0
		r.piece, r.cut = r.piece[:0], 0
		return true
	}
	if r.cut > 0 && r.text(text, around) {
		r.tear(1)
		return true
	}
	f := scan(afterHeader(whole), nil)
	if f.other || f.open < 0 || len(text) == 0 || text[len(text)-1] == '\n' || len(whole) > r.max || r.cut >= maxLines {
		return false
	}
	r.goesOn = r.cut > 0
	r.piece = append(r.piece[:0], whole...)
	r.cut++
	r.part = true
	return false
}
