package operations

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topicPermissions asks what the cluster would let this principal do with each
// topic. Topics that do not exist are left out.
func (d *doctor) topicPermissions() {
	n := &d.app.Names
	wanted := map[string][]kmsg.ACLOperation{
		n.Observations:   {kmsg.ACLOperationRead},
		n.IdentityEvents: {kmsg.ACLOperationRead},
		n.Control:        {kmsg.ACLOperationRead},
		n.Commands:       {kmsg.ACLOperationRead, kmsg.ACLOperationWrite},
		n.Changelog:      {kmsg.ACLOperationRead, kmsg.ACLOperationWrite},
		n.Health:         {kmsg.ACLOperationWrite},
	}
	for _, t := range d.app.outputs() {
		wanted[t] = []kmsg.ACLOperation{kmsg.ACLOperationWrite}
	}
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations = true
	for _, s := range d.app.specs() {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(s.Name)
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(d.ctx, d.cl)
	if err != nil {
		d.add("permissions", Failed, "let this principal describe the topics", "asking for them: %v", err)
		return
	}
	const notSaid = -1 << 31
	var missing []string
	said := false
	for _, t := range resp.Topics {
		if t.ErrorCode != 0 || t.Topic == nil || t.AuthorizedOperations == notSaid {
			continue
		}
		said = true
		have := kadm.DecodeACLOperations(t.AuthorizedOperations)
		for _, op := range wanted[*t.Topic] {
			if !allowed(have, op) {
				missing = append(missing, fmt.Sprintf("%s on topic %s", op, *t.Topic))
			}
		}
	}
	slices.Sort(missing)
	switch {
	case len(missing) > 0:
		d.add("permissions", Failed, "allow "+strings.Join(missing, ", "), "%d are missing on topics", len(missing))
	case said:
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
		d.add("transactions", Failed, fmt.Sprintf("allow Write and Describe on transactional ids that begin with %s-, and Write on topic %s", d.app.ID, d.app.Names.Health), "%v", err)
		return
	}
	d.add("transactions", OK, "", "one was begun and aborted in %s", after.Sub(before).Round(time.Millisecond))
	var skew time.Duration
	switch {
	case marker.IsZero():
		d.add("clock", Warning, "look by hand whether the clocks agree", "the broker does not tell what its clock says")
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
	return d.marker(ctx, health, r.Offset), nil
}

// marker waits for the first control record behind an offset of partition 0.
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
