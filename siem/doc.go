// Package siem turns output records of handprint into the formats that security
// systems read: OCSF, ECS, CEF, LEEF, STIX and MISP (docs/siem.md).
//
// The package is pure: an event in, bytes out. The same event gives the same
// bytes, ids included. Decode makes an Event of a record, a Formatter makes a
// line of an Event, and Bundle and MISP collect events into documents.
//
// Reading topics, writing files and delivering to receivers are not in here:
// that is package siem/deliver and the command line.
//
// Nothing in here names a person, an organisation or a threat actor, and no
// field that means one is ever filled.
package siem
