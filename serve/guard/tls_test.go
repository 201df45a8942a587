package guard

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key, _ = a.sign(t, "an authority", nil, true)
	return a
}

// sign makes a certificate; of an authority it signs itself.
func (a *authority) sign(t *testing.T, name string, dns []string, isCA bool) (*x509.Certificate, *ecdsa.PrivateKey, tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: dns, IsCA: isCA, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if !isCA {
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	parent, signer := c, key
	if !isCA {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, key, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func writePEM(t *testing.T, file, kind string, der []byte, at time.Time) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, at, at); err != nil {
		t.Fatal(err)
	}
}

// secured is a service with certificates in files.
type secured struct {
	t        *testing.T
	url, dir string
	at       time.Time // of the files
	server   *authority
}

func (s *secured) file(name string) string { return filepath.Join(s.dir, name) }

// present has the service show a certificate for a name from now on.
func (s *secured) present(name string) {
	s.t.Helper()
	s.at = s.at.Add(time.Minute)
	cert, key, _ := s.server.sign(s.t, name, nil, false)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	writePEM(s.t, s.file("key.pem"), "PRIVATE KEY", der, s.at)
	writePEM(s.t, s.file("cert.pem"), "CERTIFICATE", cert.Raw, s.at)
}

func (s *secured) trust(a *authority) {
	s.t.Helper()
	s.at = s.at.Add(time.Minute)
	writePEM(s.t, s.file("ca.pem"), "CERTIFICATE", a.cert.Raw, s.at)
}

func newSecured(t *testing.T, clients *authority) *secured {
	t.Helper()
	s := &secured{t: t, dir: t.TempDir(), at: time.Unix(1_700_000_000, 0), server: newAuthority(t)}
	s.present("first")
	s.trust(clients)
	g, err := New(config(func(c *Config) {
		c.TLSCert, c.TLSKey, c.ClientCA = s.file("cert.pem"), s.file("key.pem"), s.file("ca.pem")
		c.ClientRoles = map[string]Role{"reader.soc.example": Read, "lead": Operate}
	}))
	if err != nil {
		t.Fatal(err)
	}
	g.Mux().HandleFunc("GET /api/v1/whoami", func(w http.ResponseWriter, r *http.Request) {
		who := SubjectOf(r.Context())
		fmt.Fprintf(w, "%s %s %s", who.Name, who.Role, who.Method)
	})
	secure, err := g.TLS()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: g, TLSConfig: secure}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	s.url = "https://" + l.Addr().String()
	return s
}

// as asks who a client is that shows a certificate, and returns the name that the
// service shows; nil: it shows none.
func (s *secured) as(client *tls.Certificate) (status int, body, server string) {
	s.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(s.server.cert)
	c := &tls.Config{RootCAs: pool}
	if client != nil {
		// Also one that the service's authorities would not have asked for.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return client, nil }
	}
	transport := &http.Transport{TLSClientConfig: c}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+"/api/v1/whoami", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return 0, err.Error(), ""
	}
	defer answer.Body.Close()
	b := make([]byte, 2000)
	n, _ := answer.Body.Read(b)
	return answer.StatusCode, string(b[:n]), answer.TLS.PeerCertificates[0].Subject.CommonName
}

func TestClientsShowCertificates(t *testing.T) {
	clients := newAuthority(t)
	s := newSecured(t, clients)
	_, _, lead := clients.sign(t, "lead", nil, false)
	_, _, reader := clients.sign(t, "whoever", []string{"reader.soc.example"}, false)
	_, _, stranger := clients.sign(t, "stranger", nil, false)
	_, _, forged := newAuthority(t).sign(t, "lead", nil, false)
	for _, c := range []struct {
		name   string
		cert   *tls.Certificate
		status int
		body   string
	}{
		{"by common name", &lead, 200, "lead operate certificate"},
		{"by DNS name", &reader, 200, "reader.soc.example read certificate"},
		{"a name without a role", &stranger, 401, ""},
		{"none", nil, 401, ""},
		{"of another authority", &forged, 0, ""},
	} {
		status, body, _ := s.as(c.cert)
		if status != c.status || c.body != "" && body != c.body {
			t.Errorf("%s: %d %q", c.name, status, body)
		}
	}
}

func TestCertificatesAreReadAgain(t *testing.T) {
	old, next := newAuthority(t), newAuthority(t)
	s := newSecured(t, old)
	_, _, before := old.sign(t, "lead", nil, false)
	_, _, after := next.sign(t, "lead", nil, false)
	if status, _, name := s.as(&before); status != 200 || name != "first" {
		t.Fatalf("%d, the service is %q", status, name)
	}
	s.present("second")
	if status, _, name := s.as(&before); status != 200 || name != "second" {
		t.Errorf("after the certificate was exchanged: %d, the service is %q", status, name)
	}
	// Half of an exchange, or nonsense, leaves what there was.
	s.at = s.at.Add(time.Minute)
	writePEM(t, s.file("cert.pem"), "CERTIFICATE", []byte("nonsense"), s.at)
	if status, _, name := s.as(&before); status != 200 || name != "second" {
		t.Errorf("with a damaged file: %d, the service is %q", status, name)
	}
	s.present("third")
	if status, _, name := s.as(&before); status != 200 || name != "third" {
		t.Errorf("after it was mended: %d, the service is %q", status, name)
	}
	s.trust(next)
	if status, _, _ := s.as(&after); status != 200 {
		t.Errorf("a client of the new authority: %d", status)
	}
	if status, _, _ := s.as(&before); status == 200 {
		t.Error("a client of the old authority is still taken")
	}
	if err := os.WriteFile(s.file("ca.pem"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := s.as(&after); status != 200 {
		t.Errorf("with a damaged authority: %d", status)
	}
}
