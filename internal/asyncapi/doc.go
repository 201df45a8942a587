// Package asyncapi describes an application's public topics as an AsyncAPI 3
// document: channels, operations, messages with their keys and headers, and the
// payloads as Avro schemas and as JSON Schema, which is derived from them. What
// the records mean is docs/attribution.md's; which topics there are is package
// topology's, and their schemas are package schemas'.
package asyncapi
