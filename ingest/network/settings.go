package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"handprint/attribution"
	"handprint/ingest/internal/param"
)

// Settings say whose connections count, and what is sent of them. The zero value
// of Numbers stands for DefaultNumbers.
type Settings struct {
	Numbers
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
	if err := s.numbers().Validate(); err != nil {
		return err
	}
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

// Numbers are those of docs/sensors.md, "Rules by primitive". Params names each,
// with its default, its range and what it decides.
type Numbers struct {
	SSHConfidence      float64
	TLSConfidence      float64
	AgentConfidence    float64
	DialectConfidence  float64
	DurationConfidence float64

	BannerBytes int

	DurationShort  time.Duration
	DurationMedium time.Duration
	DurationLong   time.Duration

	Repeats int
	Hint    int
}

// DefaultNumbers returns the numbers of docs/sensors.md.
func DefaultNumbers() Numbers {
	var n Numbers
	for _, p := range n.Params() {
		p.Reset()
	}
	return n
}

// numbers returns the numbers, the defaults if none were given.
func (s *Settings) numbers() *Numbers {
	if s.Numbers == (Numbers{}) {
		s.Numbers = DefaultNumbers()
	}
	return &s.Numbers
}

// Param is one number of the settings: its declaration, and the way to it.
type Param = param.Param

// Params returns every number of n. Setting one changes n.
func (n *Numbers) Params() []Param {
	const maxDuration, many = 100 * 365 * 24 * time.Hour, 10_000_000
	return []Param{
		param.Confidences("ssh-confidence", &n.SSHConfidence, 0.95, "confidence of what an SSH client shows of itself: HASSH, banner, order of key exchange algorithms"),
		param.Confidences("tls-confidence", &n.TLSConfidence, 0.90, "confidence of what a TLS client shows of itself: JA3, JA4"),
		param.Confidences("agent-confidence", &n.AgentConfidence, 0.60, "confidence of toolchain.http.user_agent_tool_class, which is what the client says of itself"),
		param.Confidences("dialect-confidence", &n.DialectConfidence, 0.50, "confidence of toolchain.protocol_abuse.smb_dialect, in which the server has a say"),
		param.Confidences("duration-confidence", &n.DurationConfidence, 0.70, "confidence of temporal.session_duration"),
		param.Counts("banner-bytes", &n.BannerBytes, 255, 4, 1<<16, "bytes of UTF-8 that are kept of a client banner"),
		param.Durations("duration-short", &n.DurationShort, 60*time.Second, 0, maxDuration, "an SSH connection shorter than this is short"),
		param.Durations("duration-medium", &n.DurationMedium, 600*time.Second, 0, maxDuration, "an SSH connection shorter than this is medium"),
		param.Durations("duration-long", &n.DurationLong, 3600*time.Second, 0, maxDuration, "an SSH connection shorter than this is long, any other a marathon"),
		param.Counts("repeats", &n.Repeats, 100_000, 1, many, "fewest observations that are remembered, so as not to send the same of a connection again; each takes up to about 40 bytes"),
		param.Counts("hint-after", &n.Hint, 1000, 1, many, "rows of a kind after which is said which field none of them has"),
	}
}

// Validate returns an error that names the first number outside its range, or
// the first two that are the wrong way round.
func (n *Numbers) Validate() error {
	for _, p := range n.Params() {
		if err := p.Check(); err != nil {
			return fmt.Errorf("setting %s: %w", p.Name, err)
		}
	}
	if n.DurationShort > n.DurationMedium {
		return errors.New("settings duration-short and duration-medium are the wrong way round")
	}
	if n.DurationMedium > n.DurationLong {
		return errors.New("settings duration-medium and duration-long are the wrong way round")
	}
	return nil
}
