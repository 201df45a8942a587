// Package suricata makes observations of Suricata's EVE log: ssh, tls, quic,
// http, smb and flow events (docs/sensors.md).
//
// Whose events count, and what one shows, is in package network.
package suricata
