package siem

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// The formats of whole documents, beside the formats of lines.
const (
	STIX        = "stix"
	MISPEvents  = "misp"
	MISPFeed    = "misp-feed" // a folder, which package deliver writes
	NavLayer    = "navigator"
	contentJSON = "application/json"
)

// Documents are the formats that an Exporter writes as one document.
func Documents() []string { return []string{STIX, MISPEvents, NavLayer} }

// ContentType is the media type of a format's export.
func ContentType(format string) string {
	switch format {
	case STIX:
		return "application/stix+json;version=2.1"
	case MISPEvents, NavLayer:
		return contentJSON
	case string(OCSF), string(ECS):
		return "application/x-ndjson"
	}
	return "text/plain; charset=utf-8"
}

// ExportOptions are what an Exporter does beyond the events.
type ExportOptions struct {
	Options
	MISP MISPOptions
	// Rows adds rows and tombstones to formats of lines and to STIX, which are
	// of events; MISP and the Navigator are made of rows in any case.
	Rows bool
}

// Exporter writes events in one format. Lines are written as events come;
// documents are held in memory until Close.
type Exporter struct {
	out     io.Writer
	options ExportOptions
	lines   *Formatter
	bundle  *Bundle
	layer   *Layer
	misp    map[string]*MISP
	buf     []byte
}

// NewExporter returns an Exporter of a format of lines, stix, misp or navigator.
func NewExporter(format string, out io.Writer, o ExportOptions) (*Exporter, error) {
	x := &Exporter{out: out, options: o}
	switch format {
	case STIX:
		x.bundle = NewBundle()
	case MISPEvents:
		x.misp = map[string]*MISP{}
	case NavLayer:
		x.layer = NewLayer()
	default:
		f, err := ParseFormat(format)
		if err != nil {
			return nil, fmt.Errorf("format %q is none of ocsf, ecs, cef, leef, stix, misp, navigator", format)
		}
		x.lines = NewFormatter(f, o.Options)
	}
	return x, nil
}

// Add takes an event.
func (x *Exporter) Add(e *Event) error {
	row := e.Kind == Row || e.Kind == Tombstone
	switch {
	case x.misp != nil:
		AddMISP(x.misp, e)
	case x.layer != nil:
		x.layer.Add(e)
	case row && !x.options.Rows:
	case x.bundle != nil:
		x.bundle.Add(e)
	default:
		x.buf = append(x.lines.Append(x.buf[:0], e), '\n')
		_, err := x.out.Write(x.buf)
		return err
	}
	return nil
}

// AddMISP adds an event to the MISP events that it concerns, by identity.
func AddMISP(all map[string]*MISP, e *Event) {
	if e.Kind == Transition || e.Kind == Identity && !e.pair() {
		return // the row says the same, and later
	}
	id := e.subject()
	m := all[id]
	if m == nil {
		m = &MISP{Identity: id}
		all[id] = m
	}
	m.Add(e)
}

// Close writes what is still to be written. It does not close the writer.
func (x *Exporter) Close() error {
	switch {
	case x.bundle != nil:
		x.buf = x.bundle.Append(x.buf[:0])
	case x.layer != nil:
		x.buf = x.layer.Append(x.buf[:0])
	case x.misp != nil:
		return x.closeMISP()
	default:
		return nil
	}
	_, err := x.out.Write(x.buf)
	return err
}

// closeMISP writes the events as MISP's own exports are: {"response": [...]}.
func (x *Exporter) closeMISP() error {
	_, err := io.WriteString(x.out, `{"response":[`)
	for i, id := range slices.Sorted(maps.Keys(x.misp)) {
		if i > 0 {
			_, more := io.WriteString(x.out, ",")
			err = errors.Join(err, more)
		}
		x.buf = x.misp[id].Append(append(x.buf[:0], '\n'), &x.options.MISP)
		_, more := x.out.Write(x.buf)
		if err = errors.Join(err, more); err != nil {
			return err
		}
	}
	_, more := io.WriteString(x.out, "\n]}\n")
	return errors.Join(err, more)
}
