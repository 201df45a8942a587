package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"handprint/internal/config"
)

// silentBroker is an address that counts who connects, and never answers. Where the
// machine has more loopback addresses than one, it is on one that no other test uses:
// clients of a broker that has ended may try its port again, which may be this one now.
func silentBroker(t *testing.T) (address string, asked *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.77.1:0")
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	asked = new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			asked.Add(1)
			_ = c.Close()
		}
	}()
	return l.Addr().String(), asked
}

// pair writes a certificate and its key.
func pair(t *testing.T, cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// What is wrong with a setting of the read side ends the start with one line that names
// it, before a broker is asked for anything: by serve and by run --web alike.
func TestSettingsOfTheReadSideAreCheckedFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string, mode os.FileMode) string {
		if err := os.WriteFile(in(name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return in(name)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	pair(t, in("cert.pem"), in("key.pem"))
	pair(t, in("other-cert.pem"), in("other-key.pem"))
	tokens := write("tokens.json", "[]", 0o600)
	nonsense := write("nonsense", "nonsense", 0o600)
	openToAll := write("open.json", "[]", 0o600)
	if err := os.Chmod(openToAll, 0o666); err != nil { // the umask has no say
		t.Fatal(err)
	}
	if err := os.Mkdir(in("foreign"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("foreign/application", "other changelog\n", 0o600)
	tls := []string{"--web-tls-cert=" + in("cert.pem"), "--web-tls-key=" + in("key.pem")}
	secure := append([]string{"--token-file=" + tokens}, tls...)
	issuer := []string{"--oidc-issuer=https://login.example", "--oidc-client-id=handprint", "--oidc-roles=soc=read"}

	// cases are wrong settings by the name of the setting that the line has to have.
	cases := map[string][][]string{
		"web-listen": {{"--web-listen=nonsense"}, {"--web-listen=127.0.0.1:99999"}, {"--web-listen=127.0.0.1:http"}, {"--web-listen=" + taken.Addr().String()},
			{"--web-listen=0.0.0.0:0"}, {"--web-listen=:0"}, {"--web-listen=192.0.2.1:0"}, {"--web-listen=[::]:0"}, append([]string{"--web-listen=0.0.0.0:0"}, tls...),
			append([]string{"--web-listen=192.0.2.1:0"}, secure...), append([]string{"--web-listen=no such name:0"}, secure...)},
		"web-base-path":            {{"--web-base-path=/a b"}, {"--web-base-path=/a?b"}, {"--web-base-path=https://a"}, {"--web-base-path=/../a"}},
		"web-hosts":                {{"--web-hosts=https://handprint.example"}, {"--web-hosts=handprint.example/x"}, {"--web-hosts=a b"}},
		"web-behind-proxy":         {{"--web-behind-proxy=10.0.0.1"}, {"--web-behind-proxy=10.0.0.0/33"}, {"--web-behind-proxy=proxy.example"}},
		"web-tls-cert":             {{"--web-tls-cert=" + in("cert.pem")}, {"--web-tls-cert=" + nonsense, "--web-tls-key=" + in("key.pem")}, {"--web-tls-cert=" + in("none"), "--web-tls-key=" + in("key.pem")}},
		"web-tls-key":              {{"--web-tls-key=" + in("key.pem")}, {"--web-tls-cert=" + in("cert.pem"), "--web-tls-key=" + in("other-key.pem")}, {"--web-tls-cert=" + in("cert.pem"), "--web-tls-key=" + in("none")}},
		"web-client-ca":            {{"--web-client-ca=" + in("cert.pem")}, append([]string{"--web-client-ca=" + in("none"), "--web-client-roles=a=read"}, tls...), append([]string{"--web-client-ca=" + nonsense, "--web-client-roles=a=read"}, tls...), append([]string{"--web-client-ca=" + in("cert.pem")}, tls...)},
		"web-client-roles":         {{"--web-client-roles=a"}, {"--web-client-roles=a=chief"}, {"--web-client-roles=a=read"}},
		"token-file":               {{"--token-file=" + nonsense}, {"--token-file=" + dir}, {"--token-file=" + openToAll}, {"--token-file=" + write("odd-role.json", `[{"name":"a","role":"chief","sha256":"00"}]`, 0o600)}, append([]string{"--web-listen=0.0.0.0:0", "--web-hosts=a"}, tls...)},
		"web-open-loopback":        {{"--web-open-loopback=perhaps"}, append([]string{"--web-open-loopback", "--web-listen=0.0.0.0:0"}, secure...), {"--web-open-loopback", "--web-behind-proxy=10.0.0.0/8", "--token-file=" + tokens}},
		"web-session-key":          {{"--web-session-key=" + nonsense}, {"--web-session-key=" + dir}, {"--web-session-key=" + in("none/key")}},
		"web-export-apart":         {{"--web-export-apart=perhaps"}},
		"oidc-issuer":              {{"--oidc-issuer=login.example"}, {"--oidc-issuer=ftp://login.example"}, {"--oidc-issuer=https://"}, {"--oidc-client-id=handprint"}, {"--oidc-redirect-url=https://a/auth/callback"}, {"--oidc-roles=soc=read"}},
		"oidc-client-id":           {{"--oidc-issuer=https://login.example", "--oidc-roles=soc=read"}},
		"oidc-client-secret-file":  {append([]string{"--oidc-client-secret-file=" + in("none")}, issuer...), append([]string{"--oidc-client-secret-file=" + dir}, issuer...)},
		"oidc-redirect-url":        {append([]string{"--oidc-redirect-url=handprint.example"}, issuer...), append([]string{"--oidc-redirect-url=https://handprint.example/callback"}, issuer...)},
		"oidc-role-claim":          {append([]string{"--oidc-role-claim="}, issuer...)},
		"oidc-roles":               {{"--oidc-issuer=https://login.example", "--oidc-client-id=handprint"}, append([]string{"--oidc-roles=soc=chief"}, issuer[:2]...), {"--oidc-roles=soc"}},
		"web-rate":                 {{"--web-rate=-1"}, {"--web-rate=NaN"}, {"--web-rate=many"}},
		"web-burst":                {{"--web-burst=0"}},
		"audit-file":               {{"--audit-file=" + dir}, {"--audit-file=" + in("none/audit.log")}},
		"serve-dir":                {{"--serve-dir="}, {"--serve-dir=" + nonsense}, {"--serve-dir=" + in("foreign")}},
		"catalog-memory":           {{"--catalog-memory=1"}, {"--catalog-memory=much"}},
		"history-retention":        {{"--history-retention=1s"}, {"--history-retention=90"}},
		"history-bytes":            {{"--history-bytes=1"}},
		"live-clients":             {{"--live-clients=0"}},
		"live-clients-per-subject": {{"--live-clients-per-subject=0"}},
		"export-severity":          {{"--export-severity=drifting=odd"}, {"--export-severity=odd=high"}, {"--export-severity=drifting"}},
	}
	without := map[string]string{ // only a broker knows whether these are wrong
		"audit-topic":      "whether it is there only a broker knows",
		"export-namespace": "any text is one",
	}
	a := newApp(streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard})
	a.root()
	for _, s := range a.settings.Settings() {
		if s.Group == config.GroupWeb && len(cases[s.Name]) == 0 && without[s.Name] == "" {
			t.Errorf("no wrong %s is tried", s.Name)
		}
	}
	broker, asked := silentBroker(t)
	for name, list := range cases {
		for n, args := range list {
			for _, command := range [][]string{{"serve"}, {"run", "--web", "--state-dir=" + in("state")}} {
				line := append(append(command[:len(command):len(command)], "--brokers="+broker, "--connect-timeout=5s", "--web-listen=127.0.0.1:0"), args...)
				if name != "serve-dir" {
					line = append(line, "--serve-dir="+in("serve"))
				}
				r := handprint(deadline(t), "", nil, line...)
				lines := strings.Split(strings.TrimSpace(r.err), "\n")
				last := lines[len(lines)-1]
				want := exitUsage
				if name == "serve-dir" && args[0] != "--serve-dir=" {
					want = exitState
				}
				if r.code != want || !strings.HasPrefix(last, "handprint: ") || !strings.Contains(last, name) || strings.Count(r.err, "handprint: ") != 1 {
					t.Errorf("%s, %d, %v: code %d, %q", name, n, args, r.code, r.err)
				}
				if was := asked.Swap(0); was != 0 {
					t.Errorf("%s, %d, %v: a broker was asked before %q", name, n, args, last)
				}
			}
		}
	}

	// A start that is refused makes no key.
	if r := handprint(deadline(t), "", nil, "serve", "--brokers="+broker, "--web-session-key="+in("new.key"), "--web-listen="+taken.Addr().String(), "--serve-dir="+in("serve")); r.code != exitUsage {
		t.Errorf("an address that is taken: %d %q", r.code, r.err)
	}
	if _, err := os.Stat(in("new.key")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a start that was refused has made a key: %v", err)
	}

	// What is in order comes to the brokers.
	for n, args := range [][]string{nil, append([]string{"--web-listen=0.0.0.0:0"}, secure...), issuer, {"--web-base-path=/handprint/", "--web-hosts=a.example,b.example:8480,[2001:db8::1]:1"}} {
		t.Run(fmt.Sprint("in order ", n), func(t *testing.T) {
			t.Parallel() // each waits as long as it may
			broker, asked := silentBroker(t)
			r := handprint(deadline(t), "", nil, append([]string{"serve", "--brokers=" + broker, "--connect-timeout=5s", "--web-listen=127.0.0.1:0", "--serve-dir=" + in(fmt.Sprint("serve", n))}, args...)...)
			if r.code != exitUnreachable || asked.Load() == 0 {
				t.Errorf("%v: code %d, %q", args, r.code, r.err)
			}
		})
	}
}
