package config

import (
	"crypto/tls"
	"net/url"
	"slices"
	"time"
)

// Schemas is how records are written, and where the schemas of Avro records
// are.
type Schemas struct {
	OutputFormat string   // json or avro
	RegistryURLs []string // empty: no registry
	AutoRegister bool
	Naming       string // topic or record
	Timeout      time.Duration

	User, Password, Token string
	tls                   Connection // the TLS settings alone

	passwordFile, tokenFile string
}

func declareSchemas(s *Set, c *Schemas) {
	s.Group(GroupSchemas)
	s.Text(&c.OutputFormat, "output-format", "json", OneOf("json", "avro"), "How records are written to the public topics. Both are read, whatever is written; avro needs schema-registry-url.")
	s.List(&c.RegistryURLs, "schema-registry-url", nil,
		Matching("a list of http:// or https:// URLs", func(l []string) bool { return !slices.ContainsFunc(l, notURL) }),
		"Schema registry with Confluent's API; of several the first that answers is asked. Needed to read or write Avro.")
	s.Bool(&c.AutoRegister, "schema-auto-register", true, "Register the schemas at the start; otherwise they must be there (handprint schemas register).")
	s.Text(&c.Naming, "schema-subject-naming", "topic", OneOf("topic", "record"), "Names of the registry's subjects: the topic's and -value, or the full name of the record.", Important(Low))
	s.Duration(&c.Timeout, "schema-registry-timeout", 10*time.Second, Between(100*time.Millisecond, 5*time.Minute), "How long one request to the registry may take; it is then made again.", Important(Low))
	s.Text(&c.User, "schema-registry-user", "", Any[string](), "User of the registry, for basic authentication.")
	s.Text(&c.Password, "schema-registry-password", "", Any[string](), "Its password. As a flag other users of the machine can see it; prefer the file.", Secret(), Important(Low))
	s.Path(&c.passwordFile, "schema-registry-password-file", "", Any[string](), "File that holds the password.")
	s.Path(&c.tokenFile, "schema-registry-token-file", "", Any[string](), "File that holds a bearer token for the registry, instead of a user.", Important(Low))
	s.Path(&c.tls.TLSCAFile, "schema-registry-tls-ca-file", "", Any[string](), "Certificates of the authorities to trust for the registry, as PEM, instead of the system's.")
	s.Path(&c.tls.TLSCertFile, "schema-registry-tls-cert-file", "", Any[string](), "Client certificate for the registry, as PEM.", Important(Low))
	s.Path(&c.tls.TLSKeyFile, "schema-registry-tls-key-file", "", Any[string](), "Key of the client certificate, as PEM.", Important(Low))
	s.Bool(&c.tls.TLSSkipVerify, "schema-registry-tls-skip-verify", false, "Trust any certificate of the registry. For tests only.", Important(Low))
}

func notURL(text string) bool {
	u, err := url.Parse(text)
	return err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https"
}

func hasUser(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.User != nil
}

// finish reads the files of secrets and checks what belongs together.
func (c *Schemas) finish(s *Set) error {
	if c.passwordFile != "" {
		if c.Password != "" {
			return s.Errorf("schema-registry-password-file", "must not be set together with schema-registry-password")
		}
		password, err := ReadSecret(c.passwordFile)
		if err != nil {
			return s.Errorf("schema-registry-password-file", "%s %w", c.passwordFile, err)
		}
		c.Password = password
	}
	if c.tokenFile != "" {
		if c.User != "" {
			return s.Errorf("schema-registry-token-file", "must not be set together with schema-registry-user")
		}
		token, err := ReadSecret(c.tokenFile)
		if err != nil {
			return s.Errorf("schema-registry-token-file", "%s %w", c.tokenFile, err)
		}
		c.Token = token
	}
	switch {
	case slices.ContainsFunc(c.RegistryURLs, hasUser): // it would stand in logs and messages
		return s.Errorf("schema-registry-url", "must hold no user and password: set schema-registry-user and schema-registry-password-file")
	case c.Password != "" && c.User == "":
		return s.Errorf("schema-registry-user", "must be set with a password")
	case c.OutputFormat == "avro" && len(c.RegistryURLs) == 0:
		return s.Errorf("output-format", "avro needs schema-registry-url")
	case (c.tls.TLSCertFile == "") != (c.tls.TLSKeyFile == ""):
		return s.Errorf("schema-registry-tls-cert-file", "needs schema-registry-tls-key-file, and the other way round")
	}
	return nil
}

// TLSConfig returns how the registry is trusted and shown who asks, nil for the
// system's way. It reads the files of certificates and keys.
func (c *Schemas) TLSConfig() (*tls.Config, error) {
	if c.tls.TLSCAFile == "" && c.tls.TLSCertFile == "" && !c.tls.TLSSkipVerify {
		return nil, nil
	}
	return c.tls.tlsConfig("schema-registry-")
}
