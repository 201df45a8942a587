// Package schemas turns bytes into domain types and back: observations,
// identity events, transitions, suspicions, state rows, the headers of dead
// letters, and the messages of the health and control topics
// (docs/attribution.md, "Observation envelope", "Identities", "Output events",
// "State row", "Topics").
//
// Decoders hold records to the letter of that page and answer a record that
// breaks it with a Bad, whose reason goes to the dead-letter topic as it is.
// What a decoder cannot know is not checked here: whether a value fits the
// kind of its primitive is for the registry in package attribution, whether a
// merge makes a circle for whoever owns the identities.
//
// A record is JSON or Avro, which its first byte tells (wire.go), and both are
// held to the same rules by the same code. A Format writes either; Writers has
// the schemas by which Avro was written, and never waits for one: that is package
// registry's. The schemas are in avsc/, one for each Contract (docs/schemas.md).
//
// Encoders write canonical numbers and strings (package canonical) in a fixed
// order of fields, so that the same thing is always the same bytes.
package schemas
