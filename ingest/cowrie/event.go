package cowrie

import (
	"handprint/ingest/internal/jsonscan"
)

// event is one line of the log as it stands: the JSON text of each field that
// a rule uses, nil where the line has none. It shares the line's memory.
type event struct {
	eventID, session, timestamp, sensor []byte
	late, srcIP, protocol               []byte

	version, hassh, hasshAlgorithms []byte
	kexAlgs, encCS, macCS, compCS   []byte
	name, value, input, realm, ja4  []byte
	duration, durationMillis        []byte

	atTimestamp, typ []byte
	wrapper          bool // a member may hold another event
}

// set takes one member of the line. The last of a repeated name counts.
func (e *event) set(name, value []byte) {
	switch string(name) {
	case "eventid":
		e.eventID = value
	case "session":
		e.session = value
	case "timestamp":
		e.timestamp = value
	case "sensor":
		e.sensor = value
	case "late":
		e.late = value
	case "src_ip":
		e.srcIP = value
	case "protocol":
		e.protocol = value
	case "version":
		e.version = value
	case "hassh":
		e.hassh = value
	case "hasshAlgorithms":
		e.hasshAlgorithms = value
	case "kexAlgs":
		e.kexAlgs = value
	case "encCS":
		e.encCS = value
	case "macCS":
		e.macCS = value
	case "compCS":
		e.compCS = value
	case "name":
		e.name = value
	case "value":
		e.value = value
	case "input":
		e.input = value
	case "realm":
		e.realm = value
	case "ja4":
		e.ja4 = value
	case "duration":
		e.duration = value
	case "@timestamp":
		e.atTimestamp = value
	case "type":
		e.typ = value
	case "_source", "result", "hits", "log", "json", "event":
		e.wrapper = e.wrapper || len(value) > 0 && (value[0] == '{' || value[0] == '[')
	case "duration_ms":
		e.durationMillis = value
	}
}

// header is what every readable line has.
type header struct {
	eventID, session, sensor []byte
	time                     micros
	kind                     kind
	old                      bool // the id is of the form that Cowrie had before 2016
}

// The reasons of dead letters (docs/cowrie.md, "Reading"): the first of JSON,
// eventid, session, timestamp that failed.
const (
	reasonJSON       = "not a JSON object"
	reasonEventID    = "eventid is missing, empty or not a string"
	reasonSession    = "session is missing, empty or not a string"
	reasonTimestamp  = "timestamp is missing, empty or not a string"
	reasonUnreadable = "timestamp cannot be read"
)

// header reads what every line must have; a reason that is not empty says why
// the line is a dead letter.
func (e *event) header() (h header, reason string) {
	if h.eventID, _ = jsonscan.Text(e.eventID); len(h.eventID) == 0 {
		return h, reasonEventID
	}
	h.kind, h.old = kindOf(h.eventID)
	if h.session, _ = jsonscan.Text(e.session); len(h.session) == 0 {
		return h, reasonSession
	}
	stamp, _ := jsonscan.Text(e.timestamp)
	if len(stamp) == 0 {
		return h, reasonTimestamp
	}
	var ok bool
	if h.time, ok = parseTimestamp(stamp); !ok {
		return h, reasonUnreadable
	}
	h.sensor, _ = jsonscan.Text(e.sensor)
	return h, ""
}

func (h *header) foreign() bool { return h.kind == foreign }

// is reports whether value is the string text.
func is(value []byte, text string) bool {
	got, ok := jsonscan.Text(value)
	return ok && string(got) == text
}
