package serve

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
	"handprint/internal/broker"
	"handprint/schemas"
	"handprint/serve/api"
	"handprint/topology"
)

// brokers is what needs a broker: the engine's health, dead letters, and writing.
type brokers struct {
	client *kgo.Client
	names  topology.Names
	// application is the id of the engine's group.
	application string
	format      *schemas.Format  // of identity events; nil: JSON
	writers     *schemas.Writers // of Avro records; nil: JSON alone
	watch       func(ctx context.Context) (*api.Health, error)
	now         func() time.Time
	log         *slog.Logger

	behind func() float64 // seconds that what is shown is old; nil: not noted
	noted  samples

	opts       []kgo.Opt // of clients that are made for one reader
	partitions int32
	lookEvery  time.Duration // bounds healthEvery; 0: it does not
	observers  chan struct{} // a place for each reader of observations

	health    atomic.Pointer[api.Health]
	instances instances
}

// brokerTime bounds a question to the brokers.
const brokerTime = 5 * time.Second

// healthEvery is how often the brokers are asked how far the engine is.
const healthEvery = 2 * time.Second

// Health implements api.Operations.
func (b *brokers) Health() *api.Health { return b.health.Load() }

// run asks for the engine's health until ctx ends.
func (b *brokers) run(ctx context.Context) {
	if b.watch == nil {
		return
	}
	var hearing sync.WaitGroup
	defer hearing.Wait()
	hearing.Go(func() { b.hear(ctx) })
	every := healthEvery
	if b.lookEvery > 0 {
		every = min(every, b.lookEvery)
	}
	t := time.NewTicker(every)
	defer t.Stop()
	fresh := b.now()
	failing := false
	for {
		asked, cancel := context.WithTimeout(ctx, brokerTime)
		h, err := b.watch(asked)
		cancel()
		if err != nil && ctx.Err() == nil && !failing {
			b.log.Warn("the brokers cannot be asked how far the engine is, trying again", "error", err)
		}
		failing = err != nil
		if err == nil {
			now := b.now()
			if h.InputLag == 0 {
				fresh = now
			}
			h.BehindFor, h.TS = now.Sub(fresh).Seconds(), float64(now.UnixMilli())/1000
			b.instances.add(h, b.application, now)
			b.health.Store(h)
			if b.behind != nil {
				b.noted.add(now, h.InputLag, b.behind())
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Topology implements api.Operations.
func (b *brokers) Topology() api.Graph {
	g := b.names.Graph()
	to := api.Graph{Nodes: []api.Node{}, Edges: []api.Edge{}}
	for _, n := range g.Nodes {
		to.Nodes = append(to.Nodes, api.Node{Name: n.Name, Kind: n.Kind, Detail: n.Detail})
	}
	for _, e := range g.Edges {
		to.Edges = append(to.Edges, api.Edge{From: e.From, To: e.To, What: e.What})
	}
	return to
}

// DeadLetters implements api.Operations: the newest of each partition.
func (b *brokers) DeadLetters(ctx context.Context, limit int) ([]api.DeadLetter, error) {
	ctx, cancel := context.WithTimeout(ctx, brokerTime)
	defer cancel()
	adm := kadm.NewClient(b.client)
	starts, err := adm.ListStartOffsets(ctx, b.names.DeadLetter)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the dead letters: %w", err)
	}
	ends, err := adm.ListCommittedOffsets(ctx, b.names.DeadLetter)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the dead letters: %w", err)
	}
	list := []api.DeadLetter{}
	for p, end := range ends[b.names.DeadLetter] {
		start, _ := starts.Lookup(b.names.DeadLetter, p)
		// Markers have offsets as well: look a little further back.
		from := max(start.Offset, end.Offset-4*int64(limit))
		err := broker.ScanRange(ctx, b.client, func(r *kgo.Record) error {
			list = append(list, *deadLetter(r))
			return nil
		}, b.names.DeadLetter, p, from, end.Offset)
		if err != nil {
			return nil, fmt.Errorf("reading the dead letters: %w", err)
		}
	}
	slices.SortFunc(list, func(x, y api.DeadLetter) int {
		return cmp.Or(cmp.Compare(y.TS, x.TS), cmp.Compare(y.Partition, x.Partition), cmp.Compare(y.Offset, x.Offset))
	})
	return list[:min(limit, len(list))], nil
}

func (b *brokers) find(ctx context.Context, topic string, partition int32, offset int64) (found *kgo.Record, err error) {
	ends, err := kadm.NewClient(b.client).ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the end of %s: %w", topic, err)
	}
	if end, ok := ends.Lookup(topic, partition); !ok || offset >= end.Offset {
		return nil, api.ErrNotFound
	}
	err = broker.ScanRange(ctx, b.client, func(r *kgo.Record) error {
		if r.Offset == offset {
			found = r
		}
		return nil
	}, topic, partition, offset, offset+1)
	if err != nil {
		return nil, fmt.Errorf("reading %s[%d] offset %d: %w", topic, partition, offset, err)
	}
	if found == nil {
		return nil, api.ErrNotFound
	}
	return found, nil
}

// DeadLetter implements api.Operations.
func (b *brokers) DeadLetter(ctx context.Context, partition int32, offset int64) (*api.DeadLetter, error) {
	ctx, cancel := context.WithTimeout(ctx, brokerTime)
	defer cancel()
	r, err := b.find(ctx, b.names.DeadLetter, partition, offset)
	if err != nil {
		return nil, err
	}
	return deadLetter(r), nil
}

func deadLetter(r *kgo.Record) *api.DeadLetter {
	text := func(key string) string {
		v, _ := schemas.Header(r.Headers, key)
		return Printable(v, 1024)
	}
	partition, _ := strconv.ParseInt(text(schemas.HeaderSourcePartition), 10, 32)
	offset, _ := strconv.ParseInt(text(schemas.HeaderSourceOffset), 10, 64)
	millis, _ := strconv.ParseInt(text(schemas.HeaderSourceTimestamp), 10, 64)
	return &api.DeadLetter{
		Partition: r.Partition, Offset: r.Offset, TS: float64(r.Timestamp.UnixMilli()) / 1000, Reason: text(schemas.HeaderReason), Stage: text(schemas.HeaderStage),
		Topic: text(schemas.HeaderSourceTopic), Source: int32(partition), At: offset, Size: len(r.Value), Preview: Printable(r.Value, 2048),
		SourceMillis: millis,
	}
}

// Printable returns the beginning of what somebody has sent, with everything escaped
// that is not plainly printed.
func Printable(b []byte, limit int) string {
	var out strings.Builder
	for _, c := range strings.ToValidUTF8(string(b[:min(len(b), limit)]), "\uFFFD") {
		if unicode.IsPrint(c) && !unicode.Is(unicode.Bidi_Control, c) {
			out.WriteRune(c)
		} else {
			out.WriteString(strings.Trim(strconv.QuoteRuneToASCII(c), "'"))
		}
	}
	return out.String()
}

// Replay implements api.Operations: the original goes to the topic that it came from.
func (b *brokers) Replay(ctx context.Context, partition int32, offset int64) (*api.Sent, error) {
	ctx, cancel := context.WithTimeout(ctx, brokerTime)
	defer cancel()
	r, err := b.find(ctx, b.names.DeadLetter, partition, offset)
	if err != nil {
		return nil, err
	}
	topic, _ := schemas.Header(r.Headers, schemas.HeaderSourceTopic)
	if t := string(topic); t != b.names.Observations && t != b.names.IdentityEvents {
		return nil, api.ErrNotReplayable
	}
	if _, cut := schemas.Header(r.Headers, schemas.HeaderOriginalSize); cut {
		return nil, api.ErrNotReplayable
	}
	original := &kgo.Record{Topic: string(topic), Key: r.Key, Value: b.writers.Original(r.Value)}
	for _, h := range r.Headers {
		if !strings.HasPrefix(h.Key, "handprint.") {
			original.Headers = append(original.Headers, h)
		}
	}
	return b.send(ctx, original)
}

// EventMillis implements api.Operations.
func (b *brokers) EventMillis(ctx context.Context, offset int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, brokerTime)
	defer cancel()
	r, err := b.find(ctx, b.names.IdentityEvents, 0, offset)
	if err != nil {
		return 0, err
	}
	return r.Timestamp.UnixMilli(), nil
}

// SendEvent implements api.Operations.
func (b *brokers) SendEvent(ctx context.Context, e *attribution.IdentityEvent) (*api.Sent, error) {
	ctx, cancel := context.WithTimeout(ctx, brokerTime)
	defer cancel()
	return b.send(ctx, &kgo.Record{Topic: b.names.IdentityEvents, Key: []byte(e.Identity), Value: b.format.AppendIdentityEvent(nil, e)})
}

func (b *brokers) send(ctx context.Context, r *kgo.Record) (*api.Sent, error) {
	sent, err := b.client.ProduceSync(ctx, r).First()
	if err != nil {
		return nil, fmt.Errorf("writing to %s: %w", r.Topic, err)
	}
	return &api.Sent{Topic: sent.Topic, Partition: sent.Partition, Offset: sent.Offset, After: fmt.Sprintf("%s:%d:%d", sent.Topic, sent.Partition, sent.Offset)}, nil
}

// Bounds of looking for evidence references.
const (
	maxEvidence  = 32
	evidenceTime = 2 * time.Second
)

// Evidence fills in the evidence references of an explanation from the input topic.
func (b *brokers) Evidence(ctx context.Context, x *engine.Explanation) {
	ctx, cancel := context.WithTimeout(ctx, evidenceTime)
	defer cancel()
	decode := schemas.ObservationDecoder{Writers: b.writers}
	looked := 0
	for _, window := range [][]engine.ExplainedEntry{x.Window.Recent, x.Window.Older} {
		for i := range window {
			e := &window[i]
			if looked++; looked > maxEvidence {
				e.Gone = "not looked for: there are more than 32"
				continue
			}
			r, err := b.find(ctx, b.names.Observations, e.At.Partition, e.At.Offset)
			if err != nil {
				e.Gone = "no longer in the topic"
				if ctx.Err() != nil {
					e.Gone = "not found within two seconds"
				}
				continue
			}
			var o attribution.Observation
			if err := decode.Decode(r.Value, &o); err != nil {
				e.Gone = "the record cannot be read"
				continue
			}
			reference := string(o.Evidence)
			e.Evidence = &reference
		}
	}
}
