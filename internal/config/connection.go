package config

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"handprint/internal/unpack"
)

// Connection is how to reach the cluster.
type Connection struct {
	Brokers []string // host:port each
	Timeout time.Duration
	// MaxBatchUnpacked bounds what a batch that is read may unpack to, in bytes; 0
	// stands for the default.
	MaxBatchUnpacked int

	TLS           bool
	TLSCAFile     string // PEM; empty: the system's
	TLSCertFile   string // PEM; with TLSKeyFile, the client's certificate
	TLSKeyFile    string
	TLSServerName string
	TLSSkipVerify bool

	SASLMechanism string // empty for none
	SASLUser      string
	SASLPassword  string

	OAuth OAuth // of the mechanism oauthbearer

	saslPasswordFile string
}

func declareConnection(s *Set, c *Connection) {
	s.Group(GroupConnection)
	s.List(&c.Brokers, "brokers", []string{"localhost:9092"},
		Matching("a list of host:port", func(l []string) bool { return len(l) > 0 && !slices.ContainsFunc(l, notHostPort) }),
		"Brokers to ask first; the others are learned from them.", Important(High))
	s.Duration(&c.Timeout, "connect-timeout", 10*time.Second, Between(100*time.Millisecond, 10*time.Minute), "How long to try to reach a broker before giving up. `run` tries again meanwhile if all refuse; other commands say so at once.")
	s.Bytes(&c.MaxBatchUnpacked, "max-batch-unpacked", unpack.Default, Sizes(1<<20, 1<<30), "Largest batch of a topic that is unpacked, with the memory for its records. A larger one in the input is a dead letter and counts as lost; in the changelog or the commands it stops the process. About three times as much memory is used while it is unpacked.")
	s.Bool(&c.TLS, "tls", false, "Use TLS.")
	s.Path(&c.TLSCAFile, "tls-ca-file", "", Any[string](), "Certificates of the authorities to trust, as PEM, instead of the system's.")
	s.Path(&c.TLSCertFile, "tls-cert-file", "", Any[string](), "Client certificate, as PEM.")
	s.Path(&c.TLSKeyFile, "tls-key-file", "", Any[string](), "Key of the client certificate, as PEM.")
	s.Text(&c.TLSServerName, "tls-server-name", "", Any[string](), "Name that the brokers' certificates must have, instead of the host's.", Important(Low))
	s.Bool(&c.TLSSkipVerify, "tls-skip-verify", false, "Trust any certificate. For tests only.", Important(Low))
	s.Text(&c.SASLMechanism, "sasl-mechanism", "none", OneOf("none", "plain", "scram-sha-256", "scram-sha-512", "oauthbearer"), "How to authenticate.")
	s.Text(&c.SASLUser, "sasl-user", "", Any[string](), "User to authenticate as.")
	s.Text(&c.SASLPassword, "sasl-password", "", Any[string](), "Its password. As a flag other users of the machine can see it; prefer the file.", Secret(), Important(Low))
	s.Path(&c.saslPasswordFile, "sasl-password-file", "", Any[string](), "File that holds the password.")
	declareOAuth(s, &c.OAuth)
}

func notHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return true
	}
	n, err := strconv.Atoi(port)
	return err != nil || n < 1 || n > 65535
}

// finish reads the password's file and checks what belongs together.
func (c *Connection) finish(s *Set) error {
	if c.saslPasswordFile != "" {
		if c.SASLPassword != "" {
			return s.Errorf("sasl-password-file", "must not be set together with sasl-password")
		}
		password, err := ReadSecret(c.saslPasswordFile)
		if err != nil {
			return s.Errorf("sasl-password-file", "%s %w", c.saslPasswordFile, err)
		}
		c.SASLPassword = password
	}
	if c.SASLMechanism == "none" {
		c.SASLMechanism = ""
	}
	if err := c.OAuth.finish(s, c.SASLMechanism == oauthBearer); err != nil {
		return err
	}
	if c.SASLMechanism != "" && c.SASLMechanism != oauthBearer && c.SASLUser == "" {
		return s.Errorf("sasl-mechanism", "needs sasl-user and sasl-password-file")
	}
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		return s.Errorf("tls-cert-file", "needs tls-key-file, and the other way round")
	}
	return nil
}

// ClientOpts returns what every client of the cluster needs: brokers, TLS and
// credentials. It reads the files of certificates and keys.
func (c *Connection) ClientOpts() ([]kgo.Opt, error) {
	opts, err := unpack.Options(cmp.Or(c.MaxBatchUnpacked, unpack.Default), nil)
	if err != nil {
		return nil, err
	}
	opts = append(opts, kgo.SeedBrokers(c.Brokers...), kgo.ClientID("handprint"))
	if c.TLS || c.TLSCAFile != "" || c.TLSCertFile != "" {
		t, err := c.tlsConfig("")
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(t))
	}
	var m sasl.Mechanism
	switch c.SASLMechanism {
	case "":
		return opts, nil
	case "plain":
		m = plain.Auth{User: c.SASLUser, Pass: c.SASLPassword}.AsMechanism()
	case "scram-sha-256":
		m = scram.Auth{User: c.SASLUser, Pass: c.SASLPassword}.AsSha256Mechanism()
	case "scram-sha-512":
		m = scram.Auth{User: c.SASLUser, Pass: c.SASLPassword}.AsSha512Mechanism()
	case oauthBearer:
		if m, err = c.OAuth.mechanism(c); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("sasl-mechanism: unknown mechanism %s", c.SASLMechanism)
	}
	return append(opts, kgo.SASL(m)), nil
}

// tlsConfig makes a TLS configuration; prefix begins the names of its settings in
// errors.
func (c *Connection) tlsConfig(prefix string) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.TLSServerName, InsecureSkipVerify: c.TLSSkipVerify} // #nosec G402 -- a setting, off by default, for whoever tests
	if c.TLSCAFile != "" {
		pem, err := os.ReadFile(c.TLSCAFile)
		if err != nil {
			return nil, fmt.Errorf("%stls-ca-file: %s cannot be read: %w", prefix, c.TLSCAFile, pathCause(err))
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%stls-ca-file: %s holds no PEM certificate", prefix, c.TLSCAFile)
		}
	}
	if c.TLSCertFile != "" {
		cert, err := tls.LoadX509KeyPair(c.TLSCertFile, c.TLSKeyFile)
		if err != nil {
			return nil, fmt.Errorf("%stls-cert-file: %s with tls-key-file %s: %w", prefix, c.TLSCertFile, c.TLSKeyFile, err)
		}
		t.Certificates = []tls.Certificate{cert}
	}
	return t, nil
}
