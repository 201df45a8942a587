// Package endpoint takes rows and observations over HTTP, from sensors that
// cannot speak Kafka (docs/sensors.md, "HTTP endpoint").
//
// A request is answered only after the brokers have all that was made of it. A
// line that cannot be used is a dead letter and no error: a sender would never
// stop repeating it. Whose rows count, and what they show, is in package network.
package endpoint
