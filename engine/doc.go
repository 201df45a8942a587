// Package engine is what one task does with one record: it takes observations
// into the rows of their identities, follows identity events, and sweeps.
//
// A task p of N owns the attackers and the identities that hash to p, and
// nothing else. Engine.Process is given the records of p's input partitions in
// order and works on the task's own part of the store; what concerns another
// task it sends there as a command. There is no other way between tasks, no
// lock and no shared state, so an Engine can be driven by the runtime, by a
// test, or by a simulation that delivers commands in any order Kafka allows.
//
// The parts of it:
//
//	observe.go      an observation, from its attacker's home to its identity's
//	publish.go      a row is concluded anew: state row, transition, suspects
//	sweep.go        the multi-actor sweep, when a tick is read
//	coordinator.go  task 0: identity events, one after the other
//	link.go         the home of an attacker: whose it is
//	move.go         contributions leave one identity and come to another
//	settle.go       the end of an identity event: rows are compared once
//	keys.go, *codec.go, command.go   what is stored and said, byte by byte
//	query.go        reading a task's rows and identities
//
// It knows nothing of Kafka clients, transactions or Pebble: it sees a Store
// and an Outbox. The conclusions themselves are package attribution's.
package engine
