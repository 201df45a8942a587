package guard

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"
)

// TLS returns how connections are secured; nil: they are not. Certificates are read
// again when their files change.
func (g *Guard) TLS() (*tls.Config, error) {
	if g.cfg.TLSCert == "" {
		return nil, nil
	}
	reload := &certificate{cert: g.cfg.TLSCert, key: g.cfg.TLSKey}
	if _, err := reload.get(nil); err != nil {
		return nil, fmt.Errorf("web-tls-cert and web-tls-key: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: reload.get, NextProtos: []string{"h2", "http/1.1"}}
	if g.cfg.ClientCA == "" {
		return c, nil
	}
	clients := &authorities{file: g.cfg.ClientCA}
	pool, err := clients.get()
	if err != nil {
		return nil, fmt.Errorf("web-client-ca: %w", err)
	}
	c.ClientCAs, c.ClientAuth = pool, tls.VerifyClientCertIfGiven
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		pool, err := clients.get()
		if err != nil {
			return nil, err
		}
		fresh := c.Clone()
		fresh.ClientCAs, fresh.GetConfigForClient = pool, nil
		// A session that was begun under other authorities is not gone on with.
		fresh.SessionTicketsDisabled = true
		return fresh, nil
	}
	return c, nil
}

// authorities are read again when their file changes.
type authorities struct {
	file   string
	mu     sync.Mutex
	loaded *x509.CertPool
	mod    time.Time
}

// get returns the authorities; a file that cannot be read leaves the ones before.
func (a *authorities) get() (*x509.CertPool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	info, err := os.Stat(a.file)
	if err == nil && (a.loaded == nil || !info.ModTime().Equal(a.mod)) {
		var pem []byte
		if pem, err = os.ReadFile(a.file); err == nil {
			if pool := x509.NewCertPool(); pool.AppendCertsFromPEM(pem) {
				a.loaded, a.mod = pool, info.ModTime()
			} else {
				err = fmt.Errorf("%s has no certificate", a.file)
			}
		}
	}
	if a.loaded == nil {
		return nil, err
	}
	return a.loaded, nil
}

// certificate is read again when its file changes.
type certificate struct {
	cert, key string
	mu        sync.Mutex
	loaded    *tls.Certificate
	mod       time.Time
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.cert)
	if err == nil && (c.loaded == nil || !info.ModTime().Equal(c.mod)) {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(c.cert, c.key); err == nil {
			c.loaded, c.mod = &pair, info.ModTime()
		}
	}
	if c.loaded == nil {
		return nil, err
	}
	return c.loaded, nil
}
