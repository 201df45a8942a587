package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"handprint/siem"
)

// The files of certificates, which are made anew each time.
const (
	authorityFile = "ca.pem"
	serverCert    = "server.pem"
	serverKey     = "server.key"
)

// certificates makes an authority and a certificate of 127.0.0.1.
func certificates(dir string) error {
	now := time.Now()
	template := func(name string, serial int64) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour)}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	authority := template("sinks-check", 1)
	authority.IsCA, authority.BasicConstraintsValid, authority.KeyUsage = true, true, x509.KeyUsageCertSign
	root, err := x509.CreateCertificate(rand.Reader, authority, authority, &key.PublicKey, key)
	if err != nil {
		return err
	}
	ownKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	server := template("127.0.0.1", 2)
	server.IPAddresses, server.KeyUsage, server.ExtKeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	leaf, err := x509.CreateCertificate(rand.Reader, server, authority, &ownKey.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalECPrivateKey(ownKey)
	if err != nil {
		return err
	}
	write := func(name, kind string, der []byte) error {
		return os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	}
	return errors.Join(write(authorityFile, "CERTIFICATE", root), write(serverCert, "CERTIFICATE", leaf), write(serverKey, "EC PRIVATE KEY", private))
}

// externalID finds the id of an event in a line of CEF.
var externalID = regexp.MustCompile(` externalId=([0-9a-f-]{36}) `)

// resendTime is resend of the syslog sinks: longer than the proxy stalls and than
// a receiver takes to come back.
const resendTime = "5s"

// rsyslog is Debian's, unpacked below tools/rsyslog.
func rsyslog(dir, tools, network string) receiver {
	root, name := filepath.Join(tools, "rsyslog"), "rsyslog-"+network
	out, lib := filepath.Join(dir, name+".out"), filepath.Join(root, "usr/lib/x86_64-linux-gnu")
	r := receiver{name: name, needs: filepath.Join(root, "usr/sbin/rsyslogd"), port: freePort(),
		sink: fmt.Sprintf("type: syslog, network: %s, address: 'ADDRESS', format: cef, resend: %s, batch-records: 20, retry-max: 1s, break-wait: 1s", network, resendTime)}
	listen, await := fmt.Sprintf("module(load=\"imtcp\")\ninput(type=\"imtcp\" port=\"%d\" address=\"127.0.0.1\")\n", r.port), r.port
	switch network {
	case "tcp":
		r.front = func(ctx context.Context, seed uint64) (proxy, error) { return newStreamProxy(ctx, r.target(), seed) }
	case "tls":
		r.needs = filepath.Join(lib, "rsyslog/lmnsd_ossl.so")
		r.sink += ", ca-file: " + filepath.Join(dir, authorityFile)
		r.front = func(ctx context.Context, seed uint64) (proxy, error) { return newStreamProxy(ctx, r.target(), seed) }
		listen = fmt.Sprintf("global(DefaultNetstreamDriverCAFile=%q DefaultNetstreamDriverCertFile=%q DefaultNetstreamDriverKeyFile=%q)\nmodule(load=\"imtcp\" StreamDriver.Name=\"ossl\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"anon\")\ninput(type=\"imtcp\" port=\"%d\" address=\"127.0.0.1\")\n",
			filepath.Join(dir, authorityFile), filepath.Join(dir, serverCert), filepath.Join(dir, serverKey), r.port)
	case "udp":
		r.lossy, await = true, 0
		listen = fmt.Sprintf("module(load=\"imudp\")\ninput(type=\"imudp\" port=\"%d\" address=\"127.0.0.1\")\n", r.port)
	}
	r.start = func(ctx context.Context) (*exec.Cmd, error) {
		config := filepath.Join(dir, name+".conf")
		text := fmt.Sprintf("global(maxMessageSize=\"1m\" workDirectory=%q)\n%stemplate(name=\"raw\" type=\"string\" string=\"%%msg%%\\n\")\naction(type=\"omfile\" file=%q template=\"raw\")\n", dir, listen, out)
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			return nil, err
		}
		cmd, err := startServer(ctx, dir, name, await, []string{"LD_LIBRARY_PATH=" + lib}, filepath.Join(root, "usr/sbin/rsyslogd"), "-n", "-f", config, "-i", filepath.Join(dir, name+".pid"), "-M", filepath.Join(lib, "rsyslog"))
		if network == "udp" {
			time.Sleep(time.Second) // until it has its socket
		}
		return cmd, err
	}
	r.count = func(context.Context) (int, error) {
		text, err := os.ReadFile(out)
		if err != nil {
			return 0, err
		}
		ids := map[string]bool{}
		for _, m := range externalID.FindAllSubmatch(text, -1) {
			ids[string(m[1])] = true
		}
		return len(ids), nil
	}
	r.compare = func(_ context.Context, w *wanted) (int, string, error) {
		if network == "udp" {
			time.Sleep(3 * time.Second) // until rsyslog has written what it has
		}
		text, err := os.ReadFile(out)
		if err != nil {
			return 0, "", err
		}
		lines, seen, repeats, halves := w.lines(siem.CEF), map[string]bool{}, 0, 0
		for line := range bytes.Lines(text) {
			got := strings.TrimPrefix(strings.TrimSuffix(string(line), "\n"), " ")
			if !strings.HasPrefix(got, "CEF:0|") {
				continue // rsyslog's own words
			}
			m := externalID.FindStringSubmatch(got)
			if m == nil || lines[m[1]] != got {
				if network == "udp" || m != nil && !strings.HasPrefix(lines[m[1]], got) {
					return 0, "", fmt.Errorf("a line is not as it was sent: %.500q", got)
				}
				halves++ // a cut leaves the beginning of a line
				continue
			}
			if seen[m[1]] {
				repeats++
			}
			seen[m[1]] = true
		}
		if network == "udp" {
			return repeats, fmt.Sprintf("%d of %d over UDP, which promises nothing;", len(seen), len(lines)), promisedNothing(filepath.Join(dir, name+".log"), len(seen))
		}
		return repeats, fmt.Sprintf("%d half lines;", halves), missing(len(seen), len(lines))
	}
	return r
}

// promisedNothing looks whether the sink's log says at its start that UDP promises
// nothing.
func promisedNothing(log string, got int) error {
	text, err := os.ReadFile(log)
	if err != nil {
		return err
	}
	if !bytes.Contains(text, []byte("syslog over UDP promises nothing")) {
		return errors.New("the log does not say that UDP promises nothing")
	}
	if got == 0 {
		return errors.New("nothing arrived at all")
	}
	return nil
}
