// Package network has what the adapters of network sensors have in common.
//
// A network sensor sees everybody, so a row of its log counts only if its
// connection came from outside to one of the networks that the user names
// ([Settings]). Each row stands for itself: what it shows is held to the rules
// of docs/sensors.md ([Row]) and sent as observations ([Sender]). Packages zeek
// and suricata read the rows of their logs.
package network
