package wrapped

import (
	"bytes"

	"handprint/ingest/internal/jsonscan"
)

// maxDepth bounds how many objects may be around an event.
const maxDepth = 5

// isWrapper reports whether shippers put events under a name: Docker (log),
// Filebeat and Logstash (message, json), Elasticsearch (hits, _source), Splunk
// (result, _raw, event), Fluent Bit (log), journald (MESSAGE), Google Cloud
// (jsonPayload, textPayload), Loki (line), kcat (payload), and shippers that use
// the sensor's name.
func isWrapper(name []byte) bool {
	switch string(name) {
	case "log", "message", "json", "cowrie", "event", "honeypot", "_source", "result", "_raw", "hits",
		"MESSAGE", "msg", "payload", "data", "line", "jsonPayload", "textPayload", "suricata", "eve", "zeek", "record", "value":
		return true
	}
	return false
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
	some := false
	for _, v := range values {
		switch v[0] {
		case '{':
			some = r.Object(v, inner) || some
		case '[':
			for _, o := range scan(v, nil).objects {
				some = r.Object(o, inner) || some
			}
		default:
			text, ok := jsonscan.Text(v)
			if !ok {
				continue
			}
			if r.alone && around.Depth == 0 && &v[0] == first(log) {
				some = r.dockerText(text, inner) || some
				continue
			}
			some = bytes.IndexByte(text, '{') >= 0 && r.text(text, inner) || some
		}
		if some {
			break // one name holds it; the others repeat it
		}
	}
	return some
}

func first(b []byte) *byte {
	if len(b) == 0 {
		return nil
	}
	return &b[0]
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
