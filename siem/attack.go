package siem

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"handprint/attribution"
	"handprint/internal/canonical"
)

// Technique is an entry of MITRE ATT&CK that a value stands for: a tactic, a
// technique or a sub-technique.
type Technique struct {
	ID     string // such as TA0007, T1070 or T1071.004
	Name   string
	Parent string // name of the technique that a sub-technique belongs to
}

// IsTactic reports whether the entry is a tactic.
func (t *Technique) IsTactic() bool { return strings.HasPrefix(t.ID, "TA") }

// technique returns the id without the part of a sub-technique.
func (t *Technique) technique() string {
	id, _, _ := strings.Cut(t.ID, ".")
	return id
}

func (t *Technique) isSub() bool { return strings.Contains(t.ID, ".") }

// URL is the entry's page.
func (t *Technique) URL() string {
	if t.IsTactic() {
		return "https://attack.mitre.org/tactics/" + t.ID + "/"
	}
	return "https://attack.mitre.org/techniques/" + strings.ReplaceAll(t.ID, ".", "/") + "/"
}

func (t *Technique) techniqueURL() string {
	return "https://attack.mitre.org/techniques/" + t.technique() + "/"
}

// techniqueName is the name of the technique, of a sub-technique its parent's.
func (t *Technique) techniqueName() string {
	if t.isSub() {
		return t.Parent
	}
	return t.Name
}

//go:embed attack.json
var attackText []byte

// AttackMap says which values stand for which entries of ATT&CK (attack.json has
// the reasons and sources).
type AttackMap struct {
	Domain  string
	Version string // of the catalogue that ids and names are taken from

	byPrimitive map[string]*attackValues
}

type attackValues struct {
	byValue map[string][]Technique // by canonical JSON
	any     []Technique            // of every value that is not null or empty
}

// DefaultAttackMap returns the mapping that is built in. It is read on first use.
var DefaultAttackMap = sync.OnceValue(func() *AttackMap {
	m, err := readAttackMap(attackText)
	if err != nil {
		panic("siem: the embedded ATT&CK mapping: " + err.Error())
	}
	return m
})

// attackFile is the form of attack.json.
type attackFile struct {
	Domain, Version string
	Names           map[string]string
	Map             []struct {
		Primitive   string
		Values      []json.RawMessage
		Any         bool
		Entries     []string
		Why, Source string
	}
}

func readAttackMap(text []byte) (*AttackMap, error) {
	var file attackFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	m := &AttackMap{Domain: file.Domain, Version: file.Version, byPrimitive: map[string]*attackValues{}}
	for _, line := range file.Map {
		if line.Why == "" || !strings.HasPrefix(line.Source, "https://attack.mitre.org/") {
			return nil, fmt.Errorf("%s: an entry needs a reason and a source", line.Primitive)
		}
		list := make([]Technique, 0, len(line.Entries))
		for _, id := range line.Entries {
			t := Technique{ID: id, Name: file.Names[id]}
			t.Parent = file.Names[t.technique()]
			if t.Name == "" || t.Parent == "" {
				return nil, fmt.Errorf("%s: %s has no name", line.Primitive, id)
			}
			list = append(list, t)
		}
		at := m.byPrimitive[line.Primitive]
		if at == nil {
			at = &attackValues{byValue: map[string][]Technique{}}
			m.byPrimitive[line.Primitive] = at
		}
		if line.Any {
			at.any = list
		}
		for _, v := range line.Values {
			value, _, err := canonical.Append(nil, v)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", line.Primitive, err)
			}
			at.byValue[string(value)] = list
		}
	}
	return m, nil
}

// Of returns what a value of a primitive stands for, nil if that is nothing. An
// unknown state stands for nothing.
func (m *AttackMap) Of(primitive string, state attribution.State, v attribution.Value) []Technique {
	at := m.byPrimitive[primitive]
	if at == nil || state == attribution.Unknown || len(v) == 0 {
		return nil
	}
	if list, ok := at.byValue[string(v)]; ok {
		return list
	}
	if string(v) == "null" || string(v) == `""` {
		return nil
	}
	return at.any
}

// appendOCSFAttacks appends `attacks`.
func appendOCSFAttacks(dst []byte, list []Technique) []byte {
	for i := range list {
		t := &list[i]
		if i == 0 {
			dst = append(dst, `,"attacks":[{`...)
		} else {
			dst = append(dst, `,{`...)
		}
		if t.IsTactic() {
			dst = appendEntry(append(dst, `"tactic":`...), t.ID, t.Name, t.URL())
		} else {
			dst = appendEntry(append(dst, `"technique":`...), t.technique(), t.techniqueName(), t.techniqueURL())
			if t.isSub() {
				dst = appendEntry(append(dst, `,"sub_technique":`...), t.ID, t.Name, t.URL())
			}
		}
		dst = append(appendField(dst, `,"version":`, DefaultAttackMap().Version), '}')
	}
	if len(list) > 0 {
		dst = append(dst, ']')
	}
	return dst
}

func appendEntry(dst []byte, id, name, url string) []byte {
	dst = appendField(dst, `{"uid":`, id)
	dst = appendField(dst, `,"name":`, name)
	return append(appendField(dst, `,"src_url":`, url), '}')
}

// appendECSThreat appends `threat`. Its fields are lists that belong together by
// their order.
func appendECSThreat(dst []byte, list []Technique) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = append(dst, `,"threat":{"framework":"MITRE ATT&CK"`...)
	triple := func(name string, wanted func(*Technique) bool, id, title, url func(*Technique) string, more func([]byte) []byte) {
		var ids, names, urls []string
		for i := range list {
			if t := &list[i]; wanted(t) && !slices.Contains(ids, id(t)) {
				ids, names, urls = append(ids, id(t)), append(names, title(t)), append(urls, url(t))
			}
		}
		if len(ids) == 0 {
			return
		}
		dst = append(append(append(dst, `,"`...), name...), `":{"id":`...)
		dst = appendStrings(dst, ids)
		dst = appendStrings(append(dst, `,"name":`...), names)
		dst = appendStrings(append(dst, `,"reference":`...), urls)
		if more != nil {
			dst = more(dst)
		}
		dst = append(dst, '}')
	}
	triple("tactic", (*Technique).IsTactic, func(t *Technique) string { return t.ID }, func(t *Technique) string { return t.Name }, (*Technique).URL, nil)
	triple("technique", func(t *Technique) bool { return !t.IsTactic() }, (*Technique).technique, (*Technique).techniqueName, (*Technique).techniqueURL, func(out []byte) []byte {
		var subs []Technique
		for _, t := range list {
			if t.isSub() {
				subs = append(subs, t)
			}
		}
		if len(subs) == 0 {
			return out
		}
		var ids, names, urls []string
		for i := range subs {
			ids, names, urls = append(ids, subs[i].ID), append(names, subs[i].Name), append(urls, subs[i].URL())
		}
		out = appendStrings(append(out, `,"subtechnique":{"id":`...), ids)
		out = appendStrings(append(out, `,"name":`...), names)
		return append(appendStrings(append(out, `,"reference":`...), urls), '}')
	})
	return append(dst, '}')
}
