package schemas

import (
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"handprint/attribution"
)

func TestDecodeIdentityEvent(t *testing.T) {
	formed := func(ids ...string) attribution.IdentityEvent {
		return attribution.IdentityEvent{Type: attribution.Formed, Identity: "I", Attackers: ids}
	}
	tests := []struct {
		header, record string
		want           attribution.IdentityEvent
	}{
		{"", `{"type":"identity.formed","identity_uuid":"I","observation_uuids":["a","b"]}`, formed("a", "b")},
		{"identity.formed", `{"identity_uuid":"I","observation_uuids":["a"]}`, formed("a")},
		{"identity.formed", `{"type":"identity.formed","identity_uuid":"I"}`, formed()},
		{"identity.formed", `{"type":null,"identity_uuid":"I","observation_uuids":null}`, formed()},
		{"", `{"type":"identity.formed","identity_uuid":"I","observation_uuids":[]}`, formed()},
		{"", `{"type":"identity.formed","identity_uuid":"I","observation_uuids":["b","a","b","\u0061","b"]}`, formed("b", "a")},
		{"", `{"type":"identity.formed","identity_uuid":"I","loser_uuid":7,"observation_uuid":[],"winner_uuid":null,"x":{"y":1}}`, formed()},
		{"", `{"type":3,"identity_uuid":"","observation_uuids":[1],"type":"identity.formed","identity_uuid":"I","observation_uuids":["a"]}`, formed("a")},
		{"", `{"type":"identity.observation.linked","identity_uuid":"I","observation_uuid":"нападник-4","observation_uuids":[null]}`,
			attribution.IdentityEvent{Type: attribution.Linked, Identity: "I", Attackers: []string{"нападник-4"}}},
		{"", `{"type":"identity.merged","winner_uuid":"W","loser_uuid":"L","identity_uuid":5,"observation_uuids":["a"]}`,
			attribution.IdentityEvent{Type: attribution.Merged, Identity: "W", Loser: "L", Attackers: []string{"a"}}},
		{"", `{"type":"identity.merged","winner_uuid":"W","loser_uuid":"W"}`,
			attribution.IdentityEvent{Type: attribution.Merged, Identity: "W", Loser: "W"}},
		{"", `{"type":"identity.unmerged","winner_uuid":"W","loser_uuid":"L"}`,
			attribution.IdentityEvent{Type: attribution.Unmerged, Identity: "W", Loser: "L"}},
	}
	for _, tt := range tests {
		got, err := DecodeIdentityEvent(tt.header, []byte(tt.record))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("header %q, %s: %+v, %v; want %+v", tt.header, tt.record, got, err, tt.want)
		}
	}
}

// The id of an identity may have 1,024 bytes, whatever the record has for them. An
// attacker's is not bounded: it is an observation's.
func TestIDsOfIdentitiesAreBounded(t *testing.T) {
	for _, tt := range []struct {
		character, written string
		id                 func(id string) string
	}{
		{"i", "i", func(id string) string { return `{"type":"identity.formed","identity_uuid":"` + id + `"}` }},
		{"i", "i", func(id string) string {
			return `{"type":"identity.observation.linked","identity_uuid":"` + id + `","observation_uuid":"` + strings.Repeat("a", 2000) + `"}`
		}},
		{"é", `\u00e9`, func(id string) string {
			return `{"type":"identity.merged","winner_uuid":"` + id + `","loser_uuid":"L"}`
		}},
		{"é", "é", func(id string) string {
			return `{"type":"identity.unmerged","winner_uuid":"W","loser_uuid":"` + id + `"}`
		}},
	} {
		longest := strings.Repeat(tt.written, 1024/len(tt.character))
		if e, err := DecodeIdentityEvent("", []byte(tt.id(longest))); err != nil || len(e.Identity)+len(e.Loser) < 1024 {
			t.Errorf("%.100s...: %.50q, %v", tt.id(longest), e, err)
		}
		const reason = ": too large: 1025 bytes, at most 1024 are taken"
		if _, err := DecodeIdentityEvent("", []byte(tt.id(longest+"x"))); err == nil || !strings.HasSuffix(err.Error(), reason) {
			t.Errorf("%.100s...: %v, want ...%s", tt.id(longest), err, reason)
		}
	}
}

func TestDecodeIdentityEventRefuses(t *testing.T) {
	tests := []struct{ header, record, reason string }{
		{"", "", "not JSON: empty"},
		{"identity.formed", "identity.formed", "not JSON: no JSON value at byte 0"},
		{"", `{"type":"identity.formed"`, "not JSON: unexpected end at byte 25"},
		{"", "[1]", "not an object: an array"},
		{"", `{"identity_uuid":"I"}`, "type: missing"},
		{"", `{"type":null,"identity_uuid":"I"}`, "type: missing"},
		{"", `{"type":"","identity_uuid":"I"}`, `type: unknown ""`},
		{"", `{"type":3,"identity_uuid":"I"}`, "type: a number, not a string"},
		{"identity.formed", `{"type":3,"identity_uuid":"I"}`, "type: a number, not a string"},
		{"", `{"type":"identity.dissolved","identity_uuid":"I"}`, `type: unknown "identity.dissolved"`},
		{"", `{"type":"Identity.formed","identity_uuid":"I"}`, `type: unknown "Identity.formed"`},
		{strings.Repeat("\x00", 99), `{}`, `type: unknown "` + strings.Repeat(`\x00`, 32) + `"...`},
		{"identity.merged", `{"type":"identity.formed","identity_uuid":"I"}`, `type: the header says "identity.merged", the field "identity.formed"`},
		{"identity.formed", `{}`, "identity_uuid: missing"},
		{"identity.formed", `{"identity_uuid":null}`, "identity_uuid: null"},
		{"identity.formed", `{"identity_uuid":""}`, "identity_uuid: empty"},
		{"identity.formed", `{"identity_uuid":9}`, "identity_uuid: a number, not a string"},
		{"identity.formed", `{"identity_uuid":"\udc00"}`, "identity_uuid: half a surrogate pair is no text"},
		{"identity.formed", `{"identity_uuid":"I","observation_uuids":"a"}`, "observation_uuids: a string, not a list"},
		{"identity.formed", `{"identity_uuid":"I","observation_uuids":{}}`, "observation_uuids: an object, not a list"},
		{"identity.formed", `{"identity_uuid":"I","observation_uuids":["a",null]}`, "observation_uuids[1]: null"},
		{"identity.formed", `{"identity_uuid":"I","observation_uuids":[""]}`, "observation_uuids[0]: empty"},
		{"identity.formed", `{"identity_uuid":"I","observation_uuids":["a",["b"]]}`, "observation_uuids[1]: an array, not a string"},
		{"identity.formed", `{"identity_uuid":"I","observation_uuids":[1e999]}`, "observation_uuids: not finite"},
		{"identity.formed", `{"identity_uuid":"I","x":1e999}`, "not JSON: number too large for a double at byte 25"},
		{"identity.observation.linked", `{"identity_uuid":"I"}`, "observation_uuid: missing"},
		{"identity.observation.linked", `{"identity_uuid":"I","observation_uuid":""}`, "observation_uuid: empty"},
		{"identity.observation.linked", `{"identity_uuid":"I","observation_uuid":["a"]}`, "observation_uuid: an array, not a string"},
		{"identity.merged", `{"loser_uuid":"L"}`, "winner_uuid: missing"},
		{"identity.merged", `{"winner_uuid":"","loser_uuid":"L"}`, "winner_uuid: empty"},
		{"identity.merged", `{"winner_uuid":"W"}`, "loser_uuid: missing"},
		{"identity.merged", `{"winner_uuid":"W","loser_uuid":0}`, "loser_uuid: a number, not a string"},
		{"identity.unmerged", `{"winner_uuid":"W","loser_uuid":""}`, "loser_uuid: empty"},
		{"identity.unmerged", `{"loser_uuid":"L"}`, "winner_uuid: missing"},
		{"identity.formed", `{"identity_uuid":"` + strings.Repeat("x", DefaultMaxBytes) + `"}`, "too large: 262164 bytes, at most 262144 are taken"},
	}
	for _, tt := range tests {
		got, err := DecodeIdentityEvent(tt.header, []byte(tt.record))
		if !wantBad(t, tt.record, err) {
			t.Logf("it became %+v", got)
		} else if err.Error() != tt.reason {
			t.Errorf("header %q, %.100s: %q, want %q", tt.header, tt.record, err, tt.reason)
		}
	}
}

func TestIdentityEventsKeepToTheSizeLimit(t *testing.T) {
	list := make([]string, 50_000)
	for i := range list {
		list[i] = strconv.Itoa(i)
	}
	record := AppendIdentityEvent(nil, &attribution.IdentityEvent{Type: attribution.Formed, Identity: "I", Attackers: list})
	for _, limit := range []int{0, len(record) - 1, len(record)} {
		event, err := IdentityEventDecoder{MaxBytes: limit}.Decode("", record)
		if ok := limit == len(record); ok != (err == nil) || ok && len(event.Attackers) != len(list) {
			t.Errorf("limit %d, %d bytes: %d attackers, %v", limit, len(record), len(event.Attackers), err)
		}
	}
}

func TestAppendIdentityEvent(t *testing.T) {
	for _, tt := range []struct {
		event attribution.IdentityEvent
		want  string
	}{
		{attribution.IdentityEvent{Type: attribution.Formed, Identity: "I"}, `{"type":"identity.formed","identity_uuid":"I","observation_uuids":[]}`},
		{attribution.IdentityEvent{Type: attribution.Linked, Identity: "I", Attackers: []string{"a\"b"}}, `{"type":"identity.observation.linked","identity_uuid":"I","observation_uuid":"a\"b"}`},
		{attribution.IdentityEvent{Type: attribution.Merged, Identity: "W", Loser: "L", Attackers: []string{"a", "b"}}, `{"type":"identity.merged","winner_uuid":"W","loser_uuid":"L","observation_uuids":["a","b"]}`},
		{attribution.IdentityEvent{Type: attribution.Unmerged, Identity: "W", Loser: "L"}, `{"type":"identity.unmerged","winner_uuid":"W","loser_uuid":"L","observation_uuids":[]}`},
	} {
		if got := AppendIdentityEvent(nil, &tt.event); string(got) != tt.want {
			t.Errorf("%+v: %s, want %s", tt.event, got, tt.want)
		}
	}
	for _, event := range []attribution.IdentityEvent{{Identity: "I"}, {Type: attribution.Linked, Identity: "I"}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v: no panic", event)
				}
			}()
			AppendIdentityEvent(nil, &event)
		}()
	}
}

func TestIdentityEventsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringN(1, 12, -1)
		want := attribution.IdentityEvent{
			Type:     attribution.EventType(rapid.IntRange(int(attribution.Formed), int(attribution.Unmerged)).Draw(t, "type")),
			Identity: id.Draw(t, "identity"),
		}
		switch want.Type {
		case attribution.Linked:
			want.Attackers = []string{id.Draw(t, "attacker")}
		case attribution.Merged, attribution.Unmerged:
			want.Loser = id.Draw(t, "loser")
			fallthrough
		default:
			if list := rapid.SliceOfDistinct(id, rapid.ID).Draw(t, "attackers"); len(list) > 0 {
				want.Attackers = list
			}
		}
		record := AppendIdentityEvent(nil, &want)
		got, err := DecodeIdentityEvent("", record)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: %+v, %v; want %+v", record, got, err, want)
		}
	})
}

func FuzzIdentityEventDecode(f *testing.F) {
	f.Add("", []byte(`{"type":"identity.formed","identity_uuid":"I","observation_uuids":["a","b","a"]}`))
	f.Add("identity.merged", []byte(`{"winner_uuid":"W","loser_uuid":"L","observation_uuids":null}`))
	f.Add("identity.unmerged", []byte(`{"winner_uuid":"W","loser_uuid":"\ud800"}`))
	f.Add("x", []byte(`{"type":"identity.observation.linked","identity_uuid":"I","observation_uuid":"a"}`))
	f.Fuzz(func(t *testing.T, header string, record []byte) {
		event, err := DecodeIdentityEvent(header, record)
		if err != nil {
			wantBad(t, string(record), err)
			return
		}
		again, err := DecodeIdentityEvent("", AppendIdentityEvent(nil, &event))
		if err != nil || !reflect.DeepEqual(again, event) {
			t.Fatalf("%q became %+v, then %+v, %v", record, event, again, err)
		}
	})
}
