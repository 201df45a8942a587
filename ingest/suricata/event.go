package suricata

import (
	"handprint/ingest/internal/jsonscan"
)

// event is one event: the JSON text of each member that a rule uses, nil where
// it has none. It shares the line's memory.
type event struct {
	eventType, timestamp, flowID, host []byte
	srcIP, destIP, appProto            []byte

	flow, ssh, tls, quic, http, smb []byte // objects
}

func (e *event) set(name, value []byte) {
	switch string(name) {
	case "event_type":
		e.eventType = value
	case "timestamp":
		e.timestamp = value
	case "flow_id":
		e.flowID = value
	case "host":
		e.host = value
	case "src_ip":
		e.srcIP = value
	case "dest_ip":
		e.destIP = value
	case "app_proto":
		e.appProto = value
	case "flow":
		e.flow = value
	case "ssh":
		e.ssh = value
	case "tls":
		e.tls = value
	case "quic":
		e.quic = value
	case "http":
		e.http = value
	case "smb":
		e.smb = value
	}
}

// members calls take for the members of a value, if it is an object. The whole
// was looked at before, so that it cannot fail.
func members(value []byte, take func(name, value []byte)) {
	if len(value) > 0 && value[0] == '{' {
		_ = jsonscan.Object(value, take)
	}
}

// member returns a member of a value, nil if it has none: the last of a
// repeated name.
func member(value []byte, name string) (found []byte) {
	members(value, func(n, v []byte) {
		if string(n) == name {
			found = v
		}
	})
	return found
}

// text returns what a value says, nil if it is no text or says nothing.
func text(value []byte) []byte {
	t, ok := jsonscan.Text(value)
	if !ok || len(t) == 0 || string(t) == "-" || string(t) == "(empty)" {
		return nil
	}
	return t
}

// flow is what the flow of an event says.
type flow struct{ src, dest, start, end, state []byte }

func (e *event) readFlow() (f flow) {
	members(e.flow, func(name, value []byte) {
		switch string(name) {
		case "src_ip":
			f.src = text(value)
		case "dest_ip":
			f.dest = text(value)
		case "start":
			f.start = text(value)
		case "end":
			f.end = text(value)
		case "state":
			f.state = text(value)
		}
	})
	return f
}

// ends returns the originator and the responder. An event that was logged from
// the server's side has the addresses swapped, its flow has not.
func (e *event) ends(f *flow) (originator, responder []byte) {
	src, dest := text(e.srcIP), text(e.destIP)
	if f.src == nil {
		return src, dest
	}
	if f.dest != nil {
		return f.src, f.dest
	}
	if string(f.src) == string(dest) {
		return f.src, src
	}
	return f.src, dest
}

// isInteger reports whether a value is a whole number.
func isInteger(value []byte) bool {
	digits := value
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(digits) > 0 && len(digits) <= 20
}
