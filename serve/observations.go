package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/schemas"
	"handprint/serve/api"
	"handprint/serve/live"
)

// maxObservers bounds the live clients that are told of observations: each has a
// reader of its own.
const maxObservers = 50

// Observe implements api.Observer: it reads what comes from now on of some attackers
// from the input topic, until ctx ends.
func (b *brokers) Observe(ctx context.Context, identity string, attackers []string, to *live.Observed) error {
	select {
	case b.observers <- struct{}{}:
		defer func() { <-b.observers }()
	default:
		return api.ErrTooMany
	}
	from := map[int32]kgo.Offset{}
	for _, a := range attackers {
		from[attribution.AttackerPartition(a, b.partitions)] = kgo.NewOffset().AtEnd()
	}
	client, err := kgo.NewClient(append(b.opts[:len(b.opts):len(b.opts)], kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{b.names.Observations: from}),
		kgo.FetchMaxBytes(1<<20), kgo.FetchMaxPartitionBytes(1<<20))...)
	if err != nil {
		return fmt.Errorf("reading observations: %w", err)
	}
	defer client.Close()
	decode := schemas.ObservationDecoder{Writers: b.writers}
	for {
		fetches := client.PollRecords(ctx, 1000)
		if ctx.Err() != nil {
			return nil
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var o attribution.Observation
			if !slices.Contains(attackers, string(r.Key)) || decode.Decode(r.Value, &o) != nil || !slices.Contains(attackers, string(o.Attacker)) {
				return
			}
			data, err := json.Marshal(observed{
				Identity: identity, Attacker: string(o.Attacker), Primitive: string(o.Primitive), Value: json.RawMessage(o.Value), TS: o.TS,
				Confidence: o.Confidence, Source: string(o.Source), Recorded: float64(r.Timestamp.UnixMilli()) / 1000,
			})
			if err == nil {
				to.Publish(live.Event{Type: live.Observation, Identity: identity, Primitive: string(o.Primitive), Data: data})
			}
		})
	}
}

// observed is an observation as live clients see it.
type observed struct {
	Identity   string          `json:"identity_uuid"`
	Attacker   string          `json:"attacker_uuid"`
	Primitive  string          `json:"primitive"`
	Value      json.RawMessage `json:"value"`
	TS         float64         `json:"ts"`
	Confidence float64         `json:"confidence"`
	Source     string          `json:"source,omitempty"`
	Recorded   float64         `json:"recorded"`
}
