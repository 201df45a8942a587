package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// proxy stands in front of a receiver and makes it fail.
type proxy interface {
	address() string // host:port
	calm()           // no more faults
	report() string  // how often which fault was made
	close()
}

// webFaults are the faults of an HTTP receiver. late is one where the receiver
// has taken the request, and says that it has not.
var webFaults = []string{"429", "500", "503", "late 503", "cut", "half an answer", "stall"}

// bulkFault is the fault of a bulk request: a 200 in which some items are refused.
const bulkFault = "mixed"

// webProxy passes HTTP on, and makes one request of every fail.
type webProxy struct {
	target string
	every  int
	bulk   bool          // bulk requests, so mixed answers too
	stall  time.Duration // how long a stall lasts, if the sink does not end it
	server *httptest.Server
	client *http.Client

	mu     sync.Mutex
	rng    *rand.Rand
	quiet  bool
	counts map[string]int
}

func newWebProxy(target string, seed uint64, every int, bulk bool) *webProxy {
	p := &webProxy{target: target, every: every, bulk: bulk, rng: rand.New(rand.NewPCG(seed, 3)), counts: map[string]int{}, stall: time.Minute, client: &http.Client{Timeout: 2 * time.Minute}}
	p.server = httptest.NewServer(p)
	return p
}

func (p *webProxy) address() string { return p.server.Listener.Addr().String() }

func (p *webProxy) calm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.quiet = true
}

func (p *webProxy) report() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return describe(p.counts)
}

func (p *webProxy) close() {
	p.server.CloseClientConnections()
	p.server.Close()
}

func describe(counts map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(parts, ", ")
}

// fault chooses what happens to a request; empty: nothing.
func (p *webProxy) fault() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.quiet || p.rng.IntN(p.every) > 0 {
		return ""
	}
	kinds := webFaults
	if p.bulk {
		kinds = append(slices.Clone(kinds), bulkFault, bulkFault)
	}
	kind := kinds[p.rng.IntN(len(kinds))]
	p.counts[kind]++
	return kind
}

func (p *webProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the sink was killed in the middle of a request
	}
	kind := p.fault()
	switch kind {
	case "429":
		w.Header().Set("Retry-After", "1")
		http.Error(w, "slow down", http.StatusTooManyRequests)
		return
	case "500", "503":
		status, _ := strconv.Atoi(kind)
		http.Error(w, "a fault", status)
		return
	case "cut":
		panic(http.ErrAbortHandler)
	case bulkFault:
		p.mixed(w, r, body)
		return
	}
	// What a receiver has begun it ends, even if the sink is killed meanwhile.
	status, header, answer, err := p.forward(context.WithoutCancel(r.Context()), r, body)
	if err != nil {
		http.Error(w, "the receiver is down", http.StatusBadGateway)
		return
	}
	switch kind {
	case "late 503":
		http.Error(w, "a fault", http.StatusServiceUnavailable)
		return
	case "stall":
		select {
		case <-r.Context().Done():
		case <-time.After(p.stall):
		}
		panic(http.ErrAbortHandler)
	}
	if t := header.Get("Content-Type"); t != "" {
		w.Header().Set("Content-Type", t)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	w.WriteHeader(status)
	if kind == "half an answer" {
		_, _ = w.Write(answer[:len(answer)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(answer)
}

func (p *webProxy) forward(ctx context.Context, r *http.Request, body []byte) (status int, header http.Header, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, "http://"+p.target+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	for k, v := range r.Header {
		if k != "Accept-Encoding" && k != "Connection" {
			req.Header[k] = v
		}
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, answer, err
}

// bulkItem is one action of a bulk request.
type bulkItem struct {
	action string
	text   []byte // its lines
}

func bulkItems(body []byte) []bulkItem {
	var items []bulkItem
	lines := bytes.SplitAfter(body, []byte("\n"))
	for i := 0; i < len(lines) && len(lines[i]) > 0; i++ {
		var meta map[string]json.RawMessage
		if json.Unmarshal(lines[i], &meta) != nil {
			return nil
		}
		for action := range meta {
			it := bulkItem{action, slices.Clone(lines[i])}
			if action != "delete" {
				i++
				it.text = append(it.text, lines[i]...)
			}
			items = append(items, it)
		}
	}
	return items
}

// mixed passes some items of a bulk request on, and answers for the others with
// 429 and 503, in one 200.
func (p *webProxy) mixed(w http.ResponseWriter, r *http.Request, body []byte) {
	items := bulkItems(body)
	var passed []byte
	taken, n := make([]bool, len(items)), 0
	p.mu.Lock()
	for i, it := range items {
		if p.rng.IntN(2) == 0 {
			taken[i], passed = true, append(passed, it.text...)
			n++
		}
	}
	p.mu.Unlock()
	var answer struct {
		Items []json.RawMessage `json:"items"`
	}
	if n > 0 {
		status, _, text, err := p.forward(context.WithoutCancel(r.Context()), r, passed)
		if err != nil || status != http.StatusOK || json.Unmarshal(text, &answer) != nil || len(answer.Items) != n {
			http.Error(w, "the receiver is down", http.StatusBadGateway)
			return
		}
	}
	all := make([]json.RawMessage, len(items))
	for i, it := range items {
		if taken[i] {
			all[i], answer.Items = answer.Items[0], answer.Items[1:]
			continue
		}
		status := []int{http.StatusTooManyRequests, http.StatusServiceUnavailable}[i%2]
		all[i] = fmt.Appendf(nil, `{%q:{"status":%d,"error":{"type":"rejected_execution_exception","reason":"a fault"}}}`, it.action, status)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"took": 1, "errors": true, "items": all})
}

// streamProxy passes a stream on, and cuts or stalls it at random.
type streamProxy struct {
	target   string
	listener net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	owner    sync.WaitGroup

	mu     sync.Mutex
	rng    *rand.Rand
	quiet  bool
	counts map[string]int
}

// stallTime is how long a stream stands still before it is cut: less than resend,
// as what stood still for longer is what syslog cannot promise.
const stallTime = 1500 * time.Millisecond

func newStreamProxy(ctx context.Context, target string, seed uint64) (*streamProxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &streamProxy{target: target, listener: l, rng: rand.New(rand.NewPCG(seed, 4)), counts: map[string]int{}}
	p.ctx, p.cancel = context.WithCancel(ctx)
	p.owner.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.owner.Go(func() { p.serve(conn.(*net.TCPConn)) })
		}
	})
	return p, nil
}

func (p *streamProxy) address() string { return p.listener.Addr().String() }

func (p *streamProxy) calm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.quiet = true
}

func (p *streamProxy) report() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return describe(p.counts)
}

func (p *streamProxy) close() {
	p.cancel()
	_ = p.listener.Close()
	p.owner.Wait()
}

// maxCuts is how many connections are cut: a stream that is cut all the time never
// gets what it sends again through.
const maxCuts = 10

// limit returns after how many bytes a connection fails, and whether it stands
// still before; 0: it does not fail.
func (p *streamProxy) limit() (n int64, stall bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.quiet || p.counts["cut"] >= maxCuts {
		return 0, false
	}
	return 200_000 + p.rng.Int64N(1_500_000), p.rng.IntN(3) == 0
}

func (p *streamProxy) serve(client *net.TCPConn) {
	defer client.Close()
	raw, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.SetLinger(0)
		return
	}
	server := raw.(*net.TCPConn)
	defer server.Close()
	ended := context.AfterFunc(p.ctx, func() { client.Close(); server.Close() })
	defer ended()
	var back sync.WaitGroup
	defer back.Wait()
	back.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close() // the receiver has ended: so does the connection
	})
	limit, stall := p.limit()
	if limit == 0 {
		_, _ = io.Copy(server, client)
		_ = server.CloseWrite()
		return
	}
	if _, err := io.CopyN(server, client, limit); err != nil {
		_ = server.CloseWrite()
		return
	}
	p.mu.Lock()
	p.counts["cut"]++
	if stall {
		p.counts["stall"]++
	}
	p.mu.Unlock()
	if stall {
		select {
		case <-time.After(stallTime):
		case <-p.ctx.Done():
		}
	}
	// What the proxy holds and what stands in its sockets is lost.
	_ = client.SetLinger(0)
	_ = server.SetLinger(0)
	_ = server.Close()
}
