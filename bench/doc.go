// Command bench measures handprint against others who do the same job, and
// against the limit that the client library sets: a bare copy in transactions of
// the same observations.
//
// The broker and each contender run in a process of their own, one contender at
// a time, so that CPU time and memory can be told apart. All contenders read the
// same backlog, each with topics of its own for what it writes, and all are
// measured from outside: throughput by what is readable read committed, CPU and
// memory by what the kernel says of the process. What they wrote is read back
// and compared. Then each is held at a fixed rate, and the time from an
// observation's being due to its transition's being readable is taken. Last,
// the contenders with state are restarted.
//
//	main.go       flags, and what is run in which order
//	broker.go     the broker's process, topics, the backlog
//	kafka.go      a real broker in Java
//	contender.go  who the contenders are, and their processes
//	peers.go      how the peers in bench/peers are built and started
//	child.go      contenders that are this program itself
//	handprint.go  the contenders handprint and handprint-avro
//	avro.go       the schema registry and the Avro side of input and output
//	copying.go    the contenders that copy
//	drain.go      a backlog, worked off
//	audit.go      what was written, read back and compared
//	latency.go    the fixed rate
//	restart.go    restarts
//	flood.go      a flood of one partition while latency is measured
//	limit.go      a bound on each contender's memory
//	table.go      the table
//
// Absolute figures depend on the machine and on what else it does; the ratios
// of one run do so much less. Nothing here fails because something is slow. The
// load itself is package internal/load's; bench/scale runs this command at growing
// sizes, bench/series with several loads and rates; benchmarks of single functions stand beside the functions.
package main
