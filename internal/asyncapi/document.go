package asyncapi

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"handprint/internal/broker"
	"handprint/schemas"
	"handprint/topology"
)

type object = yaml.MapSlice

func member(name string, value any) yaml.MapItem { return yaml.MapItem{Key: name, Value: value} }

func ref(path string) object { return object{member("$ref", path)} }

const description = `What other software reads from handprint and writes to it. docs/attribution.md of
handprint defines what the records mean, docs/connectors.md how sinks take them.

Operations are handprint's: it receives from the topics that it reads and sends
to the topics that it writes. What it writes it writes in transactions: read it with
isolation level read_committed. Values are JSON, or Avro in the wire format of
Confluent's registry (a zero byte, the schema's id in 4 bytes, the record); both
are read on every input, told apart by the first byte, and a setting says which
is written. Keys are text. Names of topics are settings. Two further topics, the
commands and the changelog of the store, are handprint's own and no contract.
`

// Write writes the document of an application with these topics, as YAML.
func Write(w io.Writer, names topology.Names, layout topology.Layout) error {
	specs := make(map[string]broker.TopicSpec)
	for _, s := range names.Specs(layout) {
		specs[s.Name] = s
	}
	var channels, operations, messages object
	for _, c := range channelsOf(names) {
		channel, operation, err := c.describe(specs[c.topic])
		if err != nil {
			return err
		}
		channels = append(channels, member(c.id, channel))
		operations = append(operations, operation)
		for _, m := range c.messages {
			if slices.ContainsFunc(messages, func(item yaml.MapItem) bool { return item.Key == m.id }) {
				continue
			}
			described, err := m.describe()
			if err != nil {
				return fmt.Errorf("message %s: %w", m.id, err)
			}
			messages = append(messages, member(m.id, described))
		}
	}
	document := object{
		member("asyncapi", "3.0.0"),
		member("info", object{
			member("title", "handprint"),
			member("version", strconv.Itoa(1)),
			member("description", description),
			member("license", object{member("name", "Apache-2.0")}),
		}),
		member("defaultContentType", "application/json"),
		member("channels", channels),
		member("operations", operations),
		member("components", object{member("messages", messages)}),
	}
	text, err := yaml.MarshalWithOptions(document, yaml.UseLiteralStyleIfMultiline(true), yaml.IndentSequence(true))
	if err != nil {
		return fmt.Errorf("writing the AsyncAPI document: %w", err)
	}
	_, err = w.Write(append([]byte("# Generated from the code by `make docs`.\n"), text...))
	return err
}

// channel is a topic.
type channel struct {
	id, topic   string
	action      string // receive or send, as handprint does
	operation   string
	description string
	messages    []message
}

func channelsOf(n topology.Names) []channel {
	return []channel{
		{"observations", n.Observations, "receive", "takeObservation", "Observations, from sensors. The default partitioner decides the partition by the key; another one costs a hop. A record that cannot be used becomes a dead letter.",
			both("observation", "attacker_uuid", nil, schemas.ObservationContract)},
		{"identityEvents", n.IdentityEvents, "receive", "takeIdentityEvent", "Who is who, from a clusterer. One partition: the events are totally ordered.",
			both("identityEvent", "The identity's id, the winner's for merges. handprint does not look at it.", typeHeader(), schemas.IdentityEventContract)},
		{"stateChanged", n.StateChanged, "send", "sendTransition", "Transitions: a row is new, or its state has changed.",
			both("transition", "identity_uuid", nil, schemas.TransitionContract)},
		{"multiActorSuspected", n.MultiActorSuspects, "send", "sendSuspicion", "Suspicions: several actors may share an identity.",
			both("suspicion", "identity_uuid", nil, schemas.SuspicionContract)},
		{"state", n.State, "send", "sendRow", "The table of what is concluded now. A record replaces the row of its key, one without a value deletes it.",
			append(both("stateRow", rowKey, nil, schemas.StateRowContract), message{id: "stateRowTombstone", title: "Deletion of a state row", key: rowKey, kind: tombstone})},
		{"identityChanged", n.IdentityChanged, "send", "sendIdentityChange", "An identity event is over: what it named and what it moved.",
			both("identityChange", "identity_uuid", nil, schemas.IdentityChangeContract)},
		{"identities", n.Identities, "send", "sendIdentity", "The table of who belongs to an identity now, and of what it is merged into. None is deleted.",
			both("identity", "identity_uuid", nil, schemas.IdentityContract)},
		{"attackerProfiles", n.Profiles, "send", "sendProfile", "Under which address a sensor's adapter knows an attacker. Records that nothing has followed for the retention are deleted.",
			append(both("attackerProfile", profileKey, nil, schemas.AttackerProfileContract), message{id: "attackerProfileTombstone", title: "Deletion of an address", key: profileKey, kind: tombstone})},
		{"deadLetters", n.DeadLetter, "send", "sendDeadLetter", "Records and lines that cannot be used, as they were, with the reason in headers behind the original's own.",
			[]message{
				{id: "deadLetterOriginal", title: "Dead letter, the original's bytes; of a sensor's line none", key: originalKey, headers: deadLetterHeaders(), kind: opaque},
				{id: "deadLetterAvro", title: "Dead letter (Avro)", key: originalKey, headers: deadLetterHeaders(), kind: inAvro, contract: schemas.DeadLetterContract},
			}},
		{"health", n.Health, "send", "sendHeartbeat", "Heartbeats of the workers.",
			both("heartbeat", "", nil, schemas.HeartbeatContract)},
		{"control", n.Control, "receive", "takeControl", "A message that stops every worker cleanly. Anything else is logged and ignored.",
			[]message{{id: "stop", title: "Stop", kind: control}}},
	}
}

const (
	rowKey      = "identity_uuid, a slash, primitive. No primitive has a slash; an identity may: split at the last one."
	profileKey  = "attacker_uuid, a slash, sensor. Split at the first slash."
	originalKey = "The original's."
)

// both are the two forms of a record with a contract.
func both(id, key string, headers object, c schemas.Contract) []message {
	return []message{
		{id: id + "Json", title: c.RecordName() + " (JSON)", key: key, headers: headers, kind: inJSON, contract: c},
		{id: id + "Avro", title: c.RecordName() + " (Avro)", key: key, headers: headers, kind: inAvro, contract: c},
	}
}

// describe returns the channel and its operation.
func (c *channel) describe(spec broker.TopicSpec) (object, yaml.MapItem, error) {
	if spec.Name == "" {
		return nil, yaml.MapItem{}, fmt.Errorf("channel %s: %s is no topic of the application", c.id, c.topic)
	}
	var there, sent object
	var list []object
	for _, m := range c.messages {
		there = append(there, member(m.id, ref("#/components/messages/"+m.id)))
		list = append(list, ref("#/channels/"+c.id+"/messages/"+m.id))
	}
	config := object{member("cleanup.policy", strings.Split(spec.Configs["cleanup.policy"], ","))}
	for _, name := range []string{"retention.ms", "delete.retention.ms", "max.message.bytes"} {
		if text, set := spec.Configs[name]; set {
			n, err := strconv.Atoi(text)
			if err != nil {
				return nil, yaml.MapItem{}, fmt.Errorf("topic %s: %s: %w", c.topic, name, err)
			}
			config = append(config, member(name, n))
		}
	}
	binding := object{member("topic", spec.Name), member("partitions", int(spec.Partitions))}
	if spec.ReplicationFactor > 0 {
		binding = append(binding, member("replicas", int(spec.ReplicationFactor)))
	}
	binding = append(binding, member("topicConfiguration", config), member("bindingVersion", bindingVersion))
	sent = object{
		member("action", c.action),
		member("channel", ref("#/channels/"+c.id)),
		member("summary", c.description),
		member("messages", list),
	}
	return object{
		member("address", c.topic),
		member("description", c.description),
		member("messages", there),
		member("bindings", object{member("kafka", binding)}),
	}, member(c.operation, sent), nil
}
