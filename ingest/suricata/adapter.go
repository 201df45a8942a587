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
	reasonJSON      = "not a JSON object"
	reasonType      = "event_type is missing, empty or not a string"
	reasonTimestamp = "timestamp is missing or cannot be read"
	reasonFlow      = "flow_id is missing or not an integer"
)

// Adapter reads Suricata's EVE log. It is for one goroutine.
type Adapter struct {
	sender *network.Sender
	dead   func(ingest.DeadLetter) error

	lines, extra, blank, parts, buried int64

	event    event
	set      func(name, value []byte)
	wrapped  *wrapped.Reader
	failed   error
	evidence []byte
	banner   []byte
	position network.Position
}

// New returns an adapter that hands observations to emit and lines that cannot
// be used to dead. It fails if the settings are invalid.
func New(settings network.Settings, emit func(ingest.Observation) error, dead func(ingest.DeadLetter) error) (*Adapter, error) {
	sender, err := network.NewSender(settings, Source, hints, emit)
	if err != nil {
		return nil, fmt.Errorf("suricata: %w", err)
	}
	a := &Adapter{sender: sender, dead: dead}
	a.set = a.event.set
	a.wrapped = wrapped.NewReader(ingest.DefaultMaxLine, a.object, a.torn)
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
	a.lines++
	if !a.wrapped.Waiting() {
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
		return a.bury(line, reasonType, 0)
	}
	switch string(kind) {
	case "ssh", "tls", "quic", "http", "smb", "flow":
	default:
		a.sender.Ignore("event_type " + plain(kind))
		return nil
	}
	at, ok := stamp.Parse(text(e.timestamp))
	if !ok {
		return a.bury(line, reasonTimestamp, 0)
	}
	if !isInteger(e.flowID) {
		return a.bury(line, reasonFlow, 0)
	}
	if reason := a.sender.Ahead(at); reason != "" {
		return a.bury(line, reason, 0)
	}
	f := e.readFlow()
	from, ok := a.sender.Attacker(e.ends(&f))
	if !ok || a.position.Replayed() {
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
	a.failed = nil
	blank := jsonscan.Blank(line)
	r := a.wrapped.Line(line)
	if a.failed != nil {
		return a.failed
	}
	entries := r.Events
	switch {
	case r.Part:
		a.parts++
		entries++
	case r.Events == 0 && blank:
		a.blank++
		entries++
	case r.Events == 0 || r.Bad:
		entries++
		reason := reasonJSON
		if jsonscan.Object(line, func(_, _ []byte) {}) == nil {
			reason = reasonType
		}
		if err := a.bury(line, reason, 0); err != nil {
			return err
		}
	}
	a.extra += int64(entries - 1)
	return nil
}

// object takes an object that may be an event.
func (a *Adapter) object(object []byte, _ wrapped.Around) bool {
	if a.failed != nil {
		return true
	}
	a.event = event{}
	if jsonscan.Object(object, a.set) != nil || a.event.eventType == nil {
		return false
	}
	a.failed = a.take(object)
	return true
}

func (a *Adapter) torn(line []byte, ago int, part bool) {
	if part {
		a.parts--
	} else {
		a.extra++
	}
	if err := a.bury(line, reasonJSON, ago); a.failed == nil {
		a.failed = err
	}
}

func (a *Adapter) bury(line []byte, reason string, ago int) error {
	a.buried++
	if a.position.Replayed() {
		return nil
	}
	return a.dead(ingest.DeadLetter{Reason: reason, Line: line, Length: int64(len(line)), Back: int64(ago), Number: a.lines - int64(ago), Private: true})
}

// Waiting reports whether a part of an event is held.
func (a *Adapter) Waiting() bool { return a.wrapped.Waiting() }

// Break takes the end of a file or of a record.
func (a *Adapter) Break() error {
	a.failed = nil
	a.wrapped.Flush()
	return a.failed
}

// Close takes the end of the input.
func (a *Adapter) Close() error { return a.Break() }

// Private reports that lines may hold user names, pages and payloads.
func (a *Adapter) Private() bool { return true }

// Tally says what has become of the lines.
func (a *Adapter) Tally() ingest.Tally {
	return a.sender.Tally(a.lines, a.extra, a.blank, a.parts, 0, a.buried)
}

// Resume tells the adapter where an earlier run ended.
func (a *Adapter) Resume(partitions []ingest.Checkpoint) { a.position.Resume(partitions) }

// LineAt takes the line at an offset of a partition.
func (a *Adapter) LineAt(partition int, offset int64, line []byte) error {
	a.position.At(partition, offset)
	err := a.Line(line)
	if err == nil && a.wrapped.Waiting() {
		err = a.Break()
	}
	a.position.Done()
	return err
}

// Checkpoints says where a run that ended now would go on.
func (a *Adapter) Checkpoints() []ingest.Checkpoint { return a.position.Checkpoints() }
