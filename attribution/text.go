package attribution

import (
	"bytes"
	"encoding/json"
)

// compareText orders two canonical JSON strings by the code points of what
// they say, not of how they are quoted: without the closing quote, "a" stands
// before "a!".
func compareText(a, b Value) int {
	if plain(a) && plain(b) {
		return bytes.Compare(a[1:len(a)-1], b[1:len(b)-1])
	}
	return bytes.Compare(unquote(a), unquote(b))
}

// plain reports whether v is a string whose text is what stands between its
// quotes.
func plain(v Value) bool {
	return len(v) >= 2 && v[0] == '"' && bytes.IndexByte(v, '\\') < 0
}

func unquote(v Value) []byte {
	if len(v) == 0 || v[0] != '"' {
		return v // what stands for a value
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		return v
	}
	return []byte(s)
}
