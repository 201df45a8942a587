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
// All records are JSON. Encoders write canonical numbers and strings (package
// canonical) in a fixed order of fields, so that the same thing is always the
// same bytes.
package schemas
