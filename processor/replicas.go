package processor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

const minInsyncReplicas = "min.insync.replicas"

// shortOfReplicas returns the partitions that take no record now: fewer replicas are
// in sync than their topic asks for. The brokers refuse each write with
// NOT_ENOUGH_REPLICAS, and the client sends it again on its own for a while (see
// maxRecordRetries): till then nothing else names it.
func shortOfReplicas(topics kadm.TopicDetails, configs kadm.ResourceConfigs) (short map[TopicPartition]string) {
	short = make(map[TopicPartition]string)
	for _, c := range configs {
		least := 1
		for _, config := range c.Configs {
			if config.Key == minInsyncReplicas {
				least, _ = strconv.Atoi(config.MaybeValue())
			}
		}
		t := topics[c.Name]
		if c.Err != nil || t.Err != nil {
			continue
		}
		for _, p := range t.Partitions {
			// A topic that asks for more than it has is held to what it has.
			if len(p.ISR) < min(least, len(p.Replicas)) {
				short[TopicPartition{c.Name, p.Partition}] = fmt.Sprintf("%d of %d in sync, %s is %d", len(p.ISR), len(p.Replicas), minInsyncReplicas, least)
			}
		}
	}
	return short
}

// noteReplicas logs partitions that take no record, once in a while, and that they
// all take some again.
func (w *watch) noteReplicas(short map[TopicPartition]string, now time.Time) {
	switch {
	case len(short) == 0:
		if !w.shortSaid.IsZero() {
			w.log.Info("enough replicas are in sync again")
		}
		w.shortSaid = time.Time{}
	case w.shortSaid.IsZero() || now.Sub(w.shortSaid) >= logAgain:
		w.shortSaid = now
		first := slices.MinFunc(slices.Collect(maps.Keys(short)), func(a, b TopicPartition) int {
			return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
		})
		w.log.Warn("too few replicas are in sync: the brokers take no record (NOT_ENOUGH_REPLICAS), and the application waits", "topic", first.Topic, "partition", first.Partition,
			"replicas", short[first], "partitions", len(short))
	}
}
