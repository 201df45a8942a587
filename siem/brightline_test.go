package siem

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"handprint/attribution"
	"handprint/schemas"
	"handprint/siem/siemtest"
)

// forbidden are fields and objects that would make a person, an organisation or
// a threat actor of an identity, or something to block.
var forbidden = map[string]bool{
	"user": true, "users": true, "actor": true, "threat-actor": true, "campaign": true, "aliases": true, "goals": true, "primary_motivation": true,
	"resource_level": true, "indicator": true, "sighting": true, "group": true, "suser": true, "suid": true, "usrName": true, "disposition": true, "verdict": true,
}

// allowedGroups are where the word group is not one of people.
func allowedGroup(path string) bool { return strings.Contains(path, "reasons") }

// words are what no sentence of handprint's may claim. They are looked for in
// what is written about benign values, so what is found is ours.
var words = regexp.MustCompile(`(?i)\b(person is|his|her|insider|criminal|apt\d*|nation.state|guilty|blame|block|blacklist|deny|malicious|attacker)\b`)

func walk(path string, v any, each func(path, key string, v any)) {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			each(path, k, inner)
			walk(path+"."+k, inner, each)
		}
	case []any:
		for _, inner := range v {
			walk(path, inner, each)
		}
	}
}

// sample returns events of every kind, status and state.
func sample(t testing.TB, n int) []*Event {
	r := siemtest.New(3)
	d := Decoder{Topics: names, Attack: DefaultAttackMap(), Addresses: NewAddresses()}
	for _, p := range r.Profiles() {
		d.Addresses.PutProfile(&p)
	}
	var all []*Event
	add := func(topic string, value []byte) {
		e, err := d.Decode(&Record{Topic: topic, Value: value, Key: []byte("a/b.c"), Timestamp: 1795000000000})
		if err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		all = append(all, e)
	}
	for range n {
		add(names.StateChanged, schemas.AppendTransitionJSON(nil, r.Transition()))
		add(names.Suspected, schemas.AppendSuspicionJSON(nil, r.Suspicion()))
		add(names.IdentityChanged, schemas.AppendIdentityChangeJSON(nil, r.Change()))
		add(names.State, schemas.AppendStateRowJSON(nil, r.Row()))
		add(names.State, nil)
	}
	return all
}

// documents writes events in every format, by its name.
func documents(t testing.TB, events []*Event) map[string][]byte {
	out := map[string][]byte{}
	for _, format := range append([]string{string(OCSF), string(ECS), string(CEF), string(LEEF)}, Documents()...) {
		var b bytes.Buffer
		x, err := NewExporter(format, &b, ExportOptions{Options: Options{Version: "1.2.3"}, Rows: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if err := x.Add(e); err != nil {
				t.Fatal(err)
			}
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		out[format] = b.Bytes()
	}
	return out
}

// No field that is written means a person, an organisation or a threat actor.
func TestNoFieldNamesAnybody(t *testing.T) {
	for format, text := range documents(t, sample(t, 400)) {
		for line := range bytes.Lines(text) {
			if format == string(CEF) || format == string(LEEF) {
				for name := range forbidden {
					if regexp.MustCompile(`[ ^|]`+regexp.QuoteMeta(name)+`=`).Match(line) && !bytes.Contains(line, []byte(`\=`)) {
						t.Errorf("%s has the field %s: %.200s", format, name, line)
					}
				}
				continue
			}
			if format != string(OCSF) && format != string(ECS) {
				line = text
			}
			var v any
			if err := json.Unmarshal(line, &v); err != nil {
				t.Fatalf("%s: %v in %.200s", format, err, line)
			}
			walk("", v, func(path, key string, inner any) {
				if forbidden[key] && !(key == "group" && allowedGroup(path)) {
					t.Errorf("%s has the field %s.%s", format, path, key)
				}
				if kind, _ := inner.(string); key == "type" && forbidden[kind] {
					t.Errorf("%s has an object of the type %s", format, kind)
				}
				if flag, is := inner.(bool); key == "to_ids" && (!is || flag) {
					t.Errorf("%s: to_ids is %v", format, inner)
				}
			})
			if format != string(OCSF) && format != string(ECS) {
				break
			}
		}
	}
}

// Every text that can be produced, read: titles, messages and descriptions of
// each kind of event, status and state, about values that say nothing.
func TestEveryTextStaysOnThisSide(t *testing.T) {
	var events []*Event
	for old := range attribution.MultiActor + 1 {
		for state := range attribution.MultiActor + 1 {
			for _, isNew := range []bool{false, true} {
				events = append(events, &Event{Kind: Transition, ID: "id", Identity: "i", Primitive: "a.b", State: state, Old: old, IsNew: isNew, Value: attribution.Value(`"v"`), Previous: attribution.Value(`"w"`)})
			}
		}
		events = append(events, &Event{Kind: Row, ID: "id", Identity: "i", Primitive: "a.b", State: old, Value: attribution.Value(`1`)})
	}
	events = append(events, &Event{Kind: Tombstone, ID: "id", Identity: "i", Primitive: "a.b"})
	for s := Raised; s <= Cleared; s++ {
		events = append(events, &Event{Kind: Suspicion, ID: "id", Identity: "i", Status: s, Primitives: []string{"a.b"}},
			&Event{Kind: Suspicion, ID: "id" + s.String(), Identity: "i", Status: s, SuspicionID: "s", Summary: "words", Primitives: []string{"a.b"}, Addresses: []Address{{IP: "192.0.2.1"}}})
	}
	for _, c := range []attribution.EventType{attribution.Formed, attribution.Linked, attribution.Merged, attribution.Unmerged} {
		events = append(events, &Event{Kind: Identity, ID: "id", Identity: "i", Change: c, Other: "o", Moved: 2, Rows: 3})
	}
	for _, values := range DefaultAttackMap().byPrimitive {
		for _, list := range values.byValue {
			events = append(events, &Event{Kind: Row, ID: "id", Identity: "i", Primitive: "a.b", Value: attribution.Value(`1`), Techniques: list})
		}
	}
	denied := strings.NewReplacer("nothing to block", "", "attackers_moved", "", `"attackers"`, "", "who attack", "")
	for format, text := range documents(t, events) {
		if found := words.FindAllString(denied.Replace(string(text)), -1); len(found) > 0 {
			t.Errorf("%s says %q", format, found)
		}
	}
}
