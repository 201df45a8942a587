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
// What a task does with a record:
//
//	engine.go       Engine, its configuration, and which part takes a record
//	observe.go      an observation, from its attacker's home to its identity's
//	publish.go      a row is concluded anew: state row, transition, flags
//	sweep.go        the multi-actor sweep, when a tick is read
//	retention.go    when an identity is forgotten
//	lastdays.go     the index of last days: when to look whether it is
//	look.go         a tick looks at the rows of the stubs whose day is over
//	forget.go       how an identity is forgotten, in steps
//	suspicion.go    the sweep under the rule evidence
//	replay.go       the ticks of a replay, in the time of the observations
//	coordinator.go  task 0: identity events
//	schedule.go     task 0: which identity events may run at the same time
//	link.go         the home of an attacker: whose it is
//	move.go         contributions leave one identity and come to another
//	settle.go       the end of an identity event: rows are compared once
//
// What it keeps in memory, all of it made again from the store:
//
//	due.go          identities that the next sweep has to look at
//	stubcache.go    attackers that are their own identity, and their rows
//	union.go        the merged series of rows with many attackers
//	catalog.go      what the registry says of a primitive
//	counters.go     what the metrics count
//
// How it is stored and sent:
//
//	storage.go      reading and writing the records of the store
//	keys.go         the keys
//	codec.go, recordcodec.go, rowcodec.go, seriescodec.go, valuecodec.go
//	                the values, byte by byte
//	recordversion.go, recordversion_next.go
//	                the version that rows and contributions are written in
//	command.go, commandcodec.go
//	                what tasks send each other
//
// Reading from outside:
//
//	query.go        an identity, and whose an attacker is
//	inspect.go      one record of the store
//	shown.go        the records of the state topic
//	view.go         bytes as text without a copy
//
// It knows nothing of Kafka clients, transactions or Pebble: it sees a Store
// and an Outbox. The conclusions themselves are package attribution's.
package engine
