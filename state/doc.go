// Package state keeps what the tasks of one process know: one Pebble database,
// shared by all of them, in which every task has a share of its own.
//
// [Open] gives the [Store], and [Store.Partition] a task's share of it. A task
// works in a [Txn]: changes in memory over what is committed, which reads its
// own writes, can undo one bad record ([Txn.RollbackToSavepoint]), lists what it
// changed for the changelog ([Txn.Changes]) and is written together with the
// changelog offset it stands for, in one batch ([Txn.Commit]). One that holds
// ([Partition.WriteBack]) keeps its commits in memory for some seconds, so that they
// reach the database in larger pieces and what is used often is not read from it. A
// goroutine of its own writes them, while the transaction works on.
// Restores and standbys write the changelog's records straight to the share
// ([Partition.Restore]); queries read a [Snapshot].
//
// No write waits for the disk, and what is held is on no disk at all: the
// changelog is the durability. After a crash of the process or the machine a
// share comes back as it was at some earlier commit, with the checkpoint of that
// very commit, and the missing tail of the changelog brings it up to date.
//
// The package knows nothing of attribution: keys and values are bytes, and
// their meaning is the business of package engine. Nor does it know Kafka: a
// checkpoint is an offset and a name that the caller compares, and who may
// write to a share, and when, is for package processor to say.
package state
