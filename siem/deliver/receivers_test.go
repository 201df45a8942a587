package deliver

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"handprint/schemas"
	"handprint/siem"
	"handprint/siem/siemtest"
)

// syslogFake is a syslog server that breaks connections at random, and loses then
// what it had received last but not worked off.
type syslogFake struct {
	t        testing.TB
	listener net.Listener
	mu       sync.Mutex
	rng      *rand.Rand
	breaks   int // so many connections are broken yet
	got      map[string]int
	wg       sync.WaitGroup
}

func newSyslogFake(t testing.TB, seed uint64, breaks int) *syslogFake {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &syslogFake{t: t, listener: l, rng: rand.New(rand.NewPCG(seed, 1)), breaks: breaks, got: map[string]int{}}
	f.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.wg.Go(func() { f.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); f.wg.Wait() })
	return f
}

// serve reads octet-counted messages, and works them off when the next comes: a
// break loses the one before.
func (f *syslogFake) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	var waiting []string
	for {
		n, err := in.ReadString(' ')
		if err != nil {
			if n != "" {
				f.t.Errorf("half a frame: %q", n)
			}
			f.take(waiting)
			return
		}
		size, err := strconv.Atoi(strings.TrimSpace(n))
		if err != nil {
			f.t.Errorf("no length: %q", n)
			return
		}
		message := make([]byte, size)
		if _, err := io.ReadFull(in, message); err != nil {
			return
		}
		waiting = append(waiting, string(message))
		if len(waiting) > 3 {
			f.take(waiting[:1])
			waiting = waiting[1:]
		}
		f.mu.Lock()
		broken := f.breaks > 0 && f.rng.IntN(6) == 0
		if broken {
			f.breaks--
		}
		f.mu.Unlock()
		if broken {
			return
		}
	}
}

func (f *syslogFake) take(messages []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range messages {
		fields := strings.SplitN(m, " ", 8)
		if len(fields) != 8 || !strings.HasPrefix(fields[0], "<13") || !strings.HasSuffix(fields[0], ">1") || fields[3] != "handprint" || fields[6] != "-" || !strings.HasPrefix(fields[7], "CEF:0|") {
			f.t.Errorf("no message of ours: %.200q", m)
			continue
		}
		_, id, _ := strings.Cut(m, " externalId=")
		f.got[id[:36]]++
	}
}

func TestSyslogSendsAgainWhatABreakMayHaveLost(t *testing.T) {
	const n = 60
	log := newLog(topics.StateChanged)
	fill(log, 6, n, transitions)
	fake := newSyslogFake(t, 6, 8)
	deliverAll(t, log, 6, false, func() Receiver {
		return newSyslog(SyslogConfig{Network: "tcp", Address: fake.listener.Addr().String(), Resend: 200 * time.Millisecond, Formatter: siem.NewFormatter(siem.CEF, siem.Options{})})
	})
	fake.listener.Close()
	fake.wg.Wait()
	if len(fake.got) != n || len(log.dead) != 0 {
		t.Errorf("%d of %d events arrived, %d are dead", len(fake.got), n, len(log.dead))
	}
}

func TestFilesAreRotatedAndWhole(t *testing.T) {
	log := newLog(topics.StateChanged)
	fill(log, 7, 80, transitions)
	name := filepath.Join(t.TempDir(), "events.log")
	if err := os.WriteFile(name, []byte("whole\nhalf a li"), 0o640); err != nil {
		t.Fatal(err)
	}
	deliverAll(t, log, 7, true, func() Receiver { return newFiles(name, 20_000, 500, siem.NewFormatter(siem.OCSF, siem.Options{})) })
	seen, files := map[string]bool{}, 0
	matches, _ := filepath.Glob(name + "*")
	for _, path := range matches {
		files++
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if line == "whole\n" {
				continue
			}
			var e struct{ Metadata struct{ UID string } }
			if err := json.Unmarshal([]byte(line), &e); err != nil || !strings.HasSuffix(line, "\n") {
				t.Errorf("%s: %v in %.100q", path, err, line)
			}
			seen[e.Metadata.UID] = true
		}
	}
	if len(seen) != 80 || files < 3 {
		t.Errorf("%d of 80 events in %d files", len(seen), files)
	}
}

func TestFeedFolder(t *testing.T) {
	log := newLog(topics.State)
	r := siemtest.New(8)
	row := func(identity, value string, at float64) []byte {
		x := r.Row()
		x.Identity, x.Primitive, x.Row.Value, x.Row.UpdatedAt = identity, "toolchain.ssh.hassh_client", []byte(value), at
		return schemas.AppendStateRowJSON(nil, x)
	}
	const one, two = `"0123456789abcdef0123456789abcdef"`, `"f123456789abcdef0123456789abcdef"`
	key := func(identity string) []byte {
		return schemas.AppendStateRowKey(nil, identity, "toolchain.ssh.hassh_client")
	}
	log.append(0, key("a"), row("a", one, 1795000000))
	log.append(0, key("a"), row("a", two, 1795000100))
	log.append(1, key("b"), row("b", one, 1795000000))
	dir := filepath.Join(t.TempDir(), "feed")
	open := func() Receiver { return newFeedFolder(dir, siem.MISPOptions{}) }
	deliverAll(t, log, 8, true, open)
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	a, b := (&siem.MISP{Identity: "a"}).FeedFile(), (&siem.MISP{Identity: "b"}).FeedFile()
	if text := read(a); !strings.Contains(text, two) || strings.Contains(text, one) {
		t.Errorf("a is not as its newest row: %s", text)
	}
	var manifest map[string]any
	if err := json.Unmarshal([]byte(read(siem.FeedManifest)), &manifest); err != nil || len(manifest) != 2 {
		t.Errorf("%v, %v", manifest, err)
	}
	if n := strings.Count(read(siem.FeedHashes), "\n"); n != 2 {
		t.Errorf("%d hashes", n)
	}
	// All of it once more, by another process: nothing changes, not even a file.
	before, err := os.Stat(filepath.Join(dir, a))
	if err != nil {
		t.Fatal(err)
	}
	log.committed = map[int32]int64{}
	if s := deliverAll(t, log, 8, false, open); s.Had != 3 {
		t.Errorf("%+v", s)
	}
	after, _ := os.Stat(filepath.Join(dir, a))
	if !after.ModTime().Equal(before.ModTime()) || strings.Contains(read(a), one) {
		t.Error("a late repeat changed the feed")
	}
	log.append(1, key("b"), nil)
	deliverAll(t, log, 8, false, open)
	if text := read(b); !strings.Contains(text, `"deleted":true`) {
		t.Errorf("the tombstone deleted nothing: %s", text)
	}
}

func TestReadSinks(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "sinks.yaml")
	for _, c := range []struct{ text, want string }{
		{"sinks: []", "has no sinks"},
		{"sinks:\n  - {name: a/b, type: file, path: x}", "name must be"},
		{"sinks:\n  - {name: a, type: xml}", "type must be"},
		{"sinks:\n  - {name: a, type: file}", "path must name"},
		{"sinks:\n  - {name: a, type: file, path: x}\n  - {name: a, type: file, path: x}", "stands twice"},
		{"sinks:\n  - {name: a, type: webhook, url: 'ftp://x'}", "url must begin"},
		{"sinks:\n  - {name: a, type: webhook, url: 'https://u:p@x'}", "url must begin"},
		{"sinks:\n  - {name: a, type: syslog, network: tcp, address: x}", "address must be"},
		{"sinks:\n  - {name: a, type: syslog, network: quic, address: 'x:1'}", "network must be"},
		{"sinks:\n  - {name: a, type: file, path: x, format: xml}", "format must be"},
		{"sinks:\n  - {name: a, type: elasticsearch, url: 'http://x', format: cef}", "format must be ecs or ocsf"},
		{"sinks:\n  - {name: a, type: misp-feed, path: x, format: ecs}", "has its own"},
		{"sinks:\n  - {name: a, type: file, path: x, events: [nothing]}", "events: must be among"},
		{"sinks:\n  - {name: a, type: file, path: x, min-severity: huge}", "min-severity"},
		{"sinks:\n  - {name: a, type: file, path: x, colour: red}", "colour"},
		{"sinks:\n  - {name: a, type: file, path: x, timeout: -1s}", "must not be negative"},
	} {
		if err := os.WriteFile(name, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadSinks(name); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, not %q", c.text, err, c.want)
		}
	}
	text := `sinks:
  - name: elastic
    type: elasticsearch
    url: https://elastic:9200/
    timeout: 5s
    batch-bytes: 1000000
  - {name: hec, type: splunk, url: 'https://splunk:8088', token-file: ` + filepath.Join(dir, "token") + `, acks: false, min-severity: low}
  - {name: rsyslog, type: syslog, network: tls, address: 'logs:6514', format: leef}
  - {name: hook, type: webhook, url: 'http://10.0.0.1/x'}
  - {name: files, type: file, path: events.log, keep: 0, states: [drifting]}
  - {name: feed, type: misp-feed, path: feed}
  - {name: taxii, type: taxii, url: 'https://taxii/api1/collections/c'}
`
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("t\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sinks, err := ReadSinks(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sinks {
		r, err := sinks[i].Open(siem.ExportOptions{})
		if err != nil || r == nil {
			t.Errorf("%s: %v", sinks[i].Name, err)
		}
	}
	if got := fmt.Sprintln(sinks[0].Topics(&topics), sinks[5].Topics(&topics), sinks[0].URL, sinks[0].Pace().Timeout); got != "[t s c r] [s c r] https://elastic:9200 5s\n" {
		t.Error(got)
	}
}
