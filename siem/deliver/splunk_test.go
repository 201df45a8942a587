package deliver

import (
	"encoding/json"
	"errors"
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

	"github.com/google/uuid"

	"handprint/siem"
)

// hecFake behaves as Splunk documents its HTTP Event Collector ("About HTTP Event
// Collector Indexer Acknowledgment" and "Troubleshoot HTTP Event Collector", with
// the table of status codes). It is no Splunk: what the documentation does not say
// it does not know.
//
//   - A request needs the token (401 code 2 and 3, 403 code 4) and, with
//     acknowledgements, a channel that is a GUID (400 code 10 and 11).
//   - Each request that is taken has an ackId of its channel, from 0 on.
//   - The status of an ackId is false until the events are indexed, true once, and
//     false from then on: asking frees it. One that is not asked for in time, and
//     one of another channel, is false too.
//   - A full queue is 503 code 9; events before one in a wrong format are indexed,
//     and the answer is 400 with its number.
type hecFake struct {
	t testing.TB
	faults
	noAcks bool // the token has no acknowledgements
	busy   int  // one request in so many finds a full queue; 0: none
	expire int  // one ackId in so many expires before it is asked for; 0: none
	index  string

	mu       sync.Mutex
	channels map[string]*hecChannel
	indexed  map[string]int // by event id
	codes    map[int]int    // answers, by code
	expired  int
}

// hecChannel are the requests of one channel.
type hecChannel struct {
	next int64
	acks map[int64]*hecAck
}

type hecAck struct {
	events  []string
	asked   int // how often
	indexed int // it is true at this question
}

func newHECFake(t testing.TB, seed uint64, every int) *hecFake {
	return &hecFake{t: t, faults: faults{rng: rand.New(rand.NewPCG(seed, 1)), every: every}, channels: map[string]*hecChannel{}, indexed: map[string]int{}, codes: map[int]int{}}
}

func (f *hecFake) refuse(w http.ResponseWriter, status, code int, text string, more string) {
	f.codes[code]++
	http.Error(w, fmt.Sprintf(`{"text":%q,"code":%d%s}`, text, code, more), status)
}

func (f *hecFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case scheme == "":
		f.refuse(w, http.StatusUnauthorized, 2, "Token is required", "")
		return
	case scheme != "Splunk":
		f.refuse(w, http.StatusUnauthorized, 3, "Invalid authorization", "")
		return
	case token != "token":
		f.refuse(w, http.StatusForbidden, 4, "Invalid token", "")
		return
	}
	name := r.Header.Get("X-Splunk-Request-Channel")
	asks := r.URL.Path == "/services/collector/ack"
	if f.noAcks && asks {
		f.refuse(w, http.StatusBadRequest, 14, "ACK is disabled", "")
		return
	}
	if !f.noAcks {
		if name == "" {
			f.refuse(w, http.StatusBadRequest, 10, "Data channel is missing", "")
			return
		}
		if _, err := uuid.Parse(name); err != nil {
			f.refuse(w, http.StatusBadRequest, 11, "Invalid data channel", "")
			return
		}
	}
	ch := f.channels[name]
	if ch == nil {
		ch = &hecChannel{acks: map[int64]*hecAck{}}
		f.channels[name] = ch
	}
	switch {
	case asks:
		f.acks(w, ch, body)
	case r.URL.Path == "/services/collector/event":
		f.events(w, r, ch, body)
	default:
		f.t.Errorf("%s", r.URL)
	}
}

func (f *hecFake) acks(w http.ResponseWriter, ch *hecChannel, body []byte) {
	var ask struct{ Acks []int64 }
	if err := json.Unmarshal(body, &ask); err != nil {
		f.t.Error(err)
	}
	said := map[string]bool{}
	for _, id := range ask.Acks {
		a := ch.acks[id]
		said[strconv.FormatInt(id, 10)] = false
		if a == nil {
			continue
		}
		a.asked++
		switch {
		case f.expire > 0 && f.rng.IntN(f.expire) == 0:
			delete(ch.acks, id) // what was indexed is so, but nobody learns of it
			for _, e := range a.events {
				f.indexed[e]++
			}
			f.expired++
		case a.asked > a.indexed:
			for _, e := range a.events {
				f.indexed[e]++
			}
			delete(ch.acks, id)
			said[strconv.FormatInt(id, 10)] = true
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"acks": said})
}

func (f *hecFake) events(w http.ResponseWriter, r *http.Request, ch *hecChannel, body []byte) {
	if f.busy > 0 && f.rng.IntN(f.busy) == 0 {
		f.refuse(w, http.StatusServiceUnavailable, 9, "Server is busy", "")
		return
	}
	var ids []string
	for d := json.NewDecoder(strings.NewReader(string(body))); ; {
		var e struct {
			Time       float64
			SourceType string
			Index      string
			Event      *struct {
				Metadata struct{ UID string }
				Severity string
			}
		}
		err := d.Decode(&e)
		if err == io.EOF {
			break
		}
		number := fmt.Sprintf(`,"invalid-event-number":%d`, len(ids))
		switch {
		case err == nil && e.Index != f.index:
			f.refuse(w, http.StatusBadRequest, 7, "Incorrect index", number)
			return
		case err == nil && e.Event == nil:
			f.refuse(w, http.StatusBadRequest, 12, "Event field is required", number)
		case err != nil || e.SourceType != "handprint:ocsf" || e.Event.Metadata.UID == "" || e.Event.Metadata.UID == "bad":
			f.refuse(w, http.StatusBadRequest, 6, "Invalid data format", number)
		default:
			ids = append(ids, e.Event.Metadata.UID)
			continue
		}
		for _, id := range ids { // those before it are taken
			f.indexed[id]++
		}
		return
	}
	if len(ids) == 0 {
		f.refuse(w, http.StatusBadRequest, 5, "No data", "")
		return
	}
	apply := func() []byte {
		f.codes[0]++
		if f.noAcks {
			for _, id := range ids {
				f.indexed[id]++
			}
			return []byte(`{"text":"Success","code":0}`)
		}
		if f.every == 0 || f.rng.IntN(4) > 0 { // else the indexer goes down, and loses it
			ch.acks[ch.next] = &hecAck{events: ids, indexed: 1 + f.rng.IntN(3)}
		}
		ch.next++
		return fmt.Appendf(nil, `{"text":"Success","code":0,"ackId":%d}`, ch.next-1)
	}
	if !f.strike(w, r, apply) {
		_, _ = w.Write(apply())
	}
}

func openHEC(url string, more func(*SplunkConfig)) func() Receiver {
	return func() Receiver {
		c := SplunkConfig{URL: url, SourceType: "handprint:ocsf", Acks: true, AckTimeout: 50 * time.Millisecond, AckEvery: time.Millisecond, Formatter: siem.NewFormatter(siem.OCSF, siem.Options{})}
		if more != nil {
			more(&c)
		}
		return newSplunk(c, newWebClient(nil, authorization("Splunk", "token")))
	}
}

// Nothing is lost through full queues, indexers that go down, acknowledgements
// that expire, faults of the network, and kills.
func TestSplunkWaitsForAcknowledgements(t *testing.T) {
	log := newLog(topics.StateChanged)
	fill(log, 2, 24, transitions)
	fake := newHECFake(t, 1, 5)
	fake.busy, fake.expire = 5, 5
	server := httptest.NewServer(fake)
	defer server.Close()
	deliverAll(t, log, 2, true, openHEC(server.URL, nil))
	if len(fake.indexed) != 24 || len(log.dead) != 0 {
		t.Errorf("%d of 24 events are indexed, %d are dead", len(fake.indexed), len(log.dead))
	}
	if fake.codes[9] == 0 || fake.expired == 0 {
		t.Errorf("answers by code %v, %d acknowledgements expired: the test tests less than it should", fake.codes, fake.expired)
	}
}

// Without faults each event is indexed once: an acknowledgement that is false at
// first is asked for again, and nothing is sent again.
func TestSplunkAsksAgain(t *testing.T) {
	log := newLog(topics.StateChanged)
	fill(log, 3, 20, transitions)
	fake := newHECFake(t, 1, 0)
	server := httptest.NewServer(fake)
	defer server.Close()
	deliverAll(t, log, 3, false, openHEC(server.URL, func(c *SplunkConfig) { c.AckTimeout = time.Minute }))
	for id, n := range fake.indexed {
		if n != 1 {
			t.Errorf("%s was indexed %d times", id, n)
		}
	}
	if len(fake.indexed) != 20 {
		t.Errorf("%d events", len(fake.indexed))
	}
}

// One event in a wrong format is a dead letter, alone.
func TestSplunkFindsTheEventToBlame(t *testing.T) {
	log := newLog(topics.StateChanged)
	for _, id := range []string{"e0", "e1", "bad", "e3"} {
		log.append(0, nil, fmt.Appendf(nil, `{"event_id":%q,"identity_uuid":"i","primitive":"a.b","old_state":null,"new_state":"stable","current_value":1,"confidence":0.5,"observation_count":4,"ts":1}`, id))
	}
	fake := newHECFake(t, 1, 0)
	server := httptest.NewServer(fake)
	defer server.Close()
	s := deliverAll(t, log, 1, false, openHEC(server.URL, func(c *SplunkConfig) { c.AckTimeout = time.Minute }))
	if len(fake.indexed) != 3 || s.Never != 1 || len(log.dead) != 1 || !strings.Contains(log.dead["0/2"], "Invalid data format") {
		t.Errorf("indexed %v, %+v, dead %v", fake.indexed, s, log.dead)
	}
}

// What is set up wrongly is no event's fault: nothing is a dead letter, and the
// operator is told.
func TestSplunkIsSetUpWrongly(t *testing.T) {
	for name, c := range map[string]struct {
		fake   func(*hecFake)
		open   func(*SplunkConfig)
		token  string
		change func(*Splunk)
		want   string
	}{
		"acks off there": {fake: func(f *hecFake) { f.noAcks = true }, want: "switch indexer acknowledgement on"},
		"wrong index":    {fake: func(f *hecFake) { f.index = "handprint" }, want: "code 7: Incorrect index"},
		"no channel":     {change: func(s *Splunk) { s.channel = "" }, want: "code 10: Data channel is missing"},
		"channel":        {change: func(s *Splunk) { s.channel = "x" }, want: "code 11: Invalid data channel"},
		"token":          {token: "other", want: "Invalid token"},
		"no token":       {token: "none", want: "Token is required"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := newHECFake(t, 1, 0)
			if c.fake != nil {
				c.fake(fake)
			}
			server := httptest.NewServer(fake)
			defer server.Close()
			s := openHEC(server.URL, c.open)().(*Splunk)
			switch c.token {
			case "none":
				s.client = newWebClient(nil, nil)
			case "":
			default:
				s.client = newWebClient(nil, authorization("Splunk", c.token))
			}
			if c.change != nil {
				c.change(s)
			}
			it := &Item{Event: &siem.Event{ID: "e"}, Body: []byte(`{"sourcetype":"handprint:ocsf","event":{"metadata":{"uid":"e"}}}`)}
			err := s.Deliver(deadline(t), []*Item{it})
			var wrong *Misconfigured
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, not %q", err, c.want)
			}
		})
	}
}

// A token without acknowledgements is served by a sink without them.
func TestSplunkWithoutAcknowledgements(t *testing.T) {
	log := newLog(topics.StateChanged)
	fill(log, 4, 20, transitions)
	fake := newHECFake(t, 1, 0)
	fake.noAcks, fake.busy = true, 3
	server := httptest.NewServer(fake)
	defer server.Close()
	deliverAll(t, log, 4, false, openHEC(server.URL, func(c *SplunkConfig) { c.Acks = false }))
	if len(fake.indexed) != 20 || fake.codes[9] == 0 {
		t.Errorf("%d events, answers by code %v", len(fake.indexed), fake.codes)
	}
}
