// Command fastavro checks handprint's Avro against fastavro, which is somebody
// else's: every record that handprint writes is decoded by its schema from a real
// registry and encoded again, byte for byte equal; and what handprint makes of
// observations and identity events that fastavro wrote is what it makes of the
// same in JSON.
//
// It needs a Kafka and a registry (package services) and a Python that has fastavro.
package main
