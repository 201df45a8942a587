package zeek

import (
	"bytes"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"handprint/ingest"
	"handprint/ingest/internal/jsonscan"
	"handprint/ingest/internal/stamp"
	"handprint/ingest/internal/wrapped"
	"handprint/ingest/network"
)

// Source is the source of every observation made here.
const Source = "handprint/ingest/zeek"

// The reasons of dead letters.
const (
	reasonUID     = "uid is missing, empty or not a string"
	reasonTS      = "ts is missing or cannot be read"
	reasonColumns = "columns: not as many as #fields names"
	reasonFields  = "columns: there is no #fields before this row"
)

// Adapter reads Zeek's logs. It is for one goroutine.
type Adapter struct {
	*network.Log
	sender *network.Sender

	header   header
	shipper  bool   // the header came in what a shipper made of it
	file     string // the path that the file's name says
	row      row
	columns  [][]byte // of a row of text
	set      func(name, value []byte)
	evidence []byte
}

// New returns an adapter that hands observations to emit and lines that cannot
// be used to dead. It fails if the settings are invalid.
func New(settings network.Settings, emit func(ingest.Observation) error, dead func(ingest.DeadLetter) error) (*Adapter, error) {
	sender, err := network.NewSender(settings, Source, hints, emit)
	if err != nil {
		return nil, fmt.Errorf("zeek: %w", err)
	}
	a := &Adapter{sender: sender, header: newHeader()}
	a.set = a.row.set
	a.Log = network.NewLog(sender, dead, a.Line, a.object, a.shipped)
	return a, nil
}

var hints = map[string]network.Hint{
	"ssh": {
		Has:  func(r *network.Row) bool { return len(r.HASSH) > 0 },
		Text: "has hassh: the package corelight/hassh makes Zeek log it",
	},
	"ssl": {
		Has:  func(r *network.Row) bool { return len(r.JA3) > 0 || len(r.JA4) > 0 },
		Text: "has ja3 or ja4: the packages salesforce/ja3 and foxio/ja4 make Zeek log them",
	},
}

// File takes the name of the file that the next lines are of.
func (a *Adapter) File(name string) {
	base, _, _ := strings.Cut(filepath.Base(name), ".")
	a.file = base
	a.header, a.shipper = newHeader(), false
}

// Line takes one line, without its newline.
func (a *Adapter) Line(line []byte) error {
	a.Begin()
	line = bytes.TrimSuffix(line, []byte("\r"))
	switch {
	case a.Waiting():
		return a.unwrap(line)
	case len(line) > 0 && line[0] == '#':
		a.Header()
		a.shipper = false
		a.header.take(line)
		return nil
	case len(line) > 0 && line[0] == '{':
		a.row = row{}
		if jsonscan.Object(line, a.set) != nil || !a.row.zeek() {
			return a.unwrap(line)
		}
		return a.take(line)
	case jsonscan.Blank(line) && len(a.header.fields) == 0, len(line) == 0:
		a.Blank()
		return nil
	case len(a.header.fields) > 0 && !a.shipper:
		return a.text(line)
	}
	return a.unwrap(line)
}

// text takes a row of text.
func (a *Adapter) text(line []byte) error {
	h := &a.header
	a.columns = split(a.columns[:0], line, h.separator)
	if len(a.columns) != len(h.fields) {
		return a.Bury(line, reasonColumns)
	}
	a.row = row{text: true}
	for i, name := range h.fields {
		if name != none {
			a.row.column(name, h.value(a.columns[i]))
		}
	}
	return a.take(line)
}

// split appends the columns of a line.
func split(into [][]byte, line, separator []byte) [][]byte {
	if len(separator) == 1 {
		for {
			i := bytes.IndexByte(line, separator[0])
			if i < 0 {
				return append(into, line)
			}
			into, line = append(into, line[:i]), line[i+1:]
		}
	}
	return append(into, bytes.Split(line, separator)...)
}

// take takes a row that could be read.
func (a *Adapter) take(line []byte) error {
	r := &a.row
	kind := a.path()
	switch kind {
	case "ssh", "ssl", "conn", "http":
	default:
		a.sender.Ignore("path " + plain(kind))
		return nil
	}
	uid := r.value(uid)
	if len(uid) == 0 {
		return a.Bury(line, reasonUID)
	}
	at, ok := r.time()
	if !ok {
		return a.Bury(line, reasonTS)
	}
	if reason := a.sender.Ahead(at); reason != "" {
		return a.Bury(line, reason)
	}
	from, ok := a.sender.Attacker(r.value(originator), r.value(responder))
	if !ok || a.Replayed() {
		return nil
	}
	return a.send(from, kind, at, uid)
}

func (a *Adapter) send(from netip.Addr, kind string, at int64, id []byte) error {
	r := &a.row
	sensor := a.sender.Settings().Sensor
	if sensor == "" {
		sensor = string(r.value(system))
	}
	a.evidence = append(append(append(append(a.evidence[:0], "zeek:"...), sensor...), '/'), id...)
	out := network.Row{Kind: kind, Evidence: string(a.evidence), Sensor: sensor, Start: at, End: at}
	switch kind {
	case "ssh":
		out.HASSH, out.Banner, out.Algorithms = r.value(hassh), r.value(client), r.value(algorithms)
	case "ssl":
		out.JA3, out.JA4 = r.value(ja3), r.value(ja4)
	case "http":
		out.Agent = r.value(agent)
	case "conn":
		if length, ok := r.duration(); ok && ended(r.value(state)) && r.isSSH(a.header.setSeparator) {
			out.Session, out.End = true, at+length
		}
	}
	return a.sender.Send(from, &out)
}

func ended(state []byte) bool {
	switch string(state) {
	case "SF", "RSTO", "RSTR":
		return true
	}
	return false
}

// path is what the row is of.
func (a *Adapter) path() string {
	if a.row.text {
		if a.header.path != "" {
			return a.header.path
		}
	} else if p := a.row.value(path); len(p) > 0 {
		return string(p)
	}
	if p := a.sender.Settings().Path; p != "" && !known(a.file) {
		return p
	}
	return a.file
}

func known(path string) bool {
	return path == "ssh" || path == "ssl" || path == "conn" || path == "http"
}

// maxPath bounds the name of a path that is told.
const maxPath = 32

// plain returns a path as it may be told: one with other characters than
// Zeek's own have is not.
func plain(path string) string {
	if path == "" {
		return "unknown"
	}
	if len(path) > maxPath {
		return "other"
	}
	for i := range len(path) {
		if c := path[i]; c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return "other"
		}
	}
	return path
}

// unwrap takes a line that is no row by itself.
func (a *Adapter) unwrap(line []byte) error {
	return a.Unwrap(line, func(rows int) string {
		if rows == 0 && len(line) > 0 && bytes.IndexByte(line, '\t') >= 0 && line[0] != '{' {
			return reasonFields
		}
		return network.NotJSON
	})
}

// object takes an object that may be a row.
func (a *Adapter) object(object []byte, around wrapped.Around) bool {
	if a.Failed != nil {
		return true
	}
	a.row = row{}
	if jsonscan.Object(object, a.set) != nil || !a.row.zeek() && !a.row.bare(around.Depth) {
		return false
	}
	a.Failed = a.take(object)
	return true
}

// shipped takes a line of a text log that a shipper has put into an object, and
// reports whether it is one: a header's, or a row behind one.
func (a *Adapter) shipped(line []byte) bool {
	line = bytes.TrimRight(line, "\r\n")
	switch {
	case a.Failed != nil:
	case len(line) > 0 && line[0] == '#':
		a.Header()
		a.shipper = true
		a.header.take(line)
	case len(a.header.fields) > 0 && len(line) > 0:
		a.Failed = a.text(line)
	default:
		return false
	}
	return true
}

// timestamp reads a time as seconds or as ISO 8601.
func timestamp(text []byte) (int64, bool) {
	if at, ok := stamp.Decimal(text); ok {
		return at, true
	}
	return stamp.Parse(text)
}
