package ingest

import (
	"encoding/json"

	"handprint/ingest/internal/jsonscan"
)

// told are the members of an event whose text says what it is about, and
// cannot hold what somebody typed or logged in with.
var told = map[string]bool{
	"eventid": true, "event_type": true, "_path": true, "timestamp": true, "@timestamp": true, "ts": true, "time": true,
	"session": true, "sensor": true, "uuid": true, "uid": true, "protocol": true, "src_ip": true, "dest_ip": true, "dst_ip": true,
	"id.orig_h": true, "id.resp_h": true, "stream": true,
}

// maxMaskDepth bounds how deep a line is looked into.
const maxMaskDepth = 4

// masked returns a JSON object with its texts masked but for those of the
// members in told, nil for anything else. Names that are not told are masked
// too: some sensors make names of what they were sent.
func masked(line []byte) []byte {
	out, ok := appendMasked(nil, line, maxMaskDepth)
	if !ok {
		return nil
	}
	return out
}

func appendMasked(dst, object []byte, depth int) ([]byte, bool) {
	dst = append(dst, '{')
	n := 0
	err := jsonscan.Object(object, func(name, value []byte) {
		if n++; n > 1 {
			dst = append(dst, ',')
		}
		if !told[string(name)] {
			dst = append(dst, `"…":`...)
		} else {
			dst = append(appendString(dst, string(name)), ':')
		}
		switch {
		case told[string(name)] && value[0] == '"':
			dst = append(dst, value...)
		case value[0] == '{' && depth > 1:
			dst, _ = appendMasked(dst, value, depth-1)
		case value[0] == '"', value[0] == '{', value[0] == '[':
			dst = append(dst, `"…"`...)
		case json.Valid(value) && (value[0] == 't' || value[0] == 'f' || value[0] == 'n'):
			dst = append(dst, value...)
		default:
			dst = append(dst, '0')
		}
	})
	return append(dst, '}'), err == nil
}
