package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// auditTime is how long a line may take to a topic: what it is about waits for it.
const auditTime = 5 * time.Second

// auditTopic returns what writes lines of the audit to the topic of the setting, and
// what closes it; without a topic there is nothing to write to.
func (a *app) auditTopic(ctx context.Context, client []kgo.Opt) (also func(line []byte) error, done func(), err error) {
	topic := a.cfg.Web.AuditTopic
	if topic == "" {
		return nil, func() {}, nil
	}
	cl, err := kgo.NewClient(append(client[:len(client):len(client)], kgo.ClientID(a.cfg.Application.ID+"-serve-audit"), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(0))...)
	if err != nil {
		return nil, nil, fmt.Errorf("making a client for the audit: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Connection.Timeout)
	defer cancel()
	topics, err := kadm.NewClient(cl).ListTopics(ctx, topic)
	switch {
	case err != nil:
		cl.Close()
		return nil, nil, fmt.Errorf("looking for the topic of the audit: %w", err)
	case topics[topic].Err != nil:
		cl.Close()
		return nil, nil, usageErrorf("audit-topic: the topic %s cannot be used (%v): create it, or leave the setting empty", topic, topics[topic].Err)
	}
	return func(line []byte) error {
		ctx, cancel := context.WithTimeout(context.Background(), auditTime)
		defer cancel()
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: append([]byte(nil), line...)}).FirstErr(); err != nil {
			return fmt.Errorf("writing to %s: %w", topic, err)
		}
		return nil
	}, cl.Close, nil
}
