package deliver

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"handprint/schemas"
	"handprint/siem"
	"handprint/siem/siemtest"
)

// faults makes a receiver fail at random: 429, 5xx, half an answer, a stall, an
// end of the connection before anything was said.
type faults struct {
	rng   *rand.Rand
	every int  // one request in so many fails; 0: none
	plain bool // the answer's text says nothing, so no garbled one is a fault
}

// strike reports whether the request has failed. apply does what the request
// asks for: some faults come when that is done already.
func (f *faults) strike(w http.ResponseWriter, r *http.Request, apply func() []byte) bool {
	if f.every == 0 || f.rng.IntN(f.every) > 0 {
		return false
	}
	kinds := 6
	if f.plain {
		kinds = 5
	}
	switch f.rng.IntN(kinds) {
	case 0:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "slow down", http.StatusTooManyRequests)
	case 1:
		http.Error(w, "broken", http.StatusBadGateway)
	case 2:
		answer := apply()
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		_, _ = w.Write(answer[:len(answer)/2])
		panic(http.ErrAbortHandler)
	case 3:
		panic(http.ErrAbortHandler)
	case 4:
		apply()
		<-r.Context().Done() // a stall
	case 5:
		_, _ = w.Write([]byte(`{"not":"what was`))
	}
	return true
}

// elasticFake is Elasticsearch's _bulk as far as it is used: create refuses an id
// that is there, external versions refuse what is not newer.
type elasticFake struct {
	t testing.TB
	faults
	mu       sync.Mutex
	events   map[string]string // by index/id
	creates  int
	rows     map[string]int64 // version
	deleted  map[string]int64
	reject   func(doc string) int // status of an item; 0: taken
	requests int
}

func (f *elasticFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	body, err := io.ReadAll(r.Body)
	if err != nil || r.URL.Path != "/_bulk" || r.Header.Get("Content-Type") != "application/x-ndjson" {
		f.t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
	apply := func() []byte { return f.bulk(string(body)) }
	if !f.strike(w, r, apply) {
		_, _ = w.Write(apply())
	}
}

func (f *elasticFake) bulk(body string) []byte {
	type meta struct {
		Index   string `json:"_index"`
		ID      string `json:"_id"`
		Version int64  `json:"version"`
		Type    string `json:"version_type"`
	}
	var items []map[string]any
	answer := func(action string, status int) {
		one := map[string]any{"status": status}
		if status >= 400 {
			one["error"] = map[string]any{"type": "some_exception"}
		}
		items = append(items, map[string]any{action: one})
	}
	s := bufio.NewScanner(strings.NewReader(body))
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		var line map[string]meta
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			f.t.Errorf("%v in %s", err, s.Bytes())
		}
		for action, m := range line {
			doc := ""
			if action != "delete" {
				s.Scan()
				doc = s.Text()
			}
			if f.reject != nil {
				if status := f.reject(doc); status != 0 {
					answer(action, status)
					continue
				}
			}
			if f.every > 0 && f.rng.IntN(20) == 0 {
				answer(action, http.StatusTooManyRequests)
				continue
			}
			key := m.Index + "/" + m.ID
			newest := max(f.rows[key], f.deleted[key])
			switch {
			case action == "create" && f.events[key] != "":
				answer(action, http.StatusConflict)
			case action == "create":
				f.events[key] = doc
				f.creates++
				answer(action, http.StatusCreated)
			case m.Type != "external":
				f.t.Errorf("%s without a version", action)
			case newest > 0 && m.Version+1 <= newest:
				answer(action, http.StatusConflict)
			case action == "delete":
				_, there := f.rows[key]
				delete(f.rows, key)
				f.deleted[key] = m.Version + 1
				answer(action, map[bool]int{true: 200, false: 404}[there])
			default:
				f.rows[key] = m.Version + 1
				answer(action, http.StatusOK)
			}
		}
	}
	text, _ := json.Marshal(map[string]any{"errors": true, "items": items})
	return text
}

func newElasticFake(t testing.TB, seed uint64, every int) *elasticFake {
	return &elasticFake{t: t, faults: faults{rng: rand.New(rand.NewPCG(seed, 1)), every: every}, events: map[string]string{}, rows: map[string]int64{}, deleted: map[string]int64{}}
}

// deliverAll runs loops over a log until everything is committed, each killed
// after a random number of requests, if kills is set.
func deliverAll(t *testing.T, log *memoryLog, seed uint64, kills bool, open func() Receiver) Status {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 2))
	var all Status
	for runs := 0; !log.done(); runs++ {
		if runs > 2000 {
			t.Fatal("no end")
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		r := open()
		if kills {
			r = &mortal{Receiver: r, left: 1 + rng.IntN(8), kill: cancel}
		}
		c := newConfig(log.reader(cancel), r)
		if kills { // receivers without faults do not hang; a machine may be slower than this
			c.Pace.Timeout = 300 * time.Millisecond
		}
		loop := NewLoop(c)
		err := loop.Run(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		s := loop.Status()
		all.Delivered, all.Had, all.Never, all.Again = all.Delivered+s.Delivered, all.Had+s.Had, all.Never+s.Never, all.Again+s.Again
	}
	return all
}

// mortal is a receiver of a process that is killed in the middle of a request.
type mortal struct {
	Receiver
	left int
	kill context.CancelFunc
}

func (m *mortal) Deliver(ctx context.Context, items []*Item) error {
	if m.left--; m.left < 0 {
		m.kill()
	}
	return m.Receiver.Deliver(ctx, items)
}

func fill(log *memoryLog, seed uint64, n int, next func(*siemtest.Records, int) (key, value []byte)) {
	r := siemtest.New(seed)
	for i := range n {
		key, value := next(r, i)
		log.append(int32(i%3), key, value)
	}
}

func transitions(r *siemtest.Records, _ int) (key, value []byte) {
	return nil, schemas.AppendTransitionJSON(nil, r.Transition())
}

func TestElasticLosesNothing(t *testing.T) {
	log := newLog(topics.StateChanged)
	fill(log, 1, 150, transitions)
	fake := newElasticFake(t, 1, 4)
	server := httptest.NewServer(fake)
	defer server.Close()
	s := deliverAll(t, log, 1, true, func() Receiver {
		return newElastic(ElasticConfig{URL: server.URL, Formatter: siem.NewFormatter(siem.ECS, siem.Options{Version: "1"})}, newWebClient(nil, nil))
	})
	if len(fake.events) != 150 || fake.creates != 150 || len(log.dead) != 0 {
		t.Errorf("%d events, created %d times, %d dead letters; %+v", len(fake.events), fake.creates, len(log.dead), s)
	}
	for key, doc := range fake.events {
		if !json.Valid([]byte(doc)) || !strings.HasPrefix(key, "logs-handprint.state_changed-default/") {
			t.Errorf("%s: %s", key, doc)
		}
	}
}

// A document in OCSF has the time that a data stream needs.
func TestElasticTakesOCSF(t *testing.T) {
	e := newElastic(ElasticConfig{URL: "http://x", Formatter: siem.NewFormatter(siem.OCSF, siem.Options{})}, newWebClient(nil, nil))
	it := &Item{Event: &siem.Event{ID: "x", Kind: siem.Transition, Time: 1795000000123, Identity: "i", Primitive: "a.b", Value: []byte("1")}}
	e.Prepare(it)
	_, doc, _ := strings.Cut(string(it.Body), "\n")
	var got struct {
		At  int64 `json:"@timestamp"`
		UID int64 `json:"class_uid"`
	}
	if err := json.Unmarshal([]byte(doc), &got); err != nil || got.At != 1795000000123 || got.UID != 2004 {
		t.Errorf("%v: %s", err, doc)
	}
}

// The index templates are JSON, and hold values to one type.
func TestElasticTemplates(t *testing.T) {
	for _, text := range [][]byte{EventsTemplate(), RowsTemplate()} {
		var got struct {
			Patterns []string `json:"index_patterns"`
			Template struct {
				Mappings struct {
					Properties map[string]any
				}
			}
		}
		if err := json.Unmarshal(text, &got); err != nil || len(got.Patterns) != 1 || got.Template.Mappings.Properties["@timestamp"] == nil {
			t.Errorf("%v: %s", err, text)
		}
	}
}

// Of a mixed answer each item is judged by itself.
func TestElasticJudgesEachItem(t *testing.T) {
	log := newLog(topics.StateChanged)
	for i := range 6 {
		log.append(0, nil, fmt.Appendf(nil, `{"event_id":"e%d","identity_uuid":"i","primitive":"a.b","old_state":null,"new_state":"stable","current_value":1,"confidence":0.5,"observation_count":4,"ts":1}`, i))
	}
	fake := newElasticFake(t, 1, 0)
	refused := 0
	fake.reject = func(doc string) int {
		switch {
		case strings.Contains(doc, `"id":"e2"`):
			return http.StatusBadRequest
		case strings.Contains(doc, `"id":"e4"`) && refused < 3:
			refused++
			return http.StatusTooManyRequests
		}
		return 0
	}
	server := httptest.NewServer(fake)
	defer server.Close()
	s := deliverAll(t, log, 1, false, func() Receiver {
		return newElastic(ElasticConfig{URL: server.URL, Formatter: siem.NewFormatter(siem.ECS, siem.Options{})}, newWebClient(nil, nil))
	})
	if s.Delivered != 5 || s.Never != 1 || s.Again != 3 || !strings.HasPrefix(log.dead["0/2"], "400 ") || len(log.dead) != 1 {
		t.Errorf("%+v, dead %v", s, log.dead)
	}
}

// A late repeat never takes the place of a newer row, and never brings back a
// deleted one.
func TestElasticKeepsTheNewestRow(t *testing.T) {
	log := newLog(topics.State)
	r := siemtest.New(4)
	row := r.Row()
	row.Identity, row.Primitive = "i", "a.b"
	key := schemas.AppendStateRowKey(nil, "i", "a.b")
	for range 3 {
		log.append(0, key, schemas.AppendStateRowJSON(nil, row))
	}
	log.append(0, key, nil)
	fake := newElasticFake(t, 1, 0)
	server := httptest.NewServer(fake)
	defer server.Close()
	open := func() Receiver {
		return newElastic(ElasticConfig{URL: server.URL, Formatter: siem.NewFormatter(siem.ECS, siem.Options{})}, newWebClient(nil, nil))
	}
	deliverAll(t, log, 1, false, open)
	if len(fake.rows) != 0 {
		t.Fatalf("%v", fake.rows)
	}
	log.committed[0] = 1 // the offsets are lost
	s := deliverAll(t, log, 1, false, open)
	if len(fake.rows) != 0 || s.Had != 3 {
		t.Errorf("%v, %+v", fake.rows, s)
	}
}

func TestWebhookIsSigned(t *testing.T) {
	log := newLog(topics.StateChanged)
	fill(log, 3, 40, transitions)
	var mu sync.Mutex
	f := faults{rng: rand.New(rand.NewPCG(3, 1)), every: 4, plain: true}
	got := map[string]bool{}
	secret := []byte("secret")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		at, err := strconv.ParseInt(r.Header.Get(HeaderTimestamp), 10, 64)
		if err != nil || r.Header.Get(HeaderSignature) != Sign(secret, at, body) {
			t.Errorf("the signature %q does not fit: %v", r.Header.Get(HeaderSignature), err)
		}
		apply := func() []byte {
			for line := range strings.Lines(string(body)) {
				var e struct{ Metadata struct{ UID string } }
				if err := json.Unmarshal([]byte(line), &e); err != nil {
					t.Error(err)
				}
				got[e.Metadata.UID] = true
			}
			return []byte("{}")
		}
		if !f.strike(w, r, apply) {
			_, _ = w.Write(apply())
		}
	}))
	defer server.Close()
	deliverAll(t, log, 3, true, func() Receiver {
		return newWebhook(server.URL+"/hook", secret, "application/x-ndjson", siem.NewFormatter(siem.OCSF, siem.Options{}), newWebClient(nil, nil))
	})
	if len(got) != 40 || len(log.dead) != 0 {
		t.Errorf("%d of 40 events, %d dead", len(got), len(log.dead))
	}
}

// A receiver that refuses a batch gets it in halves, until the one event that is
// to blame is alone.
func TestTheEventToBlameIsFound(t *testing.T) {
	log := newLog(topics.StateChanged)
	for i := range 7 {
		log.append(0, nil, fmt.Appendf(nil, `{"event_id":"e%d","identity_uuid":"i","primitive":"a.b","old_state":null,"new_state":"stable","current_value":1,"confidence":0.5,"observation_count":4,"ts":1}`, i))
	}
	took := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"uid":"e3"`) {
			http.Error(w, "no\nsuch thing", http.StatusUnprocessableEntity)
			return
		}
		took += strings.Count(string(body), "\n")
	}))
	defer server.Close()
	s := deliverAll(t, log, 1, false, func() Receiver {
		return newWebhook(server.URL, nil, "application/x-ndjson", siem.NewFormatter(siem.OCSF, siem.Options{}), newWebClient(nil, nil))
	})
	if took != 6 || s.Delivered != 6 || s.Never != 1 || log.dead["0/3"] != "422 Unprocessable Entity: no such thing " {
		t.Errorf("%d taken, %+v, %v", took, s, log.dead)
	}
}

// Events and their credentials go nowhere but where the operator said.
func TestNoRedirectsAndNoMetadata(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	it := []*Item{{Event: &siem.Event{ID: "x"}, Body: []byte("x\n")}}
	deliver := func(url string) error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return newWebhook(url, nil, "", nil, newWebClient(nil, nil)).Deliver(ctx, it)
	}
	if err := deliver(server.URL); err == nil || !strings.Contains(err.Error(), "307") {
		t.Errorf("a redirect: %v", err)
	}
	for _, url := range []string{"http://169.254.169.254/latest", "http://[fe80::1]:80/", "http://[fd00:ec2::254]/", "http://100.100.100.200/"} {
		if err := deliver(url); err == nil || !strings.Contains(err.Error(), "link-local") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestTAXII(t *testing.T) {
	log := newLog(topics.Suspected)
	fill(log, 5, 30, func(r *siemtest.Records, _ int) ([]byte, []byte) {
		return nil, schemas.AppendSuspicionJSON(nil, r.Suspicion())
	})
	var mu sync.Mutex
	objects, status := map[string]bool{}, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("Accept") != taxiiType {
			t.Errorf("Accept is %q", r.Header.Get("Accept"))
		}
		w.Header().Set("Content-Type", taxiiType)
		if strings.HasPrefix(r.URL.Path, "/api1/status/") {
			status++
			_, _ = io.WriteString(w, `{"id":"s","status":"complete"}`)
			return
		}
		if r.URL.Path != "/api1/collections/c/objects/" || r.Header.Get("Content-Type") != taxiiType {
			t.Errorf("%s with %s", r.URL, r.Header.Get("Content-Type"))
		}
		var envelope struct{ Objects []struct{ ID string } }
		if err := json.NewDecoder(r.Body).Decode(&envelope); err != nil {
			t.Error(err)
		}
		for _, o := range envelope.Objects {
			objects[o.ID] = true
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"id":"s","status":"pending"}`)
	}))
	defer server.Close()
	deliverAll(t, log, 5, false, func() Receiver {
		x := newTAXII(server.URL+"/api1/collections/c/", newWebClient(nil, nil))
		x.status = time.Millisecond
		return x
	})
	notes := 0
	for id := range objects {
		if strings.HasPrefix(id, "note--") {
			notes++
		}
	}
	if notes != 30 || status == 0 {
		t.Errorf("%d notes, asked %d times for a status", notes, status)
	}
}
