// Package cowrie makes observations of Cowrie's JSON event log.
//
// An [Adapter] takes the log line by line, gathers the events of each session,
// and when a session ends sends what can be told from it: facts as they are
// (a HASSH, a banner, a locale), features of the commands (which tools, in
// what order, with what tactics) and features of the gaps between them. The
// rules are those of docs/cowrie.md; a comment names the section where one is
// applied. Every number in them is a setting with that page's default
// ([Settings]).
//
// Bright line: commands, passwords, user names, keys and payload bytes are
// read in here and never leave. An observation carries a label, a count class,
// a locale tag, an algorithm list, a banner or a digest.
//
// All arithmetic on times is on whole microseconds, all comparisons with a
// threshold are exact. What is not here: reading files and topics, and sending
// to Kafka, which package ingest does.
package cowrie
