package asyncapi

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"handprint/attribution"
	"handprint/schemas"
	"handprint/topology"
)

var (
	names  = topology.DefaultNames("", "handprint")
	layout = topology.Layout{Partitions: 8, Replication: -1}
)

func TestEveryPublicTopicIsAChannel(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, names, layout); err != nil {
		t.Fatal(err)
	}
	var document struct {
		Channels map[string]struct {
			Address  string
			Messages map[string]any
			Bindings struct {
				Kafka struct {
					Partitions         int
					TopicConfiguration map[string]any `yaml:"topicConfiguration"`
				}
			}
		}
		Operations map[string]struct {
			Action   string
			Channel  map[string]string
			Messages []any
		}
		Components struct{ Messages map[string]any }
	}
	if err := yaml.Unmarshal(b.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	byAddress := make(map[string]string)
	for id, c := range document.Channels {
		byAddress[c.Address] = id
	}
	for _, s := range names.Specs(layout) {
		id, there := byAddress[s.Name]
		if s.Name == names.Commands || s.Name == names.Changelog {
			if there {
				t.Errorf("%s is internal and yet a channel", s.Name)
			}
			continue
		}
		if !there {
			t.Errorf("%s is no channel", s.Name)
			continue
		}
		c := document.Channels[id]
		var words []string
		for _, word := range c.Bindings.Kafka.TopicConfiguration["cleanup.policy"].([]any) {
			words = append(words, word.(string))
		}
		if policy := strings.Join(words, ","); policy != s.Configs["cleanup.policy"] || c.Bindings.Kafka.Partitions != int(s.Partitions) {
			t.Errorf("%s: %v with %d partitions", s.Name, policy, c.Bindings.Kafka.Partitions)
		}
		operations := 0
		for _, o := range document.Operations {
			if o.Channel["$ref"] == "#/channels/"+id {
				operations++
				if len(o.Messages) != len(c.Messages) {
					t.Errorf("%s: the operation has %d messages, the channel %d", s.Name, len(o.Messages), len(c.Messages))
				}
			}
		}
		if operations != 1 {
			t.Errorf("%s has %d operations", s.Name, operations)
		}
		for m := range c.Messages {
			if document.Components.Messages[m] == nil {
				t.Errorf("%s: message %s is nowhere", s.Name, m)
			}
		}
	}
}

func TestTheCommittedDocumentIsFresh(t *testing.T) {
	want, err := os.ReadFile("../../docs/asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	l := layout
	l.CommandRetention, l.TombstoneLifetime = 0, 0
	if err := Write(&b, names, l); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Error("docs/asyncapi.yaml is out of date: make docs")
	}
}

// What is written as JSON must be what the derived schema says: no field that
// it does not have, every field that it requires, of the type that it names.
func TestRecordsKeepToTheirJSONSchema(t *testing.T) {
	value := attribution.Value(`{"a":[1]}`)
	row := attribution.Row{Returns: true, Value: value, State: attribution.Stable, Confidence: 1, Count: 3}
	for c, records := range map[schemas.Contract][][]byte{
		schemas.ObservationContract: {[]byte(`{"id":"i","attacker_uuid":"a","primitive":"p.q","value":[1],"confidence":0.5,` +
			`"window_start_ts":1,"window_end_ts":2,"source":"s","evidence_ref":"e","envelope_v":1,"ts":2,"identity_ref":null}`)},
		schemas.IdentityEventContract: {
			schemas.AppendIdentityEvent(nil, &attribution.IdentityEvent{Type: attribution.Formed, Identity: "i", Attackers: []string{"a"}}),
			schemas.AppendIdentityEvent(nil, &attribution.IdentityEvent{Type: attribution.Linked, Identity: "i", Attackers: []string{"a"}}),
			schemas.AppendIdentityEvent(nil, &attribution.IdentityEvent{Type: attribution.Merged, Identity: "i", Loser: "l"}),
		},
		schemas.TransitionContract: {
			schemas.AppendTransitionJSON(nil, &attribution.Transition{EventID: "e", Identity: "i", Primitive: "p.q", IsNew: true, Value: value, Previous: value}),
			schemas.AppendTransitionJSON(nil, &attribution.Transition{EventID: "e", Identity: "i", Primitive: "p.q", Value: value}),
		},
		schemas.SuspicionContract: {
			schemas.AppendSuspicionJSON(nil, &attribution.Suspicion{EventID: "e", Identity: "i", Primitives: []string{"p.q"}}),
			schemas.AppendSuspicionJSON(nil, &attribution.Suspicion{
				EventID: "e", Identity: "i", Primitives: []string{"p.q"}, Status: attribution.SuspicionRaised, ID: "s", Groups: []string{"p"},
				Reasons: []attribution.Reason{{Primitive: "p.q", Kind: attribution.ReasonReturns, Group: "p", Values: []attribution.Value{value}, New: true}},
			}),
		},
		schemas.AttackerProfileContract: {schemas.AppendProfileJSON(nil, &schemas.Profile{Attacker: "a", Stub: "i", Address: "192.0.2.1", Kind: schemas.AddressIP, Sensor: "s"})},
		schemas.IdentityContract: {
			schemas.AppendMembershipJSON(nil, &attribution.Membership{Identity: "i", LastEvent: attribution.Merged, MergedInto: "j"}),
			schemas.AppendMembershipJSON(nil, &attribution.Membership{Identity: "i", Attackers: []string{"a"}, Total: 1}),
		},
		schemas.IdentityChangeContract: {
			schemas.AppendIdentityChangeJSON(nil, &attribution.IdentityChange{EventID: "e", Type: attribution.Merged, Identity: "i", Other: "j", Attackers: []string{"a"}, Moved: 1}),
			schemas.AppendIdentityChangeJSON(nil, &attribution.IdentityChange{EventID: "e", Type: attribution.Formed, Identity: "i"}),
		},
		schemas.StateRowContract:  {schemas.AppendStateRowJSON(nil, &schemas.StateRow{Identity: "i", Primitive: "p.q", Row: row})},
		schemas.HeartbeatContract: {schemas.AppendHeartbeat(nil, &schemas.Heartbeat{Worker: "w"})},
	} {
		schema, err := jsonSchema(c)
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		for _, record := range records {
			if err := keepsTo(t, schema, record); err != "" {
				t.Errorf("%v: %s: %s", c, record, err)
			}
		}
	}
}

func keepsTo(t *testing.T, schema object, record []byte) string {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(record, &fields); err != nil {
		t.Fatal(err)
	}
	parts := schema.ToMap()
	properties := parts["properties"].(object).ToMap()
	required, _ := parts["required"].([]string)
	for _, name := range required {
		if _, there := fields[name]; !there {
			return name + " is required and missing"
		}
	}
	for name, v := range fields {
		property, known := properties[name].(object)
		if !known {
			return name + " is not in the schema"
		}
		var types []string
		switch allowed := property.ToMap()["type"].(type) {
		case string:
			types = []string{allowed}
		case []string:
			types = allowed
		case nil:
			continue // any
		}
		is := map[bool]string{true: "null"}[v == nil]
		switch v.(type) {
		case string:
			is = "string"
		case float64:
			is = "number"
			if slices.Contains(types, "integer") {
				is = "integer"
			}
		case bool:
			is = "boolean"
		case []any:
			is = "array"
		case map[string]any:
			is = "object"
		}
		if !slices.Contains(types, is) {
			return name + " is a " + is
		}
	}
	return ""
}
