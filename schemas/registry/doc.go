// Package registry asks a schema registry, over the API that Confluent's has and
// others share: which ids our schemas have, and which schema an id stands for.
// What the schemas are is package schemas', how records are read by them too.
//
// What the registry has said is kept for good: ids never change their meaning.
// So a registry that is down or slow holds up only what nobody has asked yet:
// a start, which needs the ids of the schemas to write by, and the first record
// of a schema that is new to this process. Both wait and ask again; no record is
// dropped because a registry did not answer. A record is bad only if the
// registry itself says that it has no such schema.
package registry
