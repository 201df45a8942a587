package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/ingest/cowrie/lab"
)

// Aborted is what every record says that was aborted. No reader of committed
// records may see it.
const Aborted = `{"aborted":"somebody else's transaction that was given up"}`

// AbortedRecords is how many of them Fill puts into each output topic: one in
// every partition, three times.
const AbortedRecords = 3 * partitions

// odd are values of an unregistered primitive, one attacker each: every type
// of JSON, text that copies tend to damage, numbers that few hold exactly.
var odd = []string{
	`null`, `true`, `-0.0`, `0.1`, `1e20`, `123456789012345678`, `5e-324`, `1.7976931348623157e308`,
	`""`, `"a=b, c={d}"`, `"\u0000\u001f\u007f"`, `"ünï\u2028 \ud83d\ude00 \"quoted\" \\"`,
	`[]`, `[1,"two",null,[true,{}]]`, `{}`, `{"b":{"a":[1.5]},"a":"x","":0}`,
}

// Fill runs handprint until the topics hold everything that a check looks for,
// and stops it. Nothing is written to them afterwards.
func (p *Pipeline) Fill(ctx context.Context) (err error) {
	if err := p.abort(ctx); err != nil {
		return err
	}
	stop, err := p.Start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	attackers, err := p.observe(ctx)
	if err != nil {
		return err
	}
	if err := p.abort(ctx); err != nil {
		return err
	}
	if err := p.regroup(ctx, attackers); err != nil {
		return err
	}
	// The lab's log makes one identity suspect. How many suspicions that is goes
	// by how many sweeps fall into the time in which the log is read.
	for topic, least := range map[string]int{p.Names.MultiActorSuspects: 1, p.Names.DeadLetter: 2, p.Names.Health: 2} {
		if err := p.until(ctx, topic, func(records []*kgo.Record) bool { return len(records) >= least }); err != nil {
			return err
		}
	}
	return p.abort(ctx)
}

// observe sends the lab's log, the odd values and records that cannot be used,
// and waits for the rows. It returns the attackers.
func (p *Pipeline) observe(ctx context.Context) ([]string, error) {
	log, bad := filepath.Join(p.Dir, "cowrie.json.gz"), filepath.Join(p.Dir, "bad.json")
	if err := os.WriteFile(log, lab.Packed(), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(bad, []byte("no line of any log\n"), 0o600); err != nil {
		return nil, err
	}
	if _, err := p.Handprint(ctx, "ingest", "cowrie", log, bad); err != nil {
		return nil, err
	}
	sent, err := p.Records(ctx, p.Names.Observations)
	if err != nil {
		return nil, err
	}
	attackers := make(map[string]bool)
	for _, r := range sent {
		attackers[string(r.Key)] = true
	}
	records := []*kgo.Record{{Topic: p.Names.Observations, Key: []byte("nobody"), Value: []byte(`{"no":"observation"}`),
		Headers: []kgo.RecordHeader{{Key: "sensor", Value: []byte("lab")}}}}
	for i, value := range odd {
		attacker := fmt.Sprintf("odd-%02d", i)
		attackers[attacker] = true
		records = append(records, &kgo.Record{Topic: p.Names.Observations, Key: []byte(attacker), Value: fmt.Appendf(nil,
			`{"attacker_uuid":%q,"primitive":"lab.odd_value","value":%s,"evidence_ref":"odd","ts":%d}`, attacker, value, 1_700_000_000+i)})
	}
	if err := p.Send(ctx, records...); err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(attackers))
	err = p.untilRows(ctx, func(rows map[string]bool) bool {
		return !slices.ContainsFunc(names, func(a string) bool { return !has(rows, Stub(a)) })
	})
	return names, err
}

// regroup merges identities, forms one anew and parts one again. Rows are
// deleted, and some of them come back.
func (p *Pipeline) regroup(ctx context.Context, attackers []string) error {
	stubs := make([]string, 0, len(attackers))
	for _, a := range attackers {
		stubs = append(stubs, Stub(a))
	}
	const formed = "11111111-2222-4333-8444-555555555555"
	for _, args := range [][]string{
		{"merge", "--winner", stubs[0], "--loser", stubs[1]},
		{"merge", "--winner", stubs[2], "--loser", stubs[3]},
		{"form", "--unseen", formed, attackers[4]},
		{"link", "--unseen", formed, attackers[5]},
	} {
		if _, err := p.Handprint(ctx, append([]string{"identity"}, args...)...); err != nil {
			return err
		}
	}
	gone := []string{stubs[1], stubs[3], stubs[4], stubs[5]}
	err := p.untilRows(ctx, func(rows map[string]bool) bool {
		return has(rows, formed) && !slices.ContainsFunc(gone, func(id string) bool { return has(rows, id) })
	})
	if err != nil {
		return err
	}
	if _, err := p.Handprint(ctx, "identity", "unmerge", "--winner", stubs[0], "--loser", stubs[1], attackers[1]); err != nil {
		return err
	}
	return p.untilRows(ctx, func(rows map[string]bool) bool { return has(rows, stubs[1]) })
}

// Stub is the identity that an attacker is by itself.
func Stub(attacker string) string { return attribution.Stub([]byte(attacker)).String() }

// has reports whether an identity has a row.
func has(rows map[string]bool, identity string) bool {
	for key := range rows {
		if strings.HasPrefix(key, identity+"/") {
			return true
		}
	}
	return false
}

// Send produces records, and waits until they are acknowledged.
func (p *Pipeline) Send(ctx context.Context, records ...*kgo.Record) error {
	if err := p.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("producing to %s: %w", records[0].Topic, err)
	}
	return nil
}

// abort writes to every partition of the output topics in a transaction, and
// gives it up.
func (p *Pipeline) abort(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.Brokers...), kgo.TransactionalID(p.Application+"-aborted"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		return err
	}
	var records []*kgo.Record
	for _, topic := range p.Outputs() {
		for partition := range int32(partitions) {
			records = append(records, &kgo.Record{Topic: topic, Partition: partition, Key: []byte("aborted/row"), Value: []byte(Aborted)})
		}
	}
	err = cl.ProduceSync(ctx, records...).FirstErr()
	if err := errors.Join(err, cl.EndTransaction(ctx, kgo.TryAbort)); err != nil {
		return fmt.Errorf("aborting a transaction: %w", err)
	}
	return nil
}

// untilRows waits until the keys of the rows that there are now are as wanted.
func (p *Pipeline) untilRows(ctx context.Context, wanted func(map[string]bool) bool) error {
	return p.until(ctx, p.Names.State, func(records []*kgo.Record) bool {
		rows := make(map[string]bool)
		for _, r := range records {
			if len(r.Value) == 0 {
				delete(rows, string(r.Key))
			} else {
				rows[string(r.Key)] = true
			}
		}
		return wanted(rows)
	})
}

// until waits until a topic's records are as wanted. Its patience is ctx's.
func (p *Pipeline) until(ctx context.Context, topic string, wanted func([]*kgo.Record) bool) error {
	poll := time.NewTicker(250 * time.Millisecond)
	defer poll.Stop()
	for {
		records, err := p.Records(ctx, topic)
		if err != nil {
			return fmt.Errorf("waiting for what handprint writes: %w", err)
		}
		if wanted(records) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for what handprint writes to %s: %w", topic, context.Cause(ctx))
		case <-poll.C:
		}
	}
}
