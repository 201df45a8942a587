package cowrie

import (
	"handprint/ingest/internal/jsonscan"
	"handprint/ingest/internal/stamp"
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
	case "_source", "result", "hits", "log", "json", "event", "message":
		e.wrapper = e.wrapper || len(value) > 1 && (value[0] == '{' || value[0] == '[' || value[0] == '"' && value[1] == '{')
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
	if h.time, reason = e.time(); reason != "" {
		return h, reason
	}
	h.sensor, _ = jsonscan.Text(e.sensor)
	return h, ""
}

// time reads the time of an event: a text, or a number of seconds since 1970
// or of a smaller unit, as some shippers make of it.
func (e *event) time() (at micros, reason string) {
	text, isText := jsonscan.Text(e.timestamp)
	if isText && len(text) > 0 {
		if at, ok := parseTimestamp(text); ok {
			return at, ""
		}
		return 0, reasonUnreadable
	}
	if at, ok := stamp.Epoch(e.timestamp); ok {
		return micros(at), ""
	}
	return 0, reasonTimestamp
}

// timeFrom takes the time of an event that has none that can be read from the
// first of the values that is one. There a text of digits is a time too.
func (e *event) timeFrom(values ...[]byte) {
	if _, reason := e.time(); reason == "" {
		return
	}
	for _, v := range values {
		if text, ok := jsonscan.Text(v); ok {
			if _, ok := stamp.Epoch(text); ok {
				v = text
			}
		}
		old := e.timestamp
		if e.timestamp = v; len(v) > 0 {
			if _, reason := e.time(); reason == "" {
				return
			}
		}
		if old != nil {
			e.timestamp = old
		}
	}
}

func (h *header) foreign() bool { return h.kind == foreign }

// is reports whether value is the string text.
func is(value []byte, text string) bool {
	got, ok := jsonscan.Text(value)
	return ok && string(got) == text
}
