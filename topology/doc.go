// Package topology is what handprint is made of, as a page: which topics there
// are (topics.go), which task reads and writes what (wiring.go), and how the
// runtime of package processor is given the work of package engine (task.go).
//
//	attacker.observation[p] --+                        +--> attribution.profile.state_changed
//	commands[p]             --+--> task p -- store[p] --+--> attribution.profile.multi_actor_suspected
//	identity.events[0] (p=0)--+                        +--> attribution.state
//	                                                   +--> attribution.dead-letter
//	                                                   +--> commands[any]
//	                                                   +--> state-changelog[p]
//
// There are N tasks, N being the partitions of the observations, and one kind
// of task. Task p reads partition p of each co-partitioned topic, and task 0
// the identity events as well. Everything that one batch of input causes, and
// the offsets of that batch, is one Kafka transaction.
//
// What a task does with a record is package engine's; how a batch becomes a
// transaction, how tasks find owners and stores are restored, is package
// processor's.
package topology
