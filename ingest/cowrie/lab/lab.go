package lab

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the log and its truth
	"encoding/json"
	"fmt"
	"io"
)

//go:embed cowrie.json.gz
var packed []byte

//go:embed truth.json
var truth []byte

// Log returns the log, unpacked, one event a line. It panics if the embedded
// file is damaged, which only a wrong build can cause.
func Log() io.Reader {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		panic(fmt.Sprintf("the embedded Cowrie log: %v", err))
	}
	return r
}

// Packed returns the log as it is stored, gzipped. The slice must not be
// changed.
func Packed() []byte { return packed }

// Session says whose hands were behind one session.
type Session struct {
	SrcIP string `json:"src_ip"`
	Hand  string `json:"hand"`          // scripter, typist, agent, paster or drifter
	Index int    `json:"session_index"` // among the sessions of the address, from 0
}

// Truth returns the session list in the order in which the sessions were
// driven. It panics if the embedded file is damaged, which only a wrong build
// can cause.
func Truth() []Session {
	var sessions []Session
	if err := json.Unmarshal(truth, &sessions); err != nil {
		panic(fmt.Sprintf("the embedded truth: %v", err))
	}
	return sessions
}
