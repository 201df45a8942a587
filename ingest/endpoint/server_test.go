package endpoint

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"handprint/ingest"
	"handprint/ingest/network"
)

const (
	eve = `{"timestamp":"2026-11-23T02:18:12.500000+0100","flow_id":123,"event_type":"ssh","src_ip":"198.51.100.7","dest_ip":"192.0.2.10","ssh":{"client":{"proto_version":"2.0","software_version":"x"}}}`
	row = `{"ts":1795396692.5,"uid":"Cab1","id.orig_h":"198.51.100.7","id.resp_h":"192.0.2.10","client":"SSH-2.0-x"}`
)

// brokers takes batches.
type brokers struct {
	mu           sync.Mutex
	err          error
	wait         chan struct{}
	entered      chan struct{}
	observations []ingest.Observation
	records      int
	dead         []ingest.DeadLetter
}

type batch struct {
	to           *brokers
	observations []ingest.Observation
	records      int
	dead         []ingest.DeadLetter
}

func (b *batch) Observation(o ingest.Observation) error {
	b.observations = append(b.observations, o)
	return nil
}

func (b *batch) Record(_, _ []byte) error {
	b.records++
	return nil
}

func (b *batch) Dead(d ingest.DeadLetter) error {
	b.dead = append(b.dead, d)
	return nil
}

func (b *batch) Send(ctx context.Context) error {
	if b.to.wait != nil {
		b.to.entered <- struct{}{}
		select {
		case <-b.to.wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	b.to.mu.Lock()
	defer b.to.mu.Unlock()
	if b.to.err != nil {
		return b.to.err
	}
	b.to.observations = append(b.to.observations, b.observations...)
	b.to.records += b.records
	b.to.dead = append(b.to.dead, b.dead...)
	return nil
}

func server(t *testing.T, change func(*Config)) (*Server, *brokers) {
	t.Helper()
	to := &brokers{}
	config := Config{
		Network:  network.Settings{Sensor: "here", LocalNets: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		NewBatch: func() Batch { return &batch{to: to} },
	}
	if change != nil {
		change(&config)
	}
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return s, to
}

func post(s *Server, path, contentType, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

const (
	ndjson = "application/x-ndjson"
	array  = "application/json"
)

func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.String()
}

func TestRequests(t *testing.T) {
	for name, c := range map[string]struct {
		path, kind, body string
		headers          []string
		code             int
		answer           string
	}{
		"NDJSON":             {"/v1/ingest/suricata", ndjson, eve + "\n" + eve + "\n", nil, 200, `{"lines":2,"observations":1,"ignored":0,"dead":0}`},
		"array":              {"/v1/ingest/suricata", array, "[" + eve + ",\n" + eve + "]", nil, 200, `{"lines":2,"observations":1,"ignored":0,"dead":0}`},
		"gzip":               {"/v1/ingest/suricata", ndjson, zipped(eve), []string{"Content-Encoding", "gzip"}, 200, `{"lines":1,"observations":1,"ignored":0,"dead":0}`},
		"zeek":               {"/v1/ingest/zeek?path=ssh", ndjson, row, nil, 200, `{"lines":1,"observations":1,"ignored":0,"dead":0}`},
		"zeek, no path":      {"/v1/ingest/zeek", ndjson, row, nil, 200, `{"lines":1,"observations":0,"ignored":1,"dead":0}`},
		"observations":       {"/v1/observations", array, `[{"attacker_uuid":"a","primitive":"x.y"}]`, nil, 200, `{"lines":1,"observations":1,"ignored":0,"dead":0}`},
		"a bad line":         {"/v1/ingest/suricata", ndjson, eve + "\nx\n" + `{"event_type":"dns"}`, nil, 200, `{"lines":3,"observations":1,"ignored":1,"dead":1}`},
		"nothing":            {"/v1/ingest/suricata", ndjson, "", nil, 200, `{"lines":1,"observations":0,"ignored":0,"dead":0}`},
		"no NDJSON":          {"/v1/ingest/suricata", ndjson, "a\nb\n", nil, 400, "no NDJSON"},
		"no array":           {"/v1/ingest/suricata", array, "[{]", nil, 400, "no JSON array"},
		"unknown path":       {"/v1/ingest/zeek?path=dns", ndjson, row, nil, 400, "path must be"},
		"no gzip":            {"/v1/ingest/suricata", ndjson, "x", []string{"Content-Encoding", "gzip"}, 400, "no gzip"},
		"other type":         {"/v1/ingest/suricata", "text/plain", eve, nil, 415, "content type"},
		"other encoding":     {"/v1/ingest/suricata", ndjson, eve, []string{"Content-Encoding", "br"}, 415, "content encoding"},
		"too large":          {"/v1/ingest/suricata", ndjson, strings.Repeat("x", 2000), nil, 413, "more than 1000 bytes"},
		"a bomb":             {"/v1/ingest/suricata", ndjson, zipped(strings.Repeat("x", 1<<20)), []string{"Content-Encoding", "gzip"}, 413, "more than 1000 bytes"},
		"gzip, two members":  {"/v1/ingest/suricata", ndjson, zipped(eve+"\n") + zipped(eve), []string{"Content-Encoding", "GZIP"}, 200, `"lines":2`},
		"gzip, cut":          {"/v1/ingest/suricata", ndjson, zipped(eve)[:60], []string{"Content-Encoding", "gzip"}, 400, "not be read to its end"},
		"array, cut":         {"/v1/ingest/suricata", array, "[" + eve + ",", nil, 400, "no JSON array"},
		"array of others":    {"/v1/ingest/suricata", array, "[" + eve + `,1,"x",null]`, nil, 200, `{"lines":4,"observations":1,"ignored":0,"dead":3}`},
		"array, empty":       {"/v1/ingest/suricata", array, "[]", nil, 200, `{"lines":0`},
		"NDJSON called JSON": {"/v1/ingest/suricata", array, eve + "\n" + eve, nil, 200, `"lines":2`},
		"CR LF":              {"/v1/ingest/suricata", ndjson + "; charset=utf-8", eve + "\r\n" + eve + "\r\n", nil, 200, `{"lines":2,"observations":1`},
		"Fluent Bit's":       {"/v1/ingest/suricata", array, `[{"date":1,"log":` + quoted(eve) + `}]`, nil, 200, `{"lines":1,"observations":1`},
		"brackets":           {"/v1/ingest/suricata", array, strings.Repeat("[", 900), nil, 400, "no JSON array"},
		"from a web page":    {"/v1/ingest/suricata", ndjson, eve, []string{"Sec-Fetch-Site", "cross-site"}, 403, ""},
		"another place":      {"/v1/ingest/cowrie", ndjson, eve, nil, 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, to := server(t, func(c *Config) { c.MaxBody = 1000 })
			w := post(s, c.path, c.kind, c.body, c.headers...)
			if w.Code != c.code || !strings.Contains(w.Body.String(), c.answer) {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, c.code, c.answer)
			}
			if c.code != 200 && (len(to.observations) > 0 || len(to.dead) > 0) {
				t.Error("something was sent")
			}
			for _, d := range to.dead {
				if name == "array of others" {
					continue
				}
				if d.Line != nil || len(d.Digest) != 64 || d.Number != 2 {
					t.Errorf("dead letter %+v", d)
				}
			}
		})
	}
}

func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// A few bytes that unpack to very many lines cost little, in the topic too.
func TestManyLinesOfNoUse(t *testing.T) {
	s, to := server(t, nil)
	for name, body := range map[string]string{"lines": strings.Repeat("\n", maxLines+1), "elements": "[" + strings.Repeat("1,", maxLines) + "1]"} {
		kind := map[string]string{"lines": ndjson, "elements": array}[name]
		if w := post(s, "/v1/observations", kind, zipped(body), "Content-Encoding", "gzip"); w.Code != 413 || !strings.Contains(w.Body.String(), "lines") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	w := post(s, "/v1/ingest/suricata", ndjson, eve+strings.Repeat("\nx", 2*maxLetters))
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"dead":2000`) || len(to.dead) != maxLetters+1 || to.dead[maxLetters].Reason != "1000 more lines of the same request" {
		t.Errorf("%d %s, %d dead letters", w.Code, w.Body, len(to.dead))
	}
}

// What is sent again has the same ids, and a body that does not come whole
// leaves nothing.
func TestSendingAgain(t *testing.T) {
	s, to := server(t, nil)
	for range 2 {
		if w := post(s, "/v1/ingest/suricata", ndjson, eve); w.Code != 200 {
			t.Fatal(w.Code)
		}
	}
	if len(to.observations) != 2 || to.observations[0].ID != to.observations[1].ID {
		t.Errorf("%+v", to.observations)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	// A slow sender that goes away in the middle of its second line.
	fmt.Fprintf(conn, "POST /v1/ingest/suricata HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s\n%s", ndjson, 2*len(eve)+1, eve, eve[:20])
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(answer), "400 Bad Request") || len(to.observations) != 2 {
		t.Errorf("%s, %v, %d observations", answer, err, len(to.observations))
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestTokensSayWhoseRowsTheyAre(t *testing.T) {
	sum := func(secret string) string {
		s := sha256.Sum256([]byte(secret))
		return hex.EncodeToString(s[:])
	}
	file := filepath.Join(t.TempDir(), "tokens.json")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(fmt.Sprintf(`[{"name":"dmz","role":"ingest","sha256":%q},{"name":"w","role":"read","sha256":%q},{"name":"old","role":"ingest","sha256":%q,"expires":"2020-01-01T00:00:00Z"}]`,
		sum("hp_a"), sum("hp_b"), sum("hp_c")))
	tokens, err := ReadTokens(file)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	tokens.now = func() time.Time { return now }
	s, to := server(t, func(c *Config) { c.Tokens = tokens })
	for secret, code := range map[string]int{"": 401, "Bearer": 401, "Basic hp_a": 401, "Bearer hp_x": 401, "Bearer hp_c": 401, "Bearer hp_b": 403, "Bearer hp_a": 200} {
		if w := post(s, "/v1/ingest/suricata", ndjson, eve, "Authorization", secret); w.Code != code {
			t.Errorf("%q: %d, want %d", secret, w.Code, code)
		}
	}
	if len(to.observations) != 1 || to.observations[0].Evidence != "suricata:dmz/2026-11-23/123" {
		t.Errorf("%+v", to.observations)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(s.Metrics())
	families, err := registry.Gather()
	if err != nil || len(families) != 6 || families[0].GetMetric()[0].GetLabel()[0].GetValue() != "dmz" {
		t.Errorf("metrics %v, %v", families, err)
	}
	write("[]\n")
	now = now.Add(time.Minute)
	if w := post(s, "/v1/ingest/suricata", ndjson, eve, "Authorization", "Bearer hp_a"); w.Code != 401 {
		t.Errorf("revoked: %d", w.Code)
	}
	if err := os.Chmod(file, 0o622); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadTokens(file); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others can write: %v", err)
	}
}

func TestBrokersThatDoNotAnswer(t *testing.T) {
	s, to := server(t, nil)
	to.err = errors.New("down")
	if w := post(s, "/v1/ingest/suricata", ndjson, eve); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d, %v", w.Code, w.Header())
	}
}

func TestTooMuchAtOnce(t *testing.T) {
	s, to := server(t, func(c *Config) { c.MaxRequests = 1 })
	to.wait, to.entered = make(chan struct{}), make(chan struct{})
	first := make(chan int)
	go func() { first <- post(s, "/v1/ingest/suricata", ndjson, eve).Code }()
	<-to.entered
	if w := post(s, "/v1/ingest/suricata", ndjson, eve); w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d, %v", w.Code, w.Header())
	}
	close(to.wait)
	if code := <-first; code != 200 {
		t.Errorf("the first: %d", code)
	}
}

func FuzzBody(f *testing.F) {
	f.Add([]byte(eve), true, false)
	f.Add([]byte("["+eve+"]"), false, false)
	f.Add([]byte(zipped(eve)), true, true)
	f.Fuzz(func(t *testing.T, data []byte, lines, packed bool) {
		s, _ := server(t, nil)
		var headers []string
		if packed {
			headers = []string{"Content-Encoding", "gzip"}
		}
		w := post(s, "/v1/ingest/zeek", map[bool]string{true: ndjson, false: array}[lines], string(data), headers...)
		if w.Code != 200 && w.Code != 400 && w.Code != 413 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}
