package operations

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Missing returns what run needs and the cluster does not let the principal of
// cl do, each as "READ on topic attacker.observation": with topics that exist,
// and with the group. A cluster that does not tell lacks nothing.
func Missing(ctx context.Context, cl *kgo.Client, a *Application) ([]string, error) {
	p, err := askTopicPermissions(ctx, cl, a)
	if err != nil {
		return nil, err
	}
	// Any other error is none of permissions: on a new cluster, for one, groups
	// have no coordinator yet. Whoever joins deals with it.
	g, err := describeGroup(ctx, kadm.NewClient(cl), a.ID)
	if errors.Is(err, kerr.GroupAuthorizationFailed) || err == nil && !mayJoin(&g) {
		p.missing = append(p.missing, fmt.Sprintf("%s on group %s", kmsg.ACLOperationRead, a.ID))
	}
	return p.missing, nil
}

// mayJoin reports whether the principal that has described a group may join it, as
// far as the cluster tells.
func mayJoin(g *kadm.DescribedGroup) bool {
	return len(g.AuthorizedOperations) == 0 || allowed(g.AuthorizedOperations, kmsg.ACLOperationRead)
}

// topicPermissions are what a principal may do with the topics.
type topicPermissions struct {
	missing []string // sorted
	said    bool     // the cluster tells
	blind   bool     // the health topic must not be read, which only the doctor does
}

// askTopicPermissions asks what the cluster would let the principal of cl do
// with each topic. Topics that do not exist are left out.
func askTopicPermissions(ctx context.Context, cl *kgo.Client, a *Application) (topicPermissions, error) {
	const configs = kmsg.ACLOperationDescribeConfigs
	n := &a.Names
	wanted := map[string][]kmsg.ACLOperation{
		n.Observations:   {kmsg.ACLOperationRead, configs},
		n.IdentityEvents: {kmsg.ACLOperationRead, configs},
		n.Control:        {kmsg.ACLOperationRead, configs},
		n.Commands:       {kmsg.ACLOperationRead, kmsg.ACLOperationWrite, configs},
		n.Changelog:      {kmsg.ACLOperationRead, kmsg.ACLOperationWrite, configs},
		n.Health:         {kmsg.ACLOperationWrite, configs},
		n.Profiles:       {configs}, // the adapters write it
	}
	for _, t := range a.outputs() {
		wanted[t] = []kmsg.ACLOperation{kmsg.ACLOperationWrite, configs}
	}
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations = true
	for _, s := range a.specs() {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(s.Name)
		req.Topics = append(req.Topics, t)
	}
	var p topicPermissions
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return p, fmt.Errorf("asking what is allowed with the topics: %w", err)
	}
	const notSaid = -1 << 31
	for _, t := range resp.Topics {
		if t.ErrorCode != 0 || t.Topic == nil || t.AuthorizedOperations == notSaid {
			continue
		}
		p.said = true
		have := kadm.DecodeACLOperations(t.AuthorizedOperations)
		if *t.Topic == n.Health {
			p.blind = !allowed(have, kmsg.ACLOperationRead)
		}
		for _, op := range wanted[*t.Topic] {
			if !allowed(have, op) {
				p.missing = append(p.missing, fmt.Sprintf("%s on topic %s", op, *t.Topic))
			}
		}
	}
	slices.Sort(p.missing)
	return p, nil
}

func (d *doctor) topicPermissions() {
	p, err := askTopicPermissions(d.ctx, d.cl, d.app)
	d.blind = p.blind
	switch {
	case err != nil:
		d.add("permissions", Failed, fixFor(err, "let this principal describe the topics"), "%v", err)
	case len(p.missing) > 0:
		d.add("permissions", Failed, "allow "+strings.Join(p.missing, ", "), "%d are missing on topics", len(p.missing))
	case p.said:
		d.add("permissions", OK, "", "all that are needed on topics")
	}
}

// Clocks may differ by this much without anybody noticing, and by that much
// before it shows in what is concluded.
const (
	skewNoted  = time.Second
	skewTooFar = time.Minute
)

// transactions writes a record to the health topic and aborts it: no reader
// that reads committed records sees it. The marker of the abort has the time
// that the broker's clock says.
func (d *doctor) transactions(now func() time.Time) {
	before := now()
	marker, err := d.abortedRecord()
	after := now()
	switch {
	case errors.Is(err, errNoHealth):
		return // said already
	case err != nil:
		d.add("transactions", Failed, fixFor(err, fmt.Sprintf("allow Write and Describe on transactional ids that begin with %s-, and Write on topic %s", d.app.ID, d.app.Names.Health)), "%v", err)
		return
	}
	d.add("transactions", OK, "", "one was begun and aborted in %s", after.Sub(before).Round(time.Millisecond))
	var skew time.Duration
	switch {
	case marker.IsZero():
		d.add("clock", Warning, "allow Read on topic "+d.app.Names.Health+", or look by hand whether the clocks agree", "what the broker's clock says cannot be read")
		return
	case marker.Before(before):
		skew = before.Sub(marker)
	case marker.After(after):
		skew = marker.Sub(after)
	}
	const fix = "set this machine's clock and the brokers' by NTP"
	switch {
	case skew > skewTooFar:
		d.add("clock", Failed, fix, "differs from the broker's by at least %s", skew.Round(time.Millisecond))
	case skew > skewNoted:
		d.add("clock", Warning, fix, "differs from the broker's by at least %s", skew.Round(time.Millisecond))
	default:
		d.add("clock", OK, "", "agrees with the broker's within %s", max(after.Sub(before), skew, time.Millisecond).Round(time.Millisecond))
	}
}

// quickly is how soon a client may ask again where a topic is. It goes away
// after one record, and has no brokers to spare.
const quickly = 100 * time.Millisecond

var errNoHealth = errors.New("no health topic")

// abortedRecord aborts a transaction of one record and returns the timestamp of
// the marker that stands behind it; zero if it does not come.
func (d *doctor) abortedRecord() (time.Time, error) {
	health := d.app.Names.Health
	topics, err := d.adm.ListTopics(d.ctx, health)
	if err != nil {
		return time.Time{}, err
	}
	if t, ok := topics[health]; !ok || t.Err != nil {
		return time.Time{}, errNoHealth
	}
	ctx, cancel := context.WithTimeout(d.ctx, 10*time.Second)
	defer cancel()
	cl, err := kgo.NewClient(append(d.cl.Opts(), kgo.TransactionalID(d.app.ID+"-doctor"), kgo.TransactionTimeout(10*time.Second), kgo.MetadataMinAge(quickly), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return time.Time{}, err
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		return time.Time{}, fmt.Errorf("beginning a transaction: %w", err)
	}
	// Everything is aborted at the end, so the value does not matter.
	r := &kgo.Record{Topic: health, Value: []byte(`{"doctor":true}`)}
	produceErr := cl.ProduceSync(ctx, r).FirstErr()
	endErr := cl.EndTransaction(ctx, kgo.TryAbort)
	if produceErr != nil {
		return time.Time{}, fmt.Errorf("writing to topic %s in a transaction: %w", health, produceErr)
	}
	if endErr != nil {
		return time.Time{}, fmt.Errorf("aborting a transaction: %w", endErr)
	}
	if d.blind {
		return time.Time{}, nil
	}
	return d.marker(ctx, health, r.Offset), nil
}

// marker waits for the first control record behind an offset of partition 0 and
// returns its timestamp; zero if it cannot be read.
func (d *doctor) marker(ctx context.Context, topic string, offset int64) time.Time {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cl, err := kgo.NewClient(append(d.cl.Opts(), kgo.KeepControlRecords(), kgo.MetadataMinAge(quickly),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(offset)}}))...)
	if err != nil {
		return time.Time{}
	}
	defer cl.Close()
	for ctx.Err() == nil {
		var at time.Time
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if at.IsZero() && r.Attrs.IsControl() && r.Offset > offset {
				at = r.Timestamp
			}
		})
		if !at.IsZero() {
			return at
		}
	}
	return time.Time{}
}
