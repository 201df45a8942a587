package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"handprint/attribution"
)

// Settings say whose connections count, and what is sent of them.
type Settings struct {
	// Sensor is the sensor's name; empty: what a row says of itself.
	Sensor string
	// LocalNets are the networks that the sensor watches over: at least one. A
	// row counts if its responder is in one of them and its originator in none.
	LocalNets []netip.Prefix
	// IncludeLocal lets originators in the local networks count too.
	IncludeLocal bool
	// Primitives are the primitives to send; none: all that the sensor supports.
	Primitives []string
	// Path names what the rows of a Zeek log are (ssh, ssl, conn, http) where
	// they and their file's name do not say.
	Path string

	// MaxAhead is how far a row's time may lie ahead of the clock. 0: any time
	// is taken.
	MaxAhead time.Duration
	// Now is the clock; nil: the machine's.
	Now func() time.Time

	// Missing, if set, is told which field the rows of a kind do not have, and
	// what makes the sensor log it, once for each kind.
	Missing func(text string)
}

// Validate returns an error that says what to change.
func (s *Settings) Validate() error {
	if len(s.LocalNets) == 0 {
		return errors.New("no local network: give --local-net for each network that the sensor watches, such as --local-net 192.0.2.0/24")
	}
	for _, p := range s.Primitives {
		if !slices.ContainsFunc(primitives[:], func(known string) bool { return known == p }) {
			return fmt.Errorf("%q is no primitive of a network sensor", p)
		}
	}
	return nil
}

func (s *Settings) local(addr netip.Addr) bool {
	for _, p := range s.LocalNets {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// ahead returns why a row's time is refused, empty if it will do.
func (s *Settings) ahead(micros int64) string {
	if s.MaxAhead == 0 {
		return ""
	}
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	return attribution.Ahead(float64(micros)/1e6, float64(now().UnixMicro())/1e6, s.MaxAhead)
}

// The primitives that network sensors support.
const (
	HASSH    = "toolchain.ssh.hassh_client"
	Banner   = "toolchain.ssh.ssh_client_banner"
	KexOrder = "toolchain.ssh.kex_algorithm_order"
	JA3      = "toolchain.tls.ja3_client"
	JA4      = "toolchain.tls.ja4_client"
	Agent    = "toolchain.http.user_agent_tool_class"
	Dialect  = "toolchain.protocol_abuse.smb_dialect"
	Duration = "temporal.session_duration"
)

var primitives = [...]string{HASSH, Banner, KexOrder, JA3, JA4, Agent, Dialect, Duration}

// The numbers of docs/sensors.md, "Rules by primitive".
const (
	sshConfidence      = 0.95
	tlsConfidence      = 0.90
	agentConfidence    = 0.60
	dialectConfidence  = 0.50
	durationConfidence = 0.70

	bannerBytes = 255

	shortBelow  = 60 * time.Second
	mediumBelow = 600 * time.Second
	longBelow   = 3600 * time.Second

	repeatsKnown = 100_000
	missingAfter = 1000
)
