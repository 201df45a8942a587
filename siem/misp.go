package siem

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"handprint/attribution"
	"handprint/internal/canonical"
)

// MISPOptions are what a MISP event has from its operator.
type MISPOptions struct {
	// Org and OrgUUID are Orgc; empty: handprint, and a UUID of it.
	Org, OrgUUID string
	// TLP is the tag of the traffic light protocol; empty: tlp:amber.
	TLP string
}

// MISP is one identity as a MISP event: its traits and its latest suspicion.
type MISP struct {
	Identity string
	// Rows are the traits by primitive. One of the kind Tombstone is a deleted
	// trait, and has what its last row had.
	Rows      map[string]*Event
	Suspicion *Event // nil: none
	// MergedInto is the identity that this one was merged into; empty: none.
	MergedInto string
	MergedAt   int64 // milliseconds: when that changed last; 0: never
	Addresses  []Address
}

// Add takes an event about the identity. What is older than what is there
// changes nothing; of equal times the later call counts.
func (m *MISP) Add(e *Event) {
	if m.Rows == nil {
		m.Rows = map[string]*Event{}
	}
	if len(e.Addresses) > 0 {
		m.Addresses = e.Addresses
	}
	switch e.Kind {
	case Row:
		m.Rows[e.Primitive] = e
	case Tombstone:
		if last := m.Rows[e.Primitive]; last != nil && last.Kind == Row {
			gone := *last
			gone.Kind, gone.Time = Tombstone, max(e.Time, last.Time)
			m.Rows[e.Primitive] = &gone
		}
	case Suspicion:
		if m.Suspicion == nil || e.Time >= m.Suspicion.Time {
			m.Suspicion = e
		}
	case Identity:
		if e.pair() && e.Time >= m.MergedAt {
			_, winner := e.loserWinner()
			if e.Change == attribution.Unmerged {
				winner = ""
			}
			m.MergedInto, m.MergedAt = winner, e.Time
		}
	}
}

// Empty reports whether there is nothing to tell of the identity.
func (m *MISP) Empty() bool { return len(m.Rows) == 0 && m.Suspicion == nil && m.MergedAt == 0 }

// UUID is the event's id.
func (m *MISP) UUID() string { return mispEvent(m.Identity) }

func mispEvent(identity string) string { return uuid5(&mispNamespace, "event ", identity).String() }

// time is that of the newest part, in milliseconds.
func (m *MISP) time() int64 {
	newest := max(m.MergedAt, 0)
	for _, r := range m.Rows {
		newest = max(newest, r.Time)
	}
	if m.Suspicion != nil {
		newest = max(newest, m.Suspicion.Time)
	}
	return newest
}

// suspected reports whether the latest suspicion is still open.
func (m *MISP) suspected() bool { return m.Suspicion != nil && m.Suspicion.Status != Cleared }

func (m *MISP) info() string { return "handprint identity " + m.Identity + ": observed behaviour" }

func (o *MISPOptions) orgc() (name, id string) {
	name = cmp.Or(o.Org, "handprint")
	return name, cmp.Or(o.OrgUUID, uuid5(&mispNamespace, "org ", name).String())
}

// mispSeconds appends a time as MISP's timestamps are: seconds, in quotes.
func mispSeconds(dst []byte, ms int64) []byte {
	return append(strconv.AppendInt(append(dst, '"'), max(ms, 0)/1000, 10), '"')
}

// appendHead appends what an event and its line of the manifest share.
func (m *MISP) appendHead(dst []byte, o *MISPOptions) []byte {
	at := m.time()
	dst = appendField(dst, `"info":`, m.info())
	dst = time.UnixMilli(at).UTC().AppendFormat(append(dst, `,"date":"`...), "2006-01-02")
	dst = mispSeconds(append(dst, `","timestamp":`...), at)
	dst = append(dst, `,"analysis":"1","threat_level_id":"4"`...)
	name, id := o.orgc()
	dst = appendField(dst, `,"Orgc":{"name":`, name)
	dst = appendField(dst, `,"uuid":`, id)
	dst = appendField(dst, `},"Tag":[{"name":`, cmp.Or(o.TLP, "tlp:amber"))
	state := "not-suspected"
	if m.suspected() {
		state = "suspected"
	}
	return append(append(append(dst, `},{"name":"handprint:multi-actor=\"`...), state...), `\""}]`...)
}

// Append appends the event: {"Event": ...}.
func (m *MISP) Append(dst []byte, o *MISPOptions) []byte {
	dst = appendField(dst, `{"Event":{"uuid":`, m.UUID())
	dst = m.appendHead(append(dst, ','), o)
	dst = append(dst, `,"distribution":"0","published":false`...)
	if m.MergedInto != "" {
		dst = appendField(dst, `,"extends_uuid":`, mispEvent(m.MergedInto))
	}
	dst = append(dst, `,"Attribute":[`...)
	names := slices.Sorted(maps.Keys(m.Rows))
	first := true
	comma := func() {
		if !first {
			dst = append(dst, ',')
		}
		first = false
	}
	for _, name := range names {
		if r := m.Rows[name]; r.mispType() != "" {
			comma()
			dst = appendMISPDigest(dst, r)
		}
	}
	for _, a := range m.Addresses {
		comma()
		dst = appendMISPAddress(dst, m.Identity, &a)
	}
	dst = append(dst, `],"Object":[`...)
	first = true
	for _, name := range names {
		if r := m.Rows[name]; r.mispType() == "" {
			comma()
			dst = appendAnnotation(dst, r)
		}
	}
	if m.Suspicion != nil {
		comma()
		dst = appendAnnotation(dst, m.Suspicion)
	}
	return append(dst, `]}}`...)
}

// mispDigests are the attribute types of digests that MISP has a type for, and
// how many hex digits they have.
var mispDigests = map[string]struct {
	attribute string
	digits    int
}{
	"toolchain.ssh.hassh_client": {"hassh-md5", 32},
	"toolchain.ssh.hassh_server": {"hasshserver-md5", 32},
	"toolchain.tls.ja3_client":   {"ja3-fingerprint-md5", 32},
	"toolchain.tls.ja3s_server":  {"ja3-fingerprint-md5", 32},
	"toolchain.tls.jarm_server":  {"jarm-fingerprint", 62},
}

// mispType is the attribute type of a trait, empty where it is an annotation: of
// what has no type of its own, and of what is no such digest.
func (e *Event) mispType() string {
	d, ok := mispDigests[e.Primitive]
	if !ok || len(e.Value) != d.digits+2 || e.Value[0] != '"' {
		return ""
	}
	for _, c := range e.Value[1 : len(e.Value)-1] {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return ""
		}
	}
	return d.attribute
}

// mispTail ends an attribute: never for detection, never correlated. One digest
// was shared by 403 addresses in twelve days.
const mispTail = `,"to_ids":false,"disable_correlation":true,"distribution":"5","timestamp":`

func appendMISPDigest(dst []byte, e *Event) []byte {
	dst = appendField(dst, `{"uuid":`, uuid5(&mispNamespace, "attribute ", e.Identity, "/", e.Primitive).String())
	dst = append(append(dst, `,"type":"`...), e.mispType()...)
	dst = append(append(dst, `","category":"Network activity","value":`...), e.Value...)
	comment := append([]byte(e.Primitive), ": "...)
	comment = appendTwoDigits(append(append(comment, e.State.String()...), ", confidence "...), e.Confidence)
	comment = strconv.AppendInt(append(comment, ", "...), e.Observations, 10)
	comment = appendTime(append(comment, " observations, since "...), e.Since)
	dst = appendField(dst, `,"comment":`, comment)
	dst = mispSeconds(append(dst, mispTail...), e.Time)
	return append(appendDeleted(dst, e), '}')
}

func appendDeleted(dst []byte, e *Event) []byte {
	if e.Kind == Tombstone {
		return append(dst, `,"deleted":true`...)
	}
	return dst
}

func appendMISPAddress(dst []byte, identity string, a *Address) []byte {
	dst = appendField(dst, `{"uuid":`, uuid5(&mispNamespace, "address ", identity, "/", a.IP).String())
	dst = appendField(dst, `,"type":"ip-src","category":"Network activity","value":`, a.IP)
	dst = append(dst, `,"comment":"a sensor saw this activity from here; it may be shared"`...)
	return append(mispSeconds(append(dst, mispTail...), a.Last), '}')
}

const annotation = `,"name":"annotation","template_uuid":"5d8dc046-15a1-4ca3-a09f-ed4ede7c4487","template_version":"3",` +
	`"description":"An annotation object allowing analysts to add annotations, comments, executive summary to a MISP event, objects or attributes.",` +
	`"meta-category":"misc","distribution":"5","timestamp":`

// appendAnnotation appends a trait or a suspicion as an object.
func appendAnnotation(dst []byte, e *Event) []byte {
	subject, when, name, relation := e.Identity+"/"+e.Primitive, e.Since, "modified", "modification-date"
	var text []byte
	if e.Kind == Suspicion {
		// One suspicion is one object, from raised to cleared.
		subject, when, name, relation = cmp.Or(e.SuspicionID, e.ID), e.Time, "created", "creation-date"
		text = appendMessage(nil, e)
	} else {
		text = append(append([]byte(e.Primitive), " = "...), bytes.ToValidUTF8(appendText(nil, e.Value), []byte("\uFFFD"))...)
		text = append(append(append(text, " ("...), e.State.String()...), ')')
	}
	dst = appendField(dst, `{"uuid":`, uuid5(&mispNamespace, "object ", subject).String())
	dst = mispSeconds(append(dst, annotation...), e.Time)
	dst = append(append(append(dst, `,"comment":"`...), e.code()...), '"')
	if e.Kind == Tombstone {
		dst = append(dst[:len(dst)-len(`state_deleted"`)], `state","deleted":true`...)
	}
	dst = append(dst, `,"Attribute":[`...)
	part := func(name, relation, kind string, value []byte) {
		dst = appendField(dst, `{"uuid":`, uuid5(&mispNamespace, "attribute ", subject, " ", name).String())
		dst = append(append(append(dst, `,"type":"`...), kind...), `","category":"Other","value":`...)
		dst = canonical.AppendString(dst, value)
		dst = mispSeconds(append(append(dst, `,"comment":""`...), mispTail...), e.Time)
		dst = append(append(append(dst, `,"object_relation":"`...), relation...), '"')
		dst = append(appendDeleted(dst, e), '}')
	}
	part("text", "text", "text", text)
	dst = append(dst, ',')
	part("type", "type", "text", []byte("Other"))
	dst = append(dst, ',')
	part(name, relation, "datetime", appendTime(nil, when))
	return append(dst, `]}`...)
}
