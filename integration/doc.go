// Package integration holds the tests that need a real Kafka cluster: each
// injects one kind of fault into an application under load, and ends when the
// application is at rest and an audit of everything, stores included, finds no
// difference. They have the build tag integration; make integration runs them.
// docs/testing.md lists them.
//
// The packages below it are what the tests are made of. Random mixtures of the
// same faults are the program chaos.
package integration
