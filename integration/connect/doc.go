// Command connect checks that Kafka Connect takes handprint's topics as they
// are: a real worker, standalone, copies the output and state topics to files,
// as JSON and as Avro through a registry, and the files are compared with the
// topics record by record. A consumer that upserts by key (package upsert)
// follows the state topic, and its table is compared with `handprint rows`.
//
// It needs Java and Maven, and a Kafka: package cluster says how one is found.
// A registry is found by package registry. Everything it starts it ends.
package main
