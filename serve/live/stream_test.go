package live

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"handprint/serve/history"
)

// told is what a client was told of.
type told struct {
	events, summed, missed int64
	reset, snapshot        bool
	ids                    map[string]int // of the events, how often each came
	last                   string
	err                    error
}

func (t *told) total() int64 { return t.events + t.summed + t.missed }

// server serves a stream, and ends with the test.
func server(t *testing.T, s *Stream, f Filter) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leave, ok := s.Admit("anybody")
		if !ok {
			http.Error(w, "full", http.StatusTooManyRequests)
			return
		}
		defer leave()
		var last *ID
		if text := r.Header.Get("Last-Event-ID"); text != "" {
			id, err := ParseID(text)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			last = &id
		}
		_ = s.Serve(r.Context(), w, f, last)
	}))
	srv.Config.ConnContext = WithConn
	srv.Start()
	t.Cleanup(func() { s.Stop(); srv.Close() })
	return srv
}

func newHistory(t *testing.T) *history.History {
	t.Helper()
	h, err := history.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func newTestStream(t *testing.T, ring *Ring, tick chan time.Time) *Stream {
	t.Helper()
	return NewStream(Config{
		Ring: ring, History: newHistory(t), Snapshot: func() any { return map[string]int{"n": 1} }, Stale: func() string { return "" },
		Clients: 100, PerSubject: 100, Tick: func() <-chan time.Time { return tick },
	})
}

// read reads events until the stream ends; each is called after each event.
func read(response *http.Response, each func(t *told)) (t told) {
	defer response.Body.Close()
	t.ids = map[string]int{}
	in, event, id := bufio.NewReader(response.Body), "", ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return t
		}
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			event, id = strings.TrimSpace(name), ""
		}
		if text, ok := strings.CutPrefix(line, "id: "); ok {
			id = strings.TrimSpace(text)
			t.last = id
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		var d struct{ Skipped, Missed int64 }
		if t.err = json.Unmarshal([]byte(data), &d); t.err != nil {
			return t
		}
		switch event {
		case StateChanged:
			t.events++
			t.ids[id]++
		case "summary":
			t.summed += d.Skipped
		case "gap":
			t.missed += d.Missed
		case "reset":
			t.reset = true
		case "snapshot":
			t.snapshot = true
		case "bye":
			return t
		}
		each(&t)
	}
}

func get(t *testing.T, ctx context.Context, url, last string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		t.Fatalf("the stream answers %d", response.StatusCode)
	}
	return response
}

func transition(n int) Event {
	return Event{
		ID: ID{int64(1000 + n), int32(n % 4), int64(n)}, Type: StateChanged, Identity: fmt.Sprint("i", n%7), Primitive: "a.b", OldState: "stable", NewState: "drifting",
		Data: fmt.Appendf(nil, `{"n":%d,"filler":%q}`, n, strings.Repeat("x", 200)),
	}
}

// A client that wants few events a second is told of all others in summaries.
func TestFloodsAreSummedUp(t *testing.T) {
	tick := make(chan time.Time)
	ring := NewRing(100_000)
	s := newTestStream(t, ring, tick)
	srv := server(t, s, Filter{Rate: 10})
	response := get(t, t.Context(), srv.URL, "")
	done := make(chan told, 1)
	const all = 5000
	go func() {
		done <- read(response, func(now *told) {
			if now.total() == all {
				s.Stop()
			}
		})
	}()
	go func() {
		for n := range all {
			ring.Publish(transition(n))
		}
		for {
			select {
			case tick <- time.Time{}:
			case <-s.stopping:
				return
			}
		}
	}()
	got := <-done
	if got.err != nil || got.total() != all || got.events < 10 || got.summed == 0 || !got.snapshot {
		t.Errorf("told of %d one by one, %d in summaries, %d in gaps of %d: %v", got.events, got.summed, got.missed, all, got.err)
	}
}

// A client that reads more slowly than events come falls off the ring, is told how
// many it missed, and stops nobody.
func TestSlowClientsAreToldOfGaps(t *testing.T) {
	tick := make(chan time.Time)
	ring := NewRing(200)
	s := newTestStream(t, ring, tick)
	srv := server(t, s, Filter{Rate: 1 << 30})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const all, clients = 40_000, 8
	release := make(chan struct{})
	var running sync.WaitGroup
	got := make([]told, clients)
	for i := range got {
		response := get(t, ctx, srv.URL, "")
		running.Go(func() {
			if i > 0 { // the first reads at once
				<-release
			}
			got[i] = read(response, func(now *told) {
				if now.total() == all {
					_ = response.Body.Close()
				}
			})
		})
	}
	for n := range all { // returns although seven clients do not read
		ring.Publish(transition(n))
	}
	close(release)
	running.Wait()
	missed := int64(0)
	for i := range got {
		if got[i].total() != all {
			t.Errorf("client %d was told of %d one by one and %d in gaps of %d", i, got[i].events, got[i].missed, all)
		}
		for id, n := range got[i].ids {
			if n > 1 {
				t.Errorf("client %d was sent %s %d times", i, id, n)
			}
		}
		missed += got[i].missed
	}
	if missed == 0 {
		t.Error("nobody fell off the ring: the test shows nothing")
	}
	if _, counted, _ := s.Clients(); counted != missed {
		t.Errorf("%d missed events are counted, and %d told", counted, missed)
	}
}

// A client that does not read at all is cut off, and leaves its place to another.
func TestStuckClientsAreCutOff(t *testing.T) {
	ring := NewRing(10_000)
	s := newTestStream(t, ring, make(chan time.Time))
	s.WriteTime = 50 * time.Millisecond
	srv := server(t, s, Filter{Rate: 1 << 30})
	c, err := net.Dial("tcp", strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(3 * time.Minute)
	for n := 0; ; n++ {
		for i := range 1000 {
			ring.Publish(transition(1000*n + i))
		}
		now, _, cut := s.Clients()
		if cut == 1 && now == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d clients after three minutes, %d were cut off", now, cut)
		}
		runtime.Gosched() // the client is cut off beside it
	}
}

// Who comes back is given what was recorded meanwhile, and who comes back too late is
// told so.
func TestResumingFromTheHistory(t *testing.T) {
	ring := NewRing(10)
	s := newTestStream(t, ring, make(chan time.Time))
	srv := server(t, s, Filter{Rate: 1 << 30})
	var entries []history.Entry
	for n := range 300 {
		entries = append(entries, history.Entry{
			Identity: "i", Kind: history.State, Primitive: "a.b", OldState: "stable", NewState: "drifting", EventID: fmt.Sprint(n),
			Recorded: 1000 + float64(n), Source: history.Transitions, Partition: 0, Offset: int64(n),
		})
	}
	if err := s.History.Add(entries, nil); err != nil {
		t.Fatal(err)
	}
	response := get(t, t.Context(), srv.URL, ID{1_200_000, 0, 200}.String())
	got := read(response, func(now *told) {
		if now.last == (ID{1_299_000, 0, 299}).String() {
			_ = response.Body.Close()
		}
	})
	for n := 201; n < 300; n++ {
		if id := (ID{int64(1000+n) * 1000, 0, int64(n)}).String(); got.ids[id] == 0 {
			t.Errorf("event %d was not sent", n)
		}
	}
	if got.reset || got.snapshot || got.ids["1100000.0.100"] > 0 {
		t.Errorf("reset %v, snapshot %v, or events of long before", got.reset, got.snapshot)
	}
	response = get(t, t.Context(), srv.URL, ID{5000, 0, 1}.String())
	got = read(response, func(now *told) {
		if now.snapshot {
			_ = response.Body.Close()
		}
	})
	if !got.reset || !got.snapshot {
		t.Error("who comes back from before the history is not told so")
	}
}

// There are bounds on clients, altogether and of one subject.
func TestClientsAreBounded(t *testing.T) {
	s := NewStream(Config{Clients: 3, PerSubject: 2})
	leave, ok := s.Admit("a")
	if !ok {
		t.Fatal("the first is refused")
	}
	if _, ok := s.Admit("a"); !ok {
		t.Error("the second is refused")
	}
	if _, ok := s.Admit("a"); ok {
		t.Error("a third of one subject is let in")
	}
	if _, ok := s.Admit("b"); !ok {
		t.Error("another subject is refused")
	}
	if _, ok := s.Admit("c"); ok {
		t.Error("a fourth is let in")
	}
	leave()
	if _, ok := s.Admit("c"); !ok {
		t.Error("a place that was left is not free")
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("1795959338411.3.1823")
	f.Add("..")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseID(text)
		if err != nil {
			return
		}
		again, err := ParseID(id.String())
		if err != nil || again != id {
			t.Errorf("%q gives %v, which gives %v: %v", text, id, again, err)
		}
	})
}
