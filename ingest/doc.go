// Package ingest turns what sensors write into observations on a topic.
//
// It holds what every sensor has in common: the observation as a producer
// writes it ([Observation]), inputs (plain and gzipped files, standard input, a
// Kafka topic), lines of bounded length ([Lines]), the progress display
// ([Progress]), and the sending of observations and dead letters to Kafka
// ([Producer]). A sensor's own knowledge is in a package of its own: package
// cowrie reads Cowrie's log, package behave passes observations through that
// are made already.
//
// An input goes through as
//
//	files, stdin  -> Open  -> Lines -> Adapter -> Producer -> attacker.observation
//	Kafka topic   -> Topic ----------^                    \-> attribution.dead-letter
//
// Every line ends as taken, ignored and counted, or a dead letter. What the
// pipeline then does with an observation is not here.
package ingest
