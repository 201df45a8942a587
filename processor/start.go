package processor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// newTopicPatience is how long a topic that has just been created may be unknown
// to a broker.
const newTopicPatience = 2 * time.Second

// checkCluster refuses to start on a cluster that cannot work, with one line
// that says why.
func (p *Processor) checkCluster(ctx context.Context, client *kgo.Client) error {
	limit, cancel := context.WithTimeout(ctx, p.cfg.StartTimeout)
	defer cancel()
	if err := whileStarting(limit, p.cfg.Clock, func() error { return client.Ping(limit) }); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		seeds, _ := client.OptValue(kgo.SeedBrokers).([]string)
		return fmt.Errorf("cannot reach any broker of [%s]: %w", strings.Join(seeds, " "), err)
	}
	p.warnOldBroker(limit, client)
	admin := kadm.NewClient(client)
	if err := whileStarting(limit, p.cfg.Clock, func() error { return p.checkTopics(limit, admin) }); err != nil {
		return err
	}
	if err := p.confirmInstance(limit); err != nil {
		return err
	}
	return whileStarting(limit, p.cfg.Clock, func() error { return p.confirmJob(limit) })
}

// whileStarting calls f again as long as brokers do not answer it, until ctx
// ends: that one of them is away for a moment is no reason not to start. For a
// short while it does so too when f misses a topic: one that has just been
// created is not known to every broker at once.
func whileStarting(ctx context.Context, clock Clock, f func() error) error {
	patience, cancel := context.WithTimeout(ctx, newTopicPatience)
	defer cancel()
	retry := backoff{clock: clock, max: time.Second}
	for {
		err := f()
		limit := ctx
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			limit = patience
		}
		if !unanswered(err) || retry.wait(limit) != nil {
			return err
		}
	}
}

// unanswered reports whether a broker could not be asked, or asks for patience.
func unanswered(err error) bool {
	if k := (*kerr.Error)(nil); errors.As(err, &k) {
		return k.Retriable
	}
	var network net.Error
	return errors.As(err, &network) || kgo.IsRetryableBrokerErr(err)
}

func (p *Processor) checkTopics(ctx context.Context, admin *kadm.Client) error {
	want := make(map[string]int32)
	names := slices.Concat(p.cfg.consumed(), []string{p.cfg.Changelog})
	for _, t := range names {
		want[t] = p.cfg.partitionsOf(t)
	}
	for _, t := range []string{p.cfg.Health, p.cfg.Control} {
		if t != "" {
			names = append(names, t)
		}
	}
	topics, err := admin.ListTopics(ctx, slices.Concat(names, p.cfg.Outputs)...)
	if err != nil {
		return fmt.Errorf("asking for the topics: %w", err)
	}
	for _, name := range names {
		t, ok := topics[name]
		n, counted := want[name]
		switch {
		case !ok || errors.Is(t.Err, kerr.UnknownTopicOrPartition):
			return &missingTopic{name}
		case t.Err != nil:
			return fmt.Errorf("topic %s: %w", name, t.Err)
		case counted && int32(len(t.Partitions)) != n:
			return p.cfg.wrongPartitions(name, int32(len(t.Partitions)))
		}
	}
	p.setJob(topics)
	p.watch.firstIDs(topics)
	return nil
}

// wrongPartitions is the error of a topic with another number of partitions than
// it must have.
func (c *Config) wrongPartitions(topic string, has int32) error {
	if slices.Contains(c.Singles, topic) {
		return fmt.Errorf("topic %s has %d partitions, must have 1: its records have one total order", topic, has)
	}
	return fmt.Errorf("topic %s has %d partitions, must have %d", topic, has, c.Partitions)
}

// missingTopic is a topic that does not exist, as far as one broker knows.
type missingTopic struct{ name string }

func (e *missingTopic) Error() string { return fmt.Sprintf("topic %s does not exist", e.name) }
func (e *missingTopic) Unwrap() error { return kerr.UnknownTopicOrPartition }

// warnOldBroker warns of a cluster without the second version of transactions
// (KIP-890, Kafka 4.0): before it, an EndTxn that is late on its way can end
// the next transaction of the same producer.
func (p *Processor) warnOldBroker(ctx context.Context, client *kgo.Client) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "handprint", "1"
	resp, err := req.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		if ctx.Err() == nil { // otherwise it does not start at all
			p.log.Warn("cannot tell whether the brokers have transaction version 2", "error", err)
		}
		return
	}
	if !transactionV2(resp) {
		p.log.Warn("EXACTLY-ONCE IS NOT SAFE ON THESE BROKERS: they lack transaction version 2 (Kafka 4.0, KIP-890), " +
			"so a delayed message can end the wrong transaction; upgrade, or set the feature transaction.version to 2")
	}
}

func transactionV2(resp *kmsg.ApiVersionsResponse) bool {
	end := slices.ContainsFunc(resp.ApiKeys, func(k kmsg.ApiVersionsResponseApiKey) bool {
		return kmsg.Key(k.ApiKey) == kmsg.EndTxn && k.MaxVersion >= 5
	})
	feature := slices.ContainsFunc(resp.FinalizedFeatures, func(f kmsg.ApiVersionsResponseFinalizedFeature) bool {
		return f.Name == "transaction.version" && f.MaxVersionLevel >= 2
	})
	return end && feature
}
