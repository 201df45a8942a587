// Package cluster starts a Kafka cluster of one to three real brokers for
// tests, and hurts it: kill, pause, clean stop, start again.
//
// There are three ways to have one, chosen by [Choose]: containers of an image
// (testcontainers-go), brokers as Java processes on this machine, and brokers
// that somebody else runs, which can be used but not hurt. What is put into the
// cluster, and what must come out, is not here.
package cluster
