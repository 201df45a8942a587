// Package pipeline fills the topics of a handprint application on a real Kafka,
// for checks that look at them from outside: the built program reads the lab's
// Cowrie log, identity events merge and part identities so that rows are
// deleted, odd values and bad records come by, and transactions of somebody
// else are aborted in between. What is compared with what is not here.
package pipeline
