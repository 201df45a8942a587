package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"time"
)

// Security gives every broker one more listener, at [Cluster.Secured], to which
// clients come by TLS and as somebody, and an authorizer that lets nobody there
// do anything that no ACL allows. The plain listeners are a superuser's.
type Security struct {
	// Plain are the users of SASL/PLAIN with their passwords. Those of SCRAM are
	// made with a client; OAUTHBEARER believes any token that is not expired.
	Plain map[string]string
	// CA is the certificate of the authority to trust, as PEM; Start sets it.
	CA []byte

	certificate, key string // the brokers', PEM in one line
}

// issue makes an authority and a certificate for brokers on this machine.
func (s *Security) issue() error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of a test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	broker := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "broker"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, broker, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	s.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	s.certificate = oneLine(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	s.key = oneLine(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	return nil
}

// oneLine writes a PEM block so that it fits into a line of properties, and
// into an environment variable. Kafka takes any white space in it.
func oneLine(block []byte) string {
	return strings.Join(strings.Split(strings.TrimSpace(string(block)), "\n"), " ")
}

// config is what brokers with this security have besides.
func (s *Security) config() map[string]string {
	const (
		listener = "listener.name.secured."
		login    = "org.apache.kafka.common.security."
	)
	var users strings.Builder
	for name, password := range s.Plain {
		fmt.Fprintf(&users, " user_%s=%q", name, password)
	}
	return map[string]string{
		"authorizer.class.name":                     "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users":                               "User:ANONYMOUS",
		listener + "ssl.keystore.type":              "PEM",
		listener + "ssl.keystore.certificate.chain": s.certificate,
		listener + "ssl.keystore.key":               s.key,
		listener + "sasl.enabled.mechanisms":        "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
		listener + "plain.sasl.jaas.config":         login + "plain.PlainLoginModule required" + users.String() + ";",
		listener + "oauthbearer.sasl.jaas.config":   login + `oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
	}
}

// The mechanisms of SCRAM have a dash in their names, which no environment
// variable can, so their part comes in a file of its own.
const (
	jaas     = "secured.KafkaServer {\n  org.apache.kafka.common.security.scram.ScramLoginModule required;\n};\n"
	jaasName = "jaas.conf"
)

func jaasArg(file string) string { return "-Djava.security.auth.login.config=" + file }

// Secured are the addresses of the listeners that [Security] has added.
func (c *Cluster) Secured() []string { return slices.Clone(c.secured) }
