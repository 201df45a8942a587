package suricata

import (
	"fmt"
	"net/netip"
	"time"

	"handprint/ingest"
	"handprint/ingest/internal/jsonscan"
	"handprint/ingest/internal/stamp"
	"handprint/ingest/internal/wrapped"
	"handprint/ingest/network"
)

// Source is the source of every observation made here.
const Source = "handprint/ingest/suricata"

// The reasons of dead letters.
const (
	reasonType      = "event_type is missing, empty or not a string"
	reasonTimestamp = "timestamp is missing or cannot be read"
	reasonFlow      = "flow_id is missing or not an integer"
)

// Adapter reads Suricata's EVE log. It is for one goroutine.
type Adapter struct {
	*network.Log
	sender *network.Sender

	event    event
	set      func(name, value []byte)
	evidence []byte
	banner   []byte
}

// New returns an adapter that hands observations to emit and lines that cannot
// be used to dead. It fails if the settings are invalid.
func New(settings network.Settings, emit func(ingest.Observation) error, dead func(ingest.DeadLetter) error) (*Adapter, error) {
	sender, err := network.NewSender(settings, Source, hints, emit)
	if err != nil {
		return nil, fmt.Errorf("suricata: %w", err)
	}
	a := &Adapter{sender: sender}
	a.set = a.event.set
	a.Log = network.NewLog(sender, dead, a.Line, a.object, nil)
	return a, nil
}

var tlsHint = network.Hint{
	Has:  func(r *network.Row) bool { return len(r.JA3) > 0 || len(r.JA4) > 0 },
	Text: "has ja3 or ja4: app-layer.protocols.tls.ja3-fingerprints and ja4-fingerprints: yes in suricata.yaml make Suricata log them",
}

var hints = map[string]network.Hint{
	"ssh": {
		Has:  func(r *network.Row) bool { return len(r.HASSH) > 0 },
		Text: "has ssh.client.hassh: app-layer.protocols.ssh.hassh: yes in suricata.yaml makes Suricata log it",
	},
	"tls": tlsHint, "quic": tlsHint,
}

// Line takes one line, without its newline.
func (a *Adapter) Line(line []byte) error {
	a.Begin()
	if !a.Waiting() {
		a.event = event{}
		if jsonscan.Object(line, a.set) == nil && a.event.eventType != nil {
			return a.take(line)
		}
	}
	return a.unwrap(line)
}

// take takes an event that has a type.
func (a *Adapter) take(line []byte) error {
	e := &a.event
	kind := text(e.eventType)
	if kind == nil {
		return a.Bury(line, reasonType)
	}
	switch string(kind) {
	case "ssh", "tls", "quic", "http", "smb", "flow":
	default:
		a.sender.Ignore("event_type " + plain(kind))
		return nil
	}
	at, ok := stamp.Parse(text(e.timestamp))
	if !ok {
		return a.Bury(line, reasonTimestamp)
	}
	if !isInteger(e.flowID) {
		return a.Bury(line, reasonFlow)
	}
	if reason := a.sender.Ahead(at); reason != "" {
		return a.Bury(line, reason)
	}
	f := e.readFlow()
	from, ok := a.sender.Attacker(e.ends(&f))
	if !ok || a.Replayed() {
		return nil
	}
	return a.send(from, string(kind), at, &f)
}

func (a *Adapter) send(from netip.Addr, kind string, at int64, f *flow) error {
	e := &a.event
	out := network.Row{Kind: kind, Start: at, End: at}
	switch kind {
	case "ssh":
		a.ssh(&out)
	case "tls":
		out.JA3, out.JA4 = fingerprints(e.tls)
	case "quic":
		out.JA3, out.JA4 = fingerprints(e.quic)
	case "http":
		out.Agent = text(member(e.http, "http_user_agent"))
	case "smb":
		out.Dialect = text(member(e.smb, "dialect"))
	case "flow":
		start, ok := stamp.Parse(f.start)
		if !ok {
			break
		}
		out.Start, out.End = start, start
		if end, ok := stamp.Parse(f.end); ok && end >= start {
			out.End = end
			out.Session = string(text(e.appProto)) == "ssh" && (string(f.state) == "established" || string(f.state) == "closed")
		}
	}
	out.Sensor = a.sender.Settings().Sensor
	if out.Sensor == "" {
		out.Sensor = string(text(e.host))
	}
	b := append(append(append(a.evidence[:0], "suricata:"...), out.Sensor...), '/')
	b = time.UnixMicro(out.Start).UTC().AppendFormat(b, time.DateOnly)
	a.evidence = append(append(b, '/'), e.flowID...)
	out.Evidence = string(a.evidence)
	return a.sender.Send(from, &out)
}

// ssh takes what the client of an SSH connection showed.
func (a *Adapter) ssh(out *network.Row) {
	var version, software []byte
	members(member(a.event.ssh, "client"), func(name, value []byte) {
		switch string(name) {
		case "proto_version":
			version = text(value)
		case "software_version":
			software = text(value)
		case "hassh":
			out.HASSH, out.Algorithms = nil, nil
			members(value, func(name, value []byte) {
				switch string(name) {
				case "hash":
					out.HASSH = text(value)
				case "string":
					out.Algorithms = text(value)
				}
			})
		}
	})
	if version != nil && software != nil {
		a.banner = append(append(append(append(a.banner[:0], "SSH-"...), version...), '-'), software...)
		out.Banner = a.banner
	}
}

func fingerprints(value []byte) (ja3, ja4 []byte) {
	members(value, func(name, value []byte) {
		switch string(name) {
		case "ja3":
			ja3 = text(member(value, "hash"))
		case "ja4":
			ja4 = text(value)
		}
	})
	return ja3, ja4
}

// plain returns an event type as it may be told: one with other characters
// than Suricata's own have is not.
func plain(kind []byte) string {
	const maxKind = 32
	if len(kind) > maxKind {
		return "other"
	}
	for _, c := range kind {
		if c != '_' && c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return "other"
		}
	}
	return string(kind)
}

// unwrap takes a line that is no event by itself.
func (a *Adapter) unwrap(line []byte) error {
	return a.Unwrap(line, func(int) string {
		if jsonscan.Object(line, func(_, _ []byte) {}) == nil {
			return reasonType
		}
		return network.NotJSON
	})
}

// object takes an object that may be an event.
func (a *Adapter) object(object []byte, _ wrapped.Around) bool {
	if a.Failed != nil {
		return true
	}
	a.event = event{}
	if jsonscan.Object(object, a.set) != nil || a.event.eventType == nil {
		return false
	}
	a.Failed = a.take(object)
	return true
}
