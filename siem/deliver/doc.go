// Package deliver brings events to the systems that a SOC has: Elasticsearch and
// OpenSearch, Splunk, syslog, webhooks, files, a MISP feed, TAXII (docs/siem.md,
// "Delivery").
//
// One Loop serves all of them: it reads committed records, makes events, sends
// them in batches, and has each item judged as done, had, again or never. Offsets
// are committed behind what is done, and nothing else. What differs between
// systems is a Receiver.
//
// What an event looks like in a format is not known here: that is package siem.
package deliver
