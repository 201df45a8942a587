// Package load makes observations as a fleet of honeypots would see them, the
// same ones for the same seed: attackers, a few of whom do most of the work,
// sessions that yield a number of primitives each, values that mostly stay what
// they were and now and then change, attackers that a clusterer has linked, and
// records that a sensor with another partitioner has put into the wrong
// partition.
//
// It writes JSON or Avro, and knows nothing of brokers.
package load
