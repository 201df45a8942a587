package asyncapi

import (
	"fmt"

	"github.com/goccy/go-yaml"

	"handprint/schemas"
)

// bindingVersion is that of AsyncAPI's Kafka bindings.
const bindingVersion = "0.5.0"

// kind is what a message's payload is.
type kind int

const (
	inJSON    kind = iota // a record of a contract
	inAvro                // the same, by its Avro schema
	tombstone             // no value
	opaque                // any bytes
	control               // what stops the workers
)

// message is one form of a topic's records.
type message struct {
	id, title string
	key       string // what it is; empty: there is none
	headers   object
	kind      kind
	contract  schemas.Contract // of inJSON and inAvro
}

func (m *message) describe() (object, error) {
	o := object{member("name", m.id), member("title", m.title)}
	binding := object{}
	if m.key != "" {
		binding = append(binding, member("key", object{member("type", "string"), member("description", m.key)}))
	}
	var payload object
	switch m.kind {
	case inJSON:
		schema, err := jsonSchema(m.contract)
		if err != nil {
			return nil, err
		}
		payload = schema
		o = append(o, member("contentType", "application/json"))
	case inAvro:
		var schema object
		if err := yaml.UnmarshalWithOptions([]byte(m.contract.Schema()), &schema, yaml.UseOrderedMap()); err != nil {
			return nil, fmt.Errorf("its Avro schema: %w", err)
		}
		payload = object{member("schemaFormat", "application/vnd.apache.avro;version=1.9.0"), member("schema", schema)}
		o = append(o, member("contentType", "application/vnd.apache.avro"))
		binding = append(binding, member("schemaIdLocation", "payload"), member("schemaIdPayloadEncoding", "confluent"))
	case tombstone:
		payload = object{member("type", "null")}
		o = append(o, member("summary", "The record has no value."))
	case opaque:
		payload = object{member("description", "The original's value, byte for byte; none if it had none.")}
		o = append(o, member("contentType", "application/octet-stream"))
	case control:
		payload = object{member("type", "object"), member("required", []string{"action"}), member("properties", object{
			member("action", object{member("const", "stop")}),
			member("requested_by", object{member("description", "Who asks, for the log. Any JSON value.")}),
		})}
		o = append(o, member("contentType", "application/json"))
	}
	if m.headers != nil {
		o = append(o, member("headers", m.headers))
	}
	o = append(o, member("payload", payload))
	return append(o, member("bindings", object{member("kafka", append(binding, member("bindingVersion", bindingVersion)))})), nil
}

func typeHeader() object {
	return object{member("type", "object"), member("properties", object{
		member(schemas.TypeHeader, object{
			member("type", "string"),
			member("enum", schemas.EventTypes()),
			member("description", "Names the type in place of the field type, or as the field does."),
		}),
	})}
}

// deadLetterHeaders describes the headers of dead letters. All are text;
// numbers are decimal.
func deadLetterHeaders() object {
	var all object
	for _, h := range [][2]string{
		{schemas.HeaderReason, "Why, in one sentence for people."},
		{schemas.HeaderStage, "Where it was found bad."},
		{schemas.HeaderSourceTopic, "Topic of the original record."},
		{schemas.HeaderSourcePartition, "Partition of the original record."},
		{schemas.HeaderSourceOffset, "Offset of the original record."},
		{schemas.HeaderSourceTimestamp, "Timestamp of the original record, Unix milliseconds."},
		{schemas.HeaderOriginalSize, "Bytes of the original's value, where the dead letter holds only its beginning."},
		{schemas.HeaderFile, "File of a sensor's line."},
		{schemas.HeaderLine, "Number of the line in its file, from 1."},
		{schemas.HeaderLength, "Bytes of the line, where the dead letter does not hold all of it."},
		{schemas.HeaderDigest, "SHA-256 of a sensor's line, which may hold credentials: the dead letter has no original, its value is empty or shows what may be told."},
	} {
		all = append(all, member(h[0], object{member("type", "string"), member("description", h[1])}))
	}
	return object{member("type", "object"), member("required", []string{schemas.HeaderReason, schemas.HeaderStage}), member("properties", all)}
}
