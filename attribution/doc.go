// Package attribution is the domain: what handprint concludes about an
// identity's behaviour from the observations of its attackers.
//
// It holds the observation and its rules, the primitive registry, the bounded
// series of one (identity, primitive, attacker), the three mergers with their
// thresholds, the state row, the transition and the suspicion, stub ids and
// partitions, and the decision of the sweep.
//
// It is pure: no I/O, no clock, no Kafka, no store. How input and output
// records are read and written is in package schemas; which task owns which
// attacker and identity, and what tasks send each other, in package engine;
// which topics there are, in package topology.
//
// The rules come from docs/attribution.md; a comment names the section where
// one is applied.
package attribution
