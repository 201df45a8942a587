// Command bench measures handprint against the limit that the client library
// sets: a bare copy in transactions of the same observations.
//
// The broker and each contender run in a process of their own, so that CPU time
// and memory can be told apart; the broker is the embedded one, or one named by
// -brokers. A contender drains a backlog of observations that is there before it
// starts. After that handprint is held at a fixed rate, and the time from an
// observation's being sent to its transition's being readable is taken.
//
//	main.go       flags, and what is run in which order
//	broker.go     the broker's process, topics, the backlog
//	contender.go  a contender's process and what it reports
//	handprint.go  the contender handprint
//	copying.go    the contender that copies, 1 record for each or as many and as
//	              large ones as handprint wrote
//	latency.go    the fixed rate
//	usage*.go     what processes use
//
// Absolute figures depend on the machine and on what else it does; the ratios
// of one run do so much less. Nothing here fails because something is slow. The
// load itself is package bench/load's; benchmarks of single functions stand
// beside the functions.
package main
