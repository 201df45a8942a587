package zeek

import (
	"bytes"
	"math"
	"strconv"

	"handprint/ingest/internal/jsonscan"
	"handprint/ingest/internal/stamp"
)

// field is a field of a row that a rule uses.
type field uint8

const (
	none field = iota
	path
	ts
	uid
	originator
	responder
	system
	hassh
	client
	algorithms
	ja3
	ja4
	agent
	service
	length
	state
	fields // their number
)

// fieldOf returns the field of a name.
func fieldOf(name []byte) field {
	switch string(name) {
	case "_path":
		return path
	case "ts":
		return ts
	case "uid":
		return uid
	case "id.orig_h":
		return originator
	case "id.resp_h":
		return responder
	case "_system_name":
		return system
	case "hassh":
		return hassh
	case "client":
		return client
	case "hasshAlgorithms":
		return algorithms
	case "ja3":
		return ja3
	case "ja4":
		return ja4
	case "user_agent":
		return agent
	case "service":
		return service
	case "duration":
		return length
	case "conn_state":
		return state
	}
	return none
}

// row is one row: its fields as text, or as they stand in JSON.
type row struct {
	text   bool
	values [fields][]byte
}

// column takes a field of a row of text.
func (r *row) column(f field, value []byte) { r.values[f] = value }

// set takes a member of a row of JSON; the last of a repeated name counts.
func (r *row) set(name, value []byte) {
	if f := fieldOf(name); f != none {
		r.values[f] = value
		return
	}
	if string(name) == "id" && value[0] == '{' {
		_ = jsonscan.Object(value, func(name, value []byte) { // it was looked at with the whole
			switch string(name) {
			case "orig_h":
				r.values[originator] = value
			case "resp_h":
				r.values[responder] = value
			}
		})
	}
}

// zeek reports whether an object looks like a row of Zeek's.
func (r *row) zeek() bool {
	return r.values[path] != nil || r.values[ts] != nil && (r.values[uid] != nil || r.values[originator] != nil)
}

// bare reports whether an object, with so many around it, may be a row that
// lacks what it must have.
func (r *row) bare(around int) bool {
	return r.values[ts] != nil || r.values[uid] != nil || r.values[originator] != nil && around > 0
}

// value returns the text of a field, nil if it has none.
func (r *row) value(f field) []byte {
	v := r.values[f]
	if r.text {
		return v
	}
	text, ok := jsonscan.Text(v)
	if !ok || len(text) == 0 || string(text) == "-" || string(text) == "(empty)" {
		return nil
	}
	return text
}

// time returns the row's time.
func (r *row) time() (int64, bool) {
	if r.text {
		return timestamp(r.values[ts])
	}
	if text, ok := jsonscan.Text(r.values[ts]); ok {
		return timestamp(text)
	}
	return number(r.values[ts])
}

// duration returns how long a connection was, in microseconds.
func (r *row) duration() (int64, bool) {
	if r.text {
		return stamp.Decimal(r.values[length])
	}
	return number(r.values[length])
}

// number reads a JSON number of seconds.
func number(value []byte) (int64, bool) {
	if n, ok := stamp.Decimal(value); ok {
		return n, true
	}
	if !bytes.ContainsAny(value, "eE") {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(value), 64)
	if err != nil || !(f >= 0 && f < 1e11) {
		return 0, false
	}
	return int64(math.Round(f * stamp.PerSecond)), true
}

// isSSH reports whether Zeek has found SSH in a connection. In a row of text a
// separator stands between the services.
func (r *row) isSSH(setSeparator []byte) bool {
	if v := r.values[service]; !r.text && len(v) > 0 && v[0] == '[' {
		list, _ := jsonscan.Texts(v)
		for _, s := range list {
			if s == "ssh" {
				return true
			}
		}
		return false
	}
	if !r.text || len(setSeparator) == 0 {
		setSeparator = []byte(",")
	}
	for s := range bytes.SplitSeq(r.value(service), setSeparator) {
		if string(s) == "ssh" {
			return true
		}
	}
	return false
}
