package deliver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"handprint/attribution"
	"handprint/siem"
)

// Sink is one entry of a file of sinks.
type Sink struct {
	Name   string `yaml:"name"`
	Type   string `yaml:"type"`   // elasticsearch, opensearch, splunk, syslog, webhook, file, misp-feed, taxii
	Format string `yaml:"format"` // of lines; each type has a default

	Events      []string `yaml:"events"`       // event codes; each type has a default
	Primitives  []string `yaml:"primitives"`   // names with *
	States      []string `yaml:"states"`       // of transitions and rows
	MinSeverity string   `yaml:"min-severity"` // informational, low, medium, high

	URL     string `yaml:"url"`     // of web receivers; of TAXII the collection's
	Address string `yaml:"address"` // of syslog: host:port
	Network string `yaml:"network"` // of syslog: udp, tcp, tls
	Path    string `yaml:"path"`    // of files and feeds

	User         string `yaml:"user"`
	PasswordFile string `yaml:"password-file"`
	TokenFile    string `yaml:"token-file"`  // API key, HEC token or bearer token
	SecretFile   string `yaml:"secret-file"` // of a webhook's signature
	CAFile       string `yaml:"ca-file"`
	CertFile     string `yaml:"cert-file"`
	KeyFile      string `yaml:"key-file"`

	Headers map[string]string `yaml:"headers"` // of web receivers: more of them

	Rows       string        `yaml:"rows"`      // Elasticsearch: index of the rows
	Namespace  string        `yaml:"namespace"` // Elasticsearch: of the data streams
	Index      string        `yaml:"index"`     // Splunk
	SourceType string        `yaml:"source-type"`
	Acks       *bool         `yaml:"acks"` // Splunk; default true
	AckTimeout time.Duration `yaml:"ack-timeout"`
	Resend     time.Duration `yaml:"resend"`    // syslog
	MaxBytes   int64         `yaml:"max-bytes"` // file
	Keep       *int          `yaml:"keep"`      // file

	BatchRecords int           `yaml:"batch-records"`
	BatchBytes   int           `yaml:"batch-bytes"`
	Timeout      time.Duration `yaml:"timeout"`
	RetryMax     time.Duration `yaml:"retry-max"`
	BreakWait    time.Duration `yaml:"break-wait"`
}

// The types that sinks get if their entry names none: the events, and the rows
// of the table where the sink can keep one up to date.
var (
	eventsOnly = []string{"state_changed", "multi_actor_suspected", "identity_formed", "identity_linked", "identity_merged", "identity_unmerged"}
	allEvents  = append(slices.Clone(eventsOnly), "state", "state_deleted")
	feedEvents = []string{"multi_actor_suspected", "identity_merged", "identity_unmerged", "state", "state_deleted"}
)

// sinkTypes are the types, the format of each, and what it gets.
var sinkTypes = map[string]struct {
	format string
	events []string
}{
	"elasticsearch": {"ecs", allEvents}, "opensearch": {"ecs", allEvents}, "splunk": {"ocsf", eventsOnly}, "syslog": {"cef", eventsOnly},
	"webhook": {"ocsf", eventsOnly}, "file": {"ocsf", eventsOnly}, "misp-feed": {"", feedEvents}, "taxii": {"", eventsOnly},
}

var sinkName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$`)

// ReadSinks reads a file of sinks. The error is one line that says what to change.
func ReadSinks(file string) ([]Sink, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the sinks: %w", err)
	}
	var all struct {
		Sinks []Sink `yaml:"sinks"`
	}
	if err := yaml.UnmarshalWithOptions(text, &all, yaml.Strict()); err != nil {
		first, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
		return nil, fmt.Errorf("%s: %s", file, first)
	}
	if len(all.Sinks) == 0 {
		return nil, fmt.Errorf("%s: has no sinks", file)
	}
	seen := map[string]bool{}
	for i := range all.Sinks {
		s := &all.Sinks[i]
		if !sinkName.MatchString(s.Name) {
			return nil, fmt.Errorf("%s: sink %d: name must be 1 to 63 letters, digits, '.', '_' and '-', is %q", file, i+1, s.Name)
		}
		if seen[s.Name] {
			return nil, fmt.Errorf("%s: sink %s stands twice", file, s.Name)
		}
		seen[s.Name] = true
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("%s: sink %s: %w", file, s.Name, err)
		}
	}
	return all.Sinks, nil
}

// check holds a sink to what its type demands, and fills in defaults.
func (s *Sink) check() error {
	kind, ok := sinkTypes[s.Type]
	if !ok {
		return fmt.Errorf("type must be elasticsearch, opensearch, splunk, syslog, webhook, file, misp-feed or taxii, is %q", s.Type)
	}
	if s.Format == "" {
		s.Format = kind.format
	}
	if kind.format == "" && s.Format != "" {
		return fmt.Errorf("format: a %s has its own", s.Type)
	}
	if kind.format != "" {
		if _, err := siem.ParseFormat(s.Format); err != nil {
			return fmt.Errorf("format must be ocsf, ecs, cef or leef, is %q", s.Format)
		}
	}
	if (s.Type == "elasticsearch" || s.Type == "opensearch") && s.Format != "ecs" && s.Format != "ocsf" {
		return fmt.Errorf("format must be ecs or ocsf, is %q", s.Format)
	}
	if len(s.Events) == 0 {
		s.Events = kind.events
	}
	for _, e := range s.Events {
		if !slices.Contains(allEvents, e) {
			return fmt.Errorf("events: must be among %s, is %q", strings.Join(allEvents, ", "), e)
		}
	}
	for _, name := range s.States {
		if _, err := attribution.ParseState(name); err != nil {
			return fmt.Errorf("states: no such state: %q", name)
		}
	}
	for _, p := range s.Primitives {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("primitives: must be a name or a pattern with *, is %q", p)
		}
	}
	if _, ok := siem.ParseSeverity(s.MinSeverity); s.MinSeverity != "" && !ok {
		return fmt.Errorf("min-severity must be informational, low, medium or high, is %q", s.MinSeverity)
	}
	for _, n := range []int64{int64(s.BatchRecords), int64(s.BatchBytes), int64(s.Timeout), int64(s.RetryMax), int64(s.BreakWait), int64(s.Resend), int64(s.AckTimeout), s.MaxBytes} {
		if n < 0 {
			return errors.New("numbers and times must not be negative")
		}
	}
	return s.checkPlace()
}

// checkPlace looks at where the sink's receiver is.
func (s *Sink) checkPlace() error {
	switch s.Type {
	case "file", "misp-feed":
		if s.Path == "" {
			return errors.New("path must name a file or folder")
		}
		if s.Keep != nil && (*s.Keep < 0 || *s.Keep > 10_000) {
			return errors.New("keep must be between 0 and 10000")
		}
		return nil
	case "syslog":
		if !slices.Contains([]string{"udp", "tcp", "tls"}, s.Network) {
			return fmt.Errorf("network must be udp, tcp or tls, is %q", s.Network)
		}
		if _, port, err := net.SplitHostPort(s.Address); err != nil || port == "" {
			return fmt.Errorf("address must be host:port, is %q", s.Address)
		}
		return nil
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return errors.New("url must begin with http:// or https://, and have neither credentials nor a query")
	}
	s.URL = strings.TrimRight(s.URL, "/")
	return nil
}

// Topics returns which of the topics the sink reads.
func (s *Sink) Topics(t *siem.Topics) []string {
	var list []string
	for _, p := range []struct{ topic, beginning string }{
		{t.StateChanged, "state_changed"}, {t.Suspected, "multi_actor"}, {t.IdentityChanged, "identity"}, {t.State, "state"},
	} {
		if slices.ContainsFunc(s.Events, func(e string) bool {
			if p.topic == t.State {
				return e == "state" || e == "state_deleted"
			}
			return strings.HasPrefix(e, p.beginning)
		}) {
			list = append(list, p.topic)
		}
	}
	return list
}

// secret reads what a file of credentials holds.
func secret(name, file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if s := strings.TrimRight(string(text), "\r\n"); s != "" {
		return s, nil
	}
	return "", fmt.Errorf("%s: %s is empty", name, file)
}

func (s *Sink) tlsConfig() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CAFile != "" {
		text, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca-file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("ca-file: %s has no certificate in PEM", s.CAFile)
		}
	}
	if s.CertFile != "" || s.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cert-file and key-file: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if host, _, err := net.SplitHostPort(s.Address); err == nil {
		c.ServerName = host
	}
	return c, nil
}
