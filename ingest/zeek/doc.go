// Package zeek makes observations of Zeek's logs: ssh, ssl, conn and http, as
// tab-separated text with its headers or as JSON (docs/sensors.md).
//
// Whose rows count, and what a row shows, is in package network.
package zeek
