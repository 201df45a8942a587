package deliver

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"handprint/internal/canonical"
	"handprint/siem"
)

// Splunk is Splunk's HTTP Event Collector. With acknowledgements, a batch is done
// when the indexers have it, and is sent again if they do not say so in time.
type Splunk struct {
	client    *webClient
	url       string
	channel   string
	formatter *siem.Formatter
	source    string // sourcetype
	index     string
	acks      bool
	ackTime   time.Duration
	ackEvery  time.Duration
}

// defaultAckTime is how long indexers may take to acknowledge.
const defaultAckTime = 2 * time.Minute

// SplunkConfig says where a Splunk is.
type SplunkConfig struct {
	URL        string // such as https://splunk:8088
	Index      string // empty: the token's
	SourceType string
	Acks       bool          // the token has indexer acknowledgement
	AckTimeout time.Duration // until a batch is sent again; 0: 2 min
	AckEvery   time.Duration // between questions; 0: 1 s
	Formatter  *siem.Formatter
}

func newSplunk(c SplunkConfig, client *webClient) *Splunk {
	s := &Splunk{client: client, url: c.URL, formatter: c.Formatter, source: c.SourceType, index: c.Index, acks: c.Acks, ackTime: c.AckTimeout, ackEvery: c.AckEvery}
	if s.ackTime == 0 {
		s.ackTime = defaultAckTime
	}
	if s.ackEvery == 0 {
		s.ackEvery = time.Second
	}
	id, err := uuid.NewRandomFromReader(rand.Reader)
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	s.channel = id.String()
	return s
}

// Prepare implements Receiver.
func (s *Splunk) Prepare(it *Item) {
	dst := append(it.Body[:0], `{"time":`...)
	dst = canonical.AppendFloat(dst, float64(it.Event.Time)/1000)
	dst = append(dst, `,"host":"handprint"`...)
	dst = canonical.AppendString(append(dst, `,"source":`...), it.Event.Topic)
	dst = canonical.AppendString(append(dst, `,"sourcetype":`...), s.source)
	if s.index != "" {
		dst = canonical.AppendString(append(dst, `,"index":`...), s.index)
	}
	dst = append(dst, `,"event":`...)
	it.Body = append(s.formatter.Append(dst, it.Event), '}')
}

type hecAnswer struct {
	Text string `json:"text"`
	Code int    `json:"code"`
	Ack  *int64 `json:"ackId"`
}

// Deliver implements Receiver.
func (s *Splunk) Deliver(ctx context.Context, items []*Item) error {
	var body []byte
	for _, it := range items {
		body = append(append(body, it.Body...), '\n')
	}
	header := http.Header{"X-Splunk-Request-Channel": {s.channel}}
	a, err := s.client.post(ctx, s.url+"/services/collector/event", "application/json", body, header)
	if err != nil {
		return err
	}
	if err := hecProblem(a); err != nil {
		return err
	}
	var got hecAnswer
	if err := json.Unmarshal(a.body, &got); err != nil {
		return fmt.Errorf("%w: %s", errNoJSON, oneLine(a.body))
	}
	if got.Code != 0 {
		return fmt.Errorf("code %d: %s", got.Code, oneLine([]byte(got.Text)))
	}
	if s.acks {
		if got.Ack == nil {
			return &Misconfigured{fmt.Errorf("no ackId in the answer: switch indexer acknowledgement on for the token, or acks off for the sink")}
		}
		if err := s.await(ctx, *got.Ack); err != nil {
			return err
		}
	}
	judge(items, Done, "")
	return nil
}

// hecProblem is the error of a collector's answer. With 400 it refuses some events,
// or says that the token, its index or its acknowledgements are not set up as the
// sink is: then no event is to blame.
func hecProblem(a *answer) error {
	err := a.problem()
	if a.status != http.StatusBadRequest {
		return err
	}
	var got hecAnswer
	if json.Unmarshal(a.body, &got) == nil {
		switch got.Code {
		case 7, 10, 11, 14, 16, 21, 22:
			// Index, channel, acknowledgements, token.
			return &Misconfigured{fmt.Errorf("code %d: %s", got.Code, oneLine([]byte(got.Text)))}
		}
	}
	return err
}

// await asks until a batch is indexed. Splunk says true once, and false for what it
// has not indexed, has told already, or has forgotten because it was asked too
// late: such a batch is sent again.
func (s *Splunk) await(ctx context.Context, ack int64) error {
	ctx, cancel := context.WithTimeout(ctx, s.ackTime)
	defer cancel()
	id := strconv.FormatInt(ack, 10)
	for {
		a, err := s.client.post(ctx, s.url+"/services/collector/ack?channel="+s.channel, "application/json", []byte(`{"acks":[`+id+`]}`), http.Header{"X-Splunk-Request-Channel": {s.channel}})
		if err == nil {
			err = hecProblem(a)
		}
		if m := (*Misconfigured)(nil); errors.As(err, &m) {
			return err
		}
		var got struct{ Acks map[string]bool }
		if err == nil && json.Unmarshal(a.body, &got) == nil && got.Acks[id] {
			return nil
		}
		if !(wallClock{}).Sleep(ctx, s.ackEvery) {
			return fmt.Errorf("the indexers have not acknowledged a batch in time: %w", ctx.Err())
		}
	}
}

// Close implements Receiver.
func (s *Splunk) Close(context.Context) error { s.client.close(); return nil }
