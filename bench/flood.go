package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/internal/load"
	"handprint/topology"
)

// floodedPartition is the partition that a flood goes to.
const floodedPartition = 0

// flood is a flood of one partition.
type flood struct {
	rate int // observations a second; 0: none
	// elsewhere: it goes to a topic that nobody reads. That shows what the sender and
	// the broker alone take from the others.
	elsewhere bool
}

// flooding is what a flood has come to.
type flooding struct {
	Others []time.Duration `json:",omitempty"` // latency of the other partitions, sorted
	Done   float64         // observations of the flooded partition that were taken in, a second
	Lag    int64           // observations of it that were not, at the end
}

// floodTopic returns the topic that a flood goes to.
func (b *rig) floodTopic(ctx context.Context, f flood, observations string) (string, error) {
	if !f.elsewhere {
		return observations, nil
	}
	names := topology.DefaultNames(observations+"-elsewhere-", "app")
	names.Health, names.Control = b.input.Health, b.input.Control
	return names.Observations, b.topics(ctx, names)
}

// floodWith sends observations of one attacker that were made to be expensive, so
// many a second, until ctx ends: a fingerprint that is another one each time.
func (b *rig) floodWith(ctx context.Context, topic string, rate int) error {
	if rate == 0 {
		return nil
	}
	attacker := ""
	for n := 0; attacker == ""; n++ {
		if a := fmt.Sprintf("203.0.113.%d", n); attribution.AttackerPartition([]byte(a), b.load.Partitions) == floodedPartition {
			attacker = a
		}
	}
	failed := make(chan error, 1)
	began := time.Now()
	ticks := time.NewTicker(time.Millisecond)
	defer ticks.Stop()
	for i := 0; ; {
		for ; i < int(float64(rate)*time.Since(began).Seconds()); i++ {
			value := fmt.Appendf(nil, `{"attacker_uuid":%q,"primitive":"toolchain.ssh.hassh_client","value":"%s%08x","ts":%v,"evidence_ref":"f%d"}`,
				attacker, strings.Repeat("w", 240), i, load.Start+float64(i)*load.Step, i)
			b.client.Produce(context.WithoutCancel(ctx), &kgo.Record{Topic: topic, Partition: floodedPartition, Key: []byte(attacker), Value: value}, func(_ *kgo.Record, err error) {
				if err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			})
		}
		select {
		case <-ticks.C:
		case err := <-failed:
			return fmt.Errorf("flooding a partition: %w", err)
		case <-ctx.Done():
			return nil
		}
	}
}

// isFlooded reports whether the rows of an identity are in the partition that is
// flooded.
func (b *rig) isFlooded(identity []byte) bool {
	return attribution.IdentityPartition(string(identity), b.load.Partitions) == floodedPartition
}
