package config

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// certificate makes a certificate for 127.0.0.1 that is its own authority, for
// a server and for a client, and writes it and its key as PEM.
func certificate(t *testing.T) (cert tls.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "handprint test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	cert, err = tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return cert, write(t, "cert.pem", string(certPEM)), write(t, "key.pem", string(keyPEM))
}

// ping connects as the arguments say and asks a broker for its versions.
func ping(t *testing.T, args ...string) error {
	t.Helper()
	c, _, _, err := load(t, "", nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	opts, err := c.Connection.ClientOpts()
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(append(opts, kgo.RequestRetries(0))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return cl.Ping(ctx)
}

// TestClientsAuthenticate connects by each mechanism that the embedded broker
// knows, over TLS with certificates on both sides and without TLS.
func TestClientsAuthenticate(t *testing.T) {
	const password = "correct horse"
	cert, certFile, keyFile := certificate(t)
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	passwordFile := write(t, "password", password+"\n")
	wrongFile := write(t, "wrong", "battery staple\n")
	users := []kfake.Opt{
		kfake.NumBrokers(1), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "p", password), kfake.Superuser("SCRAM-SHA-256", "s256", password), kfake.Superuser("SCRAM-SHA-512", "s512", password),
	}
	secured := &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	withTLS := []string{"--tls-ca-file", certFile, "--tls-cert-file", certFile, "--tls-key-file", keyFile}
	for _, transport := range []struct {
		name string
		opts []kfake.Opt
		args []string
	}{
		{"plaintext", users, nil},
		{"TLS", append(users[:len(users):len(users)], kfake.TLS(secured)), withTLS},
	} {
		cluster, err := kfake.NewCluster(transport.opts...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cluster.Close)
		args := append([]string{"--brokers", cluster.ListenAddrs()[0]}, transport.args...)
		for _, m := range []struct{ mechanism, user string }{{"plain", "p"}, {"scram-sha-256", "s256"}, {"scram-sha-512", "s512"}} {
			t.Run(transport.name+" "+m.mechanism, func(t *testing.T) {
				as := append(args[:len(args):len(args)], "--sasl-mechanism", m.mechanism, "--sasl-user", m.user)
				if err := ping(t, append(as, "--sasl-password-file", passwordFile)...); err != nil {
					t.Errorf("right password: %v", err)
				}
				err := ping(t, append(as, "--sasl-password-file", wrongFile)...)
				if err == nil || strings.Contains(err.Error(), "staple") {
					t.Errorf("wrong password: %v", err)
				}
			})
		}
		if err := ping(t, args...); err == nil {
			t.Errorf("%s: no credentials were wanted", transport.name)
		}
		if transport.args != nil {
			without := []string{"--brokers", cluster.ListenAddrs()[0], "--tls-ca-file", certFile, "--sasl-mechanism", "plain", "--sasl-user", "p", "--sasl-password-file", passwordFile}
			if err := ping(t, without...); err == nil {
				t.Error("no client certificate was wanted")
			}
		}
	}
}

func TestOAuthSettingsThatDoNotGoTogether(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "needs one of sasl-oauth-token-file and sasl-oauth-token-url"},
		{[]string{"--sasl-oauth-token-file=x", "--sasl-oauth-token-url=http://a/"}, "needs one of"},
		{[]string{"--sasl-oauth-token-url=http://a/"}, "needs sasl-oauth-client-id"},
		{[]string{"--sasl-oauth-token-url=http://a/", "--sasl-oauth-client-id=i", "--sasl-oauth-client-secret-file=/nowhere"}, "/nowhere cannot be read"},
	} {
		_, _, _, err := load(t, "", nil, append([]string{"--sasl-mechanism=oauthbearer"}, c.args...)...)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v", c.args, err)
		}
	}
}

func TestTokensComeFromAFileThatIsReadAgain(t *testing.T) {
	name := filepath.Join(t.TempDir(), "token")
	o := &OAuth{TokenFile: name}
	m, err := o.mechanism(new(Connection))
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"first", "second"} {
		if err := os.WriteFile(name, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, message, err := m.Authenticate(context.Background(), "")
		if err != nil || !strings.Contains(string(message), "Bearer "+token+"\x01") {
			t.Errorf("%q, %v", message, err)
		}
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Authenticate(context.Background(), ""); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("without a file: %v", err)
	}
}

// What a broker says of a token that it does not take is in the error.
func TestTokensThatAreRefusedSayWhy(t *testing.T) {
	name := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(name, []byte("token"), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := (&OAuth{TokenFile: name}).mechanism(new(Connection))
	if err != nil {
		t.Fatal(err)
	}
	session, _, err := m.Authenticate(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	if done, _, err := session.Challenge(nil); !done || err != nil {
		t.Errorf("a token that is taken: %v, %v", done, err)
	}
	if done, _, err := session.Challenge([]byte(`{"status":"invalid_token"}`)); done || err == nil || !strings.Contains(err.Error(), "invalid_token") {
		t.Errorf("a token that is refused: %v, %v", done, err)
	}
}

func TestTokensComeFromAnEndpointAndAreKeptUntilTheyExpire(t *testing.T) {
	asked, status, body := 0, http.StatusOK, `{"access_token":"t0k3n","expires_in":60}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		user, secret, ok := r.BasicAuth()
		if !ok || user != "id" || secret != "s%3Acret" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "kafka" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer server.Close()
	now := time.Unix(1e9, 0)
	e := &tokenEndpoint{
		oauth:  OAuth{TokenURL: server.URL, ClientID: "id", ClientSecret: "s:cret", Scope: "kafka"},
		client: server.Client(), now: func() time.Time { return now },
	}
	for range 3 {
		if token, err := e.token(context.Background()); err != nil || token != "t0k3n" {
			t.Fatal(token, err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times for one token", asked)
	}
	now = now.Add(51 * time.Second) // within the margin
	if _, err := e.token(context.Background()); err != nil || asked != 2 {
		t.Errorf("asked %d times after it expired, %v", asked, err)
	}
	for _, c := range []struct {
		status     int
		body, want string
	}{
		{http.StatusBadRequest, `{"error":"invalid_scope"}`, "invalid_scope"},
		{http.StatusBadGateway, `<html>`, "502"},
		{http.StatusOK, `<html>`, "not JSON"},
		{http.StatusOK, `{}`, "no access_token"},
	} {
		now = now.Add(time.Hour)
		status, body = c.status, c.body
		_, err := e.token(context.Background())
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), server.URL) || strings.Contains(err.Error(), "cret") {
			t.Errorf("%d %s: %v", c.status, c.body, err)
		}
	}
}
