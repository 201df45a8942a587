// Package processor is a stream processor on Kafka: it reads co-partitioned
// topics, keeps state in a local store, and writes its outputs, the changes of
// its state and the offsets it has read in one Kafka transaction. It knows
// nothing of what it processes: that is in the [Handler] it is given.
//
// There is one kind of task. Of N tasks, task p owns partition p of every
// input topic and of the commands topic (through which tasks write to each
// other), of the changelog and of the local store; task 0 owns the topics of
// one partition besides. Nothing is shared between tasks.
//
// A process runs one [Processor]. It has a fixed number of workers, each a
// goroutine with its own transactional client and its own membership of the
// consumer group; the group gives the tasks to the workers of all processes. A
// worker repeats the same steps, which batch.go has one by one:
//
//	poll     take what has arrived for the tasks that run
//	process  give it to the handlers, which write to an overlay of the store
//	produce  send outputs, commands and one changelog record per changed key
//	commit   end the transaction with the offsets that were read
//	apply    write the overlay and the changelog offset reached to the store
//
// So the store is always a prefix of the committed changelog. Whatever goes
// wrong before apply, and whenever the outcome of a commit is not known, the
// worker does what it would do after a crash: it drops the overlay, closes its
// client, joins again with a new producer epoch and restores each task from
// the checkpoint in the store (restore.go).
//
// Copies of tasks that are active in other processes are kept up to date apart
// from all that (standby.go). Who runs which task and who keeps which copy is
// decided by the group's leader (package assignor).
//
// Not here: the store itself (package state), creating topics and checking
// their settings (package broker).
package processor
