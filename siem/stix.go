package siem

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"handprint/attribution"
	"handprint/internal/canonical"
)

// Ids and constants of STIX 2.1 objects. created of what outlives an event is a
// constant: it has to be the same in every version of an object, and when an
// identity was first seen is not known.
var (
	stixIdentity  = "identity--" + uuid5(&stixNamespace, "identity handprint").String()
	stixExtension = "extension-definition--" + uuid5(&stixNamespace, "extension-definition handprint 1").String()
	// observableNamespace is STIX's own, of observables.
	observableNamespace = namespace("00abedb4-aa42-466c-9c01-fed23315a9b7")
)

const (
	stixCreated = "2026-01-01T00:00:00.000Z"
	stixAbout   = "Activity that handprint holds together under an opaque id because it behaves alike. It is not a person, an organisation or a named threat actor."
)

// stixObject is one object of a bundle, as text.
type stixObject struct {
	id, modified string
	text         []byte
}

// Bundle collects events into a STIX 2.1 bundle, which carries all that its
// objects point to. The zero value is not ready: use NewBundle.
type Bundle struct {
	sets     map[string]int64 // identity: time of its newest event
	notes    []stixObject     // in the order of the events
	noted    map[string]bool
	patterns map[string]Technique // by ATT&CK id
	uses     map[string]*stixUse  // by relationship id
	merges   map[string]*stixMerge
	sources  map[string]*stixSource // by observed-data id
	message  []byte
}

type stixUse struct {
	identity, technique string
	time                int64
}

type stixMerge struct {
	loser, winner string
	revoked       bool
	time          int64
}

type stixSource struct {
	identity string
	address  Address
}

// NewBundle returns an empty bundle.
func NewBundle() *Bundle {
	return &Bundle{
		sets: map[string]int64{}, noted: map[string]bool{}, patterns: map[string]Technique{}, uses: map[string]*stixUse{},
		merges: map[string]*stixMerge{}, sources: map[string]*stixSource{},
	}
}

func intrusionSet(identity string) string {
	return "intrusion-set--" + uuid5(&stixNamespace, "intrusion-set ", identity).String()
}

func (b *Bundle) touch(identity string, ms int64) {
	if have, ok := b.sets[identity]; !ok || ms > have {
		b.sets[identity] = ms
	}
}

// Add takes an event. One that is there already changes nothing.
func (b *Bundle) Add(e *Event) {
	if e.pair() {
		b.merge(e)
		return
	}
	id := "note--" + uuid5(&stixNamespace, "note ", e.ID).String()
	if b.noted[id] {
		return
	}
	b.noted[id] = true
	b.touch(e.Identity, e.Time)
	b.message = appendMessage(b.message[:0], e)
	b.notes = append(b.notes, stixObject{id, string(appendTime(nil, e.Time)), appendNote(nil, id, e, b.message)})
	for _, t := range e.Techniques {
		b.patterns[t.ID] = t
		use := "relationship--" + uuid5(&stixNamespace, "relationship uses ", e.Identity, " ", t.ID).String()
		if have := b.uses[use]; have == nil || e.Time > have.time {
			b.uses[use] = &stixUse{e.Identity, t.ID, e.Time}
		}
	}
	for _, a := range e.Addresses {
		source := "observed-data--" + uuid5(&stixNamespace, "observed-data ", e.Identity, " ", a.IP).String()
		b.sources[source] = &stixSource{e.Identity, a}
	}
}

// merge takes a merge or an unmerge: one relationship, whose newest event says
// whether it holds.
func (b *Bundle) merge(e *Event) {
	loser, winner := e.loserWinner()
	b.touch(loser, e.Time)
	if winner == "" {
		return
	}
	b.touch(winner, e.Time)
	id := "relationship--" + uuid5(&stixNamespace, "relationship duplicate-of ", loser, " ", winner).String()
	if have := b.merges[id]; have == nil || e.Time >= have.time {
		b.merges[id] = &stixMerge{loser, winner, e.Change == attribution.Unmerged, e.Time}
	}
}

// appendStixHead appends what every object of handprint's begins with.
func appendStixHead(dst []byte, kind, id, created, modified string) []byte {
	dst = append(append(dst, `{"type":"`...), kind...)
	dst = append(append(dst, `","spec_version":"2.1","id":"`...), id...)
	if id != stixIdentity {
		dst = append(append(dst, `","created_by_ref":"`...), stixIdentity...)
	}
	dst = append(append(dst, `","created":"`...), created...)
	dst = append(append(dst, `","modified":"`...), modified...)
	return append(dst, '"')
}

func stixTime(ms int64) string { return string(appendTime(nil, ms)) }

// modified returns the time of a version of an object that was created at
// stixCreated: a version is never older than the object.
func modified(ms int64) string { return max(stixTime(ms), stixCreated) }

func appendNote(dst []byte, id string, e *Event, message []byte) []byte {
	at := stixTime(e.Time)
	dst = appendStixHead(dst, "note", id, at, at)
	dst = append(append(append(dst, `,"abstract":"`...), e.title()...), '"')
	dst = appendField(dst, `,"content":`, message)
	dst = append(dst, `,"authors":["handprint"]`...)
	if e.confident() {
		dst = strconv.AppendInt(append(dst, `,"confidence":`...), percent(e.Confidence), 10)
	}
	label := strings.ReplaceAll(e.code(), "_", "-")
	if e.Kind == Suspicion && e.Status == Cleared {
		label = "multi-actor-cleared"
	}
	dst = append(append(append(dst, `,"labels":["`...), label...), `"]`...)
	dst = append(append(append(dst, `,"object_refs":["`...), intrusionSet(e.Identity)...), `"]`...)
	dst = append(append(dst, `,"extensions":{"`...), stixExtension...)
	dst = appendField(dst, `":{"extension_type":"property-extension","identity_uuid":`, e.Identity)
	dst = appendField(dst, `,"event_id":`, e.ID)
	dst = append(append(append(dst, `,"event_type":"`...), e.code()...), '"')
	switch e.Kind {
	case Suspicion:
		if len(e.Primitives) > 0 {
			dst = appendStrings(append(dst, `,"primitives":`...), e.Primitives)
		}
		if e.SuspicionID != "" {
			dst = appendField(dst, `,"suspicion_id":`, e.SuspicionID)
			dst = append(append(append(dst, `,"suspicion_status":"`...), e.Status.String()...), '"')
		}
		if len(e.Groups) > 0 {
			dst = appendStrings(append(dst, `,"groups":`...), e.Groups)
		}
	case Identity:
		dst = strconv.AppendInt(append(dst, `,"attackers_moved":`...), e.Moved, 10)
		dst = strconv.AppendInt(append(dst, `,"rows_changed":`...), e.Rows, 10)
	case Tombstone:
		dst = appendField(dst, `,"primitive":`, e.Primitive)
	default:
		dst = appendField(dst, `,"primitive":`, e.Primitive)
		dst = append(append(append(dst, `,"state":"`...), e.State.String()...), '"')
		dst = appendCanonJSON(append(dst, `,"current_value":`...), e.Value)
		dst = strconv.AppendInt(append(dst, `,"observation_count":`...), e.Observations, 10)
		if e.Kind == Transition && !e.IsNew {
			dst = append(append(append(dst, `,"old_state":"`...), e.Old.String()...), '"')
		}
		if len(e.Previous) > 0 {
			dst = appendCanonJSON(append(dst, `,"previous_value":`...), e.Previous)
		}
	}
	return append(dst, `}}}`...)
}

// objects returns the objects of the bundle, each after the objects that it points to.
func (b *Bundle) objects() []stixObject {
	all := []stixObject{
		{stixIdentity, stixCreated, append(appendStixHead(nil, "identity", stixIdentity, stixCreated, stixCreated),
			`,"name":"handprint","identity_class":"system","description":"Stream processor that judges how coherent observed behaviour is. It names no person."}`...)},
		{stixExtension, stixCreated, append(appendStixHead(nil, "extension-definition", stixExtension, stixCreated, stixCreated),
			`,"name":"handprint attribution","description":"What handprint concludes of an identity by one trait.","schema":"https://handprint.invalid/stix/handprint-1.json","version":"1.0.0","extension_types":["property-extension"]}`...)},
	}
	byID := func(x, y stixObject) int { return cmp.Compare(x.id, y.id) }
	var sets []stixObject
	for identity, ms := range b.sets {
		id, at := intrusionSet(identity), modified(ms)
		text := appendStixHead(nil, "intrusion-set", id, stixCreated, at)
		text = appendField(text, `,"name":`, "handprint identity "+identity)
		text = appendField(text, `,"description":`, stixAbout)
		sets = append(sets, stixObject{id, at, append(text, `,"labels":["handprint-identity"]}`...)})
	}
	slices.SortFunc(sets, byID)
	all = append(append(all, sets...), b.notes...)
	for _, id := range slices.Sorted(maps.Keys(b.patterns)) {
		t := b.patterns[id]
		all = append(all, stixPattern(&t))
	}
	var rest []stixObject
	for id, m := range b.merges {
		rest = append(rest, m.object(id))
	}
	for id, u := range b.uses {
		t := b.patterns[u.technique]
		rest = append(rest, stixRelation(id, "uses", "Behaviour that handprint observed stands for this entry of ATT&CK.", modified(u.time), intrusionSet(u.identity), patternID(&t)))
	}
	addresses := map[string]stixObject{}
	for id, s := range b.sources {
		observable := s.address.observable()
		addresses[observable.id] = observable
		rest = append(rest, s.object(id, observable.id),
			stixRelation("relationship--"+uuid5(&stixNamespace, "relationship related-to ", id).String(), "related-to",
				"An address from which this activity came. It may be shared, and is nothing to block.", stixCreated, id, intrusionSet(s.identity)))
	}
	for _, id := range slices.Sorted(maps.Keys(addresses)) {
		all = append(all, addresses[id])
	}
	slices.SortFunc(rest, byID)
	return append(all, rest...)
}

// patternID is an id of ours: under the catalogue's own, what is written here
// would take the place of the catalogue's object.
func patternID(t *Technique) string {
	return "attack-pattern--" + uuid5(&stixNamespace, "attack-pattern ", t.ID).String()
}

// stixPattern is an entry of ATT&CK: a reference to it, nothing of its text.
func stixPattern(t *Technique) stixObject {
	id := patternID(t)
	text := appendStixHead(nil, "attack-pattern", id, stixCreated, stixCreated)
	text = appendField(text, `,"name":`, t.Name)
	text = appendField(text, `,"external_references":[{"source_name":"mitre-attack","external_id":`, t.ID)
	return stixObject{id, stixCreated, append(appendField(text, `,"url":`, t.URL()), `}]}`...)}
}

func (m *stixMerge) object(id string) stixObject {
	at := modified(m.time)
	text := appendStixHead(nil, "relationship", id, stixCreated, at)
	text = append(text, `,"relationship_type":"duplicate-of","description":"A clusterer says that these are the same hands."`...)
	if m.revoked {
		text = append(text, `,"revoked":true`...)
	}
	return stixObject{id, at, appendRefs(text, intrusionSet(m.loser), intrusionSet(m.winner))}
}

func stixRelation(id, kind, description, at, source, target string) stixObject {
	text := appendStixHead(nil, "relationship", id, stixCreated, at)
	text = append(append(append(text, `,"relationship_type":"`...), kind...), '"')
	text = appendField(text, `,"description":`, description)
	return stixObject{id, at, appendRefs(text, source, target)}
}

func appendRefs(dst []byte, source, target string) []byte {
	dst = append(append(dst, `,"source_ref":"`...), source...)
	return append(append(append(dst, `","target_ref":"`...), target...), `"}`...)
}

// observable is the address as STIX has it, under the id that STIX prescribes.
func (a *Address) observable() stixObject {
	kind := "ipv6-addr"
	if isIPv4(a.IP) {
		kind = "ipv4-addr"
	}
	value := canonical.AppendString(nil, a.IP)
	id := kind + "--" + uuid5(&observableNamespace, `{"value":`, string(value), `}`).String()
	text := append([]byte(`{"type":"`), kind...)
	text = append(append(text, `","spec_version":"2.1","id":"`...), id...)
	return stixObject{id, "", append(append(append(text, `","value":`...), value...), '}')}
}

func (s *stixSource) object(id, observable string) stixObject {
	first, last := s.address.First, max(s.address.First, s.address.Last)
	at := modified(last)
	text := appendStixHead(nil, "observed-data", id, stixCreated, at)
	text = append(append(text, `,"first_observed":"`...), stixTime(first)...)
	text = append(append(text, `","last_observed":"`...), stixTime(last)...)
	text = append(append(text, `","number_observed":1,"object_refs":["`...), observable...)
	return stixObject{id, at, append(text, `"]}`...)}
}

// Append appends the bundle, an object a line.
func (b *Bundle) Append(dst []byte) []byte {
	objects := b.objects()
	names := []string{"bundle "}
	for i, o := range objects {
		if i > 0 {
			names = append(names, " ")
		}
		names = append(names, o.id, o.modified)
	}
	dst = append(append(dst, `{"type":"bundle","id":"bundle--`...), uuid5(&stixNamespace, names...).String()...)
	dst = append(dst, `","objects":[`...)
	for i, o := range objects {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, '\n'), o.text...)
	}
	return append(dst, "\n]}\n"...)
}

// Objects calls each with the text of every object and its id and version, in
// the bundle's order: what a TAXII server is given. It stops at an error.
func (b *Bundle) Objects(each func(id, modified string, text []byte) error) error {
	for _, o := range b.objects() {
		if err := each(o.id, o.modified, o.text); err != nil {
			return err
		}
	}
	return nil
}
