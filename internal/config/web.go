package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// GroupWeb is the heading of the read side and its interface.
const GroupWeb = "Read side"

// Web is the read side: what it keeps, how it is reached, and by whom.
type Web struct {
	Listen         string
	BasePath       string
	Hosts          []string
	BehindProxy    []string // networks of trusted proxies, in CIDR notation
	TLSCert        string
	TLSKey         string
	ClientCA       string
	ClientRoles    []string // NAME=ROLE
	TokenFile      string
	OpenLoopback   bool
	SessionKey     string
	ExportApart    bool
	OIDCIssuer     string
	OIDCClientID   string
	OIDCSecretFile string
	OIDCRedirect   string
	OIDCRoleClaim  string
	OIDCRoles      []string // VALUE=ROLE
	Rate           float64
	Burst          int
	AuditFile      string
	AuditTopic     string
	Dir            string
	CatalogMemory  int // bytes
	HistoryAge     time.Duration
	HistoryBytes   int
	LiveClients    int
	LivePerSubject int
	Namespace      string   // data_stream.namespace of ECS in exports
	Severities     []string // of exports, WHAT=SEVERITY
}

func declareWeb(s *Set, w *Web) {
	s.Group(GroupWeb)
	s.Text(&w.Listen, "web-listen", "127.0.0.1:8480", Matching("host:port", isListenAddr), "Address of the API and the pages. One that can be reached from elsewhere needs TLS, or a proxy that has it, and credentials.", Important(High))
	s.Text(&w.BasePath, "web-base-path", "", Matching("empty, or a path of letters, digits, '.', '_', '~', '-' and '/'", isBasePath), "Path below which all of it stands, such as /handprint; empty for none.", Important(Low))
	s.List(&w.Hosts, "web-hosts", nil, Matching("a list of names or addresses, without a scheme or a path", areHosts), "Names by which it may be asked (the Host header), besides the address that is asked, that in web-listen, and localhost if that is on loopback. Others are refused.")
	s.List(&w.BehindProxy, "web-behind-proxy", nil, Matching("a list of networks in CIDR notation", areNetworks), "Networks of the proxies that end TLS and are trusted to say who forwards.")
	s.Path(&w.TLSCert, "web-tls-cert", "", Any[string](), "Certificate of the interface, as PEM. It is read again when it changes.")
	s.Path(&w.TLSKey, "web-tls-key", "", Any[string](), "Its key, as PEM.")
	s.Path(&w.ClientCA, "web-client-ca", "", Any[string](), "Authorities whose client certificates are taken, as PEM.", Important(Low))
	s.List(&w.ClientRoles, "web-client-roles", nil, Matching("a list of NAME=ROLE", arePairs), "Roles of client certificates, by common name or DNS name: soc-tool=read.", Important(Low))
	s.Path(&w.TokenFile, "token-file", "", Any[string](), "File of the tokens (handprint token add), readable by its owner only.")
	s.Bool(&w.OpenLoopback, "web-open-loopback", false, "Ask nobody on this machine for credentials.", Important(Low))
	s.Path(&w.SessionKey, "web-session-key", "", Any[string](), "File of the key that seals sessions, made if it is missing; replicas share it. Empty: sessions end with the process.", Important(Low))
	s.Bool(&w.ExportApart, "web-export-apart", false, "Let exports need the role export, instead of read.", Important(Low))
	s.Text(&w.OIDCIssuer, "oidc-issuer", "", Matching("empty, or a URL that begins with http:// or https://", func(t string) bool { return t == "" || webURL(t) }), "OpenID Connect issuer by which people log in.")
	s.Text(&w.OIDCClientID, "oidc-client-id", "", Any[string](), "Client that the issuer knows.")
	s.Path(&w.OIDCSecretFile, "oidc-client-secret-file", "", Any[string](), "File that holds its secret; empty for a public client.", Important(Low))
	s.Text(&w.OIDCRedirect, "oidc-redirect-url", "", Matching("empty, or a URL that begins with http:// or https:// and ends with /auth/callback", isCallback), "URL of /auth/callback as browsers see it.", Important(Low))
	s.Text(&w.OIDCRoleClaim, "oidc-role-claim", "roles", NotEmpty(), "Claim that holds somebody's roles.", Important(Low))
	s.List(&w.OIDCRoles, "oidc-roles", nil, Matching("a list of VALUE=ROLE", arePairs), "Roles by the values of that claim: soc-analysts=read,soc-leads=operate.", Important(Low))
	s.Float(&w.Rate, "web-rate", 100, Between(0.0, 1e6), "Requests a second of one subject; 0 for no bound.", Important(Low))
	s.Int(&w.Burst, "web-burst", 300, Between(1, 1_000_000), "Requests of one subject at once.", Important(Low))
	s.Path(&w.AuditFile, "audit-file", "", Any[string](), "File that gets a line for each login, export and action. Empty: the newest are in memory alone.")
	s.Text(&w.AuditTopic, "audit-topic", "", Any[string](), "Topic that gets these lines too; it has to exist. What cannot be noted there is refused. Empty for none.", Important(Low))
	s.Path(&w.Dir, "serve-dir", "handprint-serve", NotEmpty(), "Folder of the read side: a copy of the state, the history, the catalogue. It may be deleted at any time, and is made again.", Important(High))
	s.Bytes(&w.CatalogMemory, "catalog-memory", 2<<30, Sizes(1<<20, 1<<40), "Most memory of the catalogue. One that needs more refuses lists and says so.")
	s.Duration(&w.HistoryAge, "history-retention", 90*24*time.Hour, AtLeast(time.Hour), "How long transitions and suspicions are kept for timelines.")
	s.Bytes(&w.HistoryBytes, "history-bytes", 10<<30, Sizes(64<<20, 1<<44), "Most disk of the history; the oldest goes first. The last records of identities are not counted.")
	s.Int(&w.LiveClients, "live-clients", 500, Between(1, 100_000), "Live streams at a time.", Important(Low))
	s.Int(&w.LivePerSubject, "live-clients-per-subject", 100, Between(1, 100_000), "Live streams of one subject.", Important(Low))
	s.Text(&w.Namespace, "export-namespace", "default", Any[string](), "data_stream.namespace of ECS in exports.", Important(Low))
	s.List(&w.Severities, "export-severity", nil, Any[[]string](), "Other severities in exports, each WHAT=SEVERITY as --severity of format run takes them, such as drifting=informational.", Important(Low))
}

// Pairs reads a list of NAME=VALUE, which was checked when it was set.
func Pairs(list []string) map[string]string {
	out := make(map[string]string, len(list))
	for _, pair := range list {
		name, value, _ := strings.Cut(pair, "=")
		out[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return out
}

func arePairs(list []string) bool {
	for _, pair := range list {
		if name, value, ok := strings.Cut(pair, "="); !ok || name == "" || value == "" {
			return false
		}
	}
	return true
}

// isBasePath reports whether a text is a path that needs no escapes, or empty.
func isBasePath(t string) bool {
	return !strings.Contains(t, "..") && strings.IndexFunc(t, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._~-/", c))
	}) < 0
}

// areHosts reports whether each text may stand in a Host header.
func areHosts(list []string) bool {
	for _, host := range list {
		if u, err := url.Parse("http://" + host); err != nil || host == "" || u.Host != host || u.Hostname() == "" {
			return false
		}
	}
	return true
}

// isCallback reports whether a text is the URL of /auth/callback, or empty.
func isCallback(t string) bool {
	return t == "" || webURL(t) && strings.HasSuffix(t, "/auth/callback")
}

func areNetworks(list []string) bool {
	_, err := Networks(list)
	return err == nil
}

// Networks reads networks in CIDR notation.
func Networks(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range list {
		p, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("%q is no network in CIDR notation", text)
		}
		out = append(out, p)
	}
	return out, nil
}
