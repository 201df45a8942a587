package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
	"handprint/internal/audit"
	"handprint/internal/broker"
	"handprint/schemas"
	"handprint/topology"
)

// stub is an attacker's stub.
func stub(attacker string) string { return attribution.Stub([]byte(attacker)).String() }

// eventful runs an application in which everything happens once: a row that
// changes its state often, a merge that leaves an identity empty, a suspicion,
// a bad record. It is stopped and at rest.
func eventful(t *testing.T, b *broker.Embedded, dir string) *app {
	t.Helper()
	a := startAppIn(t, b, "eventful.", 2, historyRegistry(t), dir+"/store", storeOptions)
	session := 0
	observe := func(attacker, primitive, value string) {
		session++
		a.put(&kgo.Record{Topic: a.names.Observations, Key: []byte(attacker), Value: fmt.Appendf(nil,
			`{"attacker_uuid":%q,"primitive":%q,"value":%s,"ts":%d,"evidence_ref":"session %d"}`, attacker, primitive, value, 1000+session, session)})
	}
	auditor := a.auditor(a.options())
	for n := range 12 {
		if n == 6 { // what comes now is written in a transaction of its own
			report, err := auditor.Advance(t.Context())
			clean(t, report, err)
		}
		observe("plain", "t.first", fmt.Sprintf(`"value %d"`, n/4))
		for _, primitive := range []string{"t.first", "t.second"} {
			observe("flapper", primitive, fmt.Sprintf(`"value %d"`, n%2))
		}
		observe(fmt.Sprint("joins-", n%2), "t.hash", fmt.Sprintf(`"hash %d"`, n/3))
	}
	a.put(&kgo.Record{Topic: a.names.Observations, Key: []byte("bad"), Value: []byte(`{"attacker_uuid":"a"`)})
	e := attribution.IdentityEvent{Type: attribution.Merged, Identity: stub("joins-0"), Loser: stub("joins-1")}
	report, err := auditor.Advance(t.Context())
	clean(t, report, err)
	a.put(&kgo.Record{Topic: a.names.IdentityEvents, Value: schemas.AppendIdentityEvent(nil, &e)})
	a.tick()
	report, err = auditor.Advance(t.Context())
	clean(t, report, err)
	a.stop()
	return a
}

// committed reads a topic, each partition in order.
func (a *app) committed(topic string) (records []*kgo.Record) {
	a.t.Helper()
	if err := broker.Scan(a.t.Context(), a.client, func(r *kgo.Record) error {
		records = append(records, r)
		return nil
	}, topic); err != nil {
		a.t.Fatal(err)
	}
	return records
}

// copied writes records into a new topic, each into its partition.
func (a *app) copied(name string, partitions int32, records []*kgo.Record) {
	a.t.Helper()
	cl, err := kgo.NewClient(append(a.broker.ClientOpts(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))...)
	if err != nil {
		a.t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(a.t.Context(), partitions, 1, nil, name); err != nil {
		a.t.Fatal(err)
	}
	for _, r := range records {
		c := &kgo.Record{Topic: name, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp}
		if err := cl.ProduceSync(a.t.Context(), c).FirstErr(); err != nil {
			a.t.Fatal(err)
		}
	}
}

// TestEachCorruptionIsFound writes copies of a topic with one thing wrong and
// expects exactly that to be reported, for the right topic and row.
func TestEachCorruptionIsFound(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	a := eventful(t, b, t.TempDir())
	topics := map[string]func(*topology.Names) *string{
		"transitions":  func(n *topology.Names) *string { return &n.StateChanged },
		"changes":      func(n *topology.Names) *string { return &n.IdentityChanged },
		"identities":   func(n *topology.Names) *string { return &n.Identities },
		"suspicions":   func(n *topology.Names) *string { return &n.MultiActorSuspects },
		"rows":         func(n *topology.Names) *string { return &n.State },
		"dead letters": func(n *topology.Names) *string { return &n.DeadLetter },
		"changelog":    func(n *topology.Names) *string { return &n.Changelog },
	}
	type records = []*kgo.Record
	lose := func(at int) func(records) records {
		return func(rs records) records { return slices.Delete(rs, at, at+1) }
	}
	// only applies f to the records of one row (or, with an empty text, all).
	only := func(text string, f func(records) records) func(records) records {
		return func(rs records) records {
			var mine, others records
			for _, r := range rs {
				if bytes.Contains(r.Value, []byte(text)) || bytes.Contains(r.Key, []byte(text)) {
					mine = append(mine, r)
				} else {
					others = append(others, r)
				}
			}
			if len(mine) == 0 {
				t.Fatalf("no record of %s", text)
			}
			return append(others, f(mine)...)
		}
	}
	double := func(at int) func(records) records {
		return func(rs records) records { return append(rs, rs[at]) }
	}
	alter := func(at int, old, new string) func(records) records {
		return func(rs records) records {
			c := *rs[at]
			if c.Value = bytes.Replace(c.Value, []byte(old), []byte(new), 1); bytes.Equal(c.Value, rs[at].Value) {
				t.Fatalf("%s has no %s", c.Value, old)
			}
			rs[at] = &c
			return rs
		}
	}
	last := func(rs records) records { return rs[:len(rs)-1] }
	logged := func(kind engine.FactKind, text string, f func(records) records) func(records) records {
		return func(rs records) records {
			var mine, others records
			for _, r := range rs {
				if fact, err := engine.Inspect(r.Key, r.Value); err != nil {
					t.Fatal(err)
				} else if fact.Kind == kind && strings.Contains(fact.Identity+"/"+fact.Primitive+"/"+fact.Attacker, text) {
					mine = append(mine, r)
				} else {
					others = append(others, r)
				}
			}
			return append(others, f(mine)...)
		}
	}
	plain, joined, left, flapper := stub("plain"), stub("joins-0"), stub("joins-1"), stub("flapper")
	n := &a.names
	for _, c := range []struct {
		name  string
		topic string
		wrong func(records) records
		want  []string // kind, topic ("copy": the one that was copied), key
	}{
		{"nothing", "transitions", func(rs records) records { return rs }, nil},
		{"a lost transition", "transitions", only(plain, lose(1)), []string{"lost " + n.Observations + " " + plain + "/t.first"}},
		{"a doubled transition", "transitions", only(plain, double(1)), []string{"doubled copy " + plain + "/t.first"}},
		{"an altered confidence", "transitions", only(plain, alter(2, `"confidence":0.`, `"confidence":0.0`)), []string{"different copy " + plain + "/t.first"}},
		{"an altered state", "transitions", only(plain, alter(0, `"new_state":"unknown"`, `"new_state":"drifting"`)), []string{"different copy " + plain + "/t.first"}},
		{"an altered value before", "transitions", only(plain, alter(1, `"previous_value":`, `"previous_value":1,"x":`)), []string{"different copy " + plain + "/t.first"}},
		{"another id", "transitions", only(plain, alter(0, `"event_id":"`, `"event_id":"0`)), []string{
			"different copy " + plain, "unexpected copy " + plain + "/t.first", "lost " + n.Observations + " " + plain + "/t.first"}},
		{"two transitions in the wrong order", "transitions", only(plain, func(rs records) records {
			rs[0], rs[1] = rs[1], rs[0]
			return rs
		}), []string{"different copy " + plain + "/t.first"}},
		{"a transition of a row that never was", "transitions", only(plain, func(rs records) records {
			c := *rs[0]
			c.Value = bytes.Replace(c.Value, []byte("t.first"), []byte("t.numeric"), 1)
			return append(rs, &c)
		}), []string{"unexpected copy " + plain + "/t.numeric"}},
		{"a transition that cannot be read", "transitions", only(plain, alter(0, `{`, `[`)), []string{"different copy " + plain, "lost " + n.Observations + " " + plain + "/t.first"}},
		{"a lost link of a chain", "transitions", only(joined, lose(1)), []string{"lost copy " + joined + "/t.hash"}},
		{"a lost end of a chain", "transitions", only(joined, last), []string{"lost copy " + joined + "/t.hash"}},
		{"a doubled link of a chain", "transitions", only(joined, double(0)), []string{"doubled copy " + joined + "/t.hash"}},
		{"a link that no input caused", "transitions", only(joined, alter(1, `"event_id":"`, `"event_id":"0`)), []string{"different copy " + joined, "unexpected copy " + joined + "/t.hash"}},

		{"a lost row", "rows", only(plain+"/", func(records) records { return nil }), []string{"lost copy " + plain + "/t.first"}},
		{"an altered row", "rows", func(rs records) records {
			return only(plain+"/", func(mine records) records {
				return alter(len(mine)-1, `"observation_count":12`, `"observation_count":13`)(mine)
			})(rs)
		}, []string{"different copy " + plain + "/t.first"}},
		{"a missing tombstone", "rows", only(left+"/", last), []string{"unexpected copy " + left + "/t.hash"}},
		{"a row of nobody", "rows", only(plain+"/", func(rs records) records {
			c := *rs[0]
			c.Key = []byte("nobody/t.first")
			c.Value = bytes.Replace(c.Value, []byte(plain), []byte("nobody"), 1)
			return append(rs, &c)
		}), []string{"unexpected copy nobody/t.first"}},

		{"a lost dead letter", "dead letters", lose(0), []string{"lost " + n.Observations + " "}},
		{"a doubled dead letter", "dead letters", double(0), []string{"doubled copy bad"}},
		{"an altered dead letter", "dead letters", alter(0, `{`, `[`), []string{"different copy bad"}},
		{"a dead letter of a good record", "dead letters", func(rs records) records {
			c := *rs[0]
			c.Headers = slices.Clone(c.Headers)
			for i, h := range c.Headers {
				if h.Key == schemas.HeaderSourceOffset {
					c.Headers[i].Value = []byte("1")
				}
			}
			return append(rs, &c)
		}, []string{"unexpected copy bad"}},

		{"a lost change", "changes", only(joined, lose(0)), []string{"lost " + n.IdentityEvents + " " + joined}},
		{"a doubled change", "changes", only(joined, double(0)), []string{"doubled copy " + joined}},
		{"an altered change", "changes", only(joined, alter(0, `"origin_offset":`, `"origin_offset":9`)), []string{"different copy " + joined}},
		{"a lost record of an identity", "identities", only(`"identity_uuid":"`+joined, func(records) records { return nil }), []string{"lost copy " + joined}},
		{"an altered record of an identity", "identities", only(`"identity_uuid":"`+joined, func(rs records) records {
			return alter(len(rs)-1, `"attackers_total":`, `"attackers_total":1`)(rs)
		}), []string{"different copy " + joined}},

		{"a lost suspicion", "suspicions", lose(0), []string{"lost copy " + flapper}},
		{"a doubled suspicion", "suspicions", double(0), []string{"doubled copy " + flapper}},
		{"an altered suspicion", "suspicions", alter(0, `"t.first"`, `"t.again"`), []string{"different copy " + flapper, "lost copy " + flapper}},
		{"a suspicion of another confidence", "suspicions", alter(0, `"confidence":0.6`, `"confidence":0.5`), []string{"different copy " + flapper}},
		{"a suspicion of no tick", "suspicions", alter(0, `,"ts":18`, `,"ts":17`), []string{"unexpected copy " + flapper}},

		{"the changelog lacks the last write of a row", "changelog", logged(engine.RowFact, plain, last), []string{
			"different copy " + plain + "/t.first", "different copy " + plain + "/t.first"}},
		{"the changelog lacks a link", "changelog", logged(engine.LinkFact, "joins-1", last), []string{"different copy joins-1"}},
		{"the changelog lacks a contribution", "changelog", logged(engine.ContributionFact, "/joins-1", func(rs records) records {
			return slices.DeleteFunc(rs, func(r *kgo.Record) bool { f, _ := engine.Inspect(r.Key, r.Value); return f.Identity == joined })
		}), []string{"lost copy " + joined + "/t.hash"}},
		{"the changelog keeps a row of nobody", "changelog", logged(engine.RowFact, left, last), []string{"unexpected copy " + left + "/t.hash"}},
		{"the changelog lacks an open suspicion", "changelog", logged(engine.SuspicionFact, flapper, last), []string{"lost copy " + flapper}},
		{"the changelog has another number of flags", "changelog", logged(engine.FlagCountFact, flapper, last), []string{"different copy " + flapper}},
		{"the changelog lacks a flag", "changelog", logged(engine.FlaggedFact, flapper, last), []string{"different copy " + flapper}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := a.options()
			topic := topics[c.topic](&o.Topics)
			name := "copy-" + strings.ReplaceAll(c.name, " ", "-")
			a.copied(name, a.partitions, c.wrong(a.committed(*topic)))
			*topic = name
			report, err := audit.Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range report.Differences {
				if d.Detail == "" {
					t.Errorf("no detail: %v", d)
				}
				got = append(got, d.Kind+" "+strings.ReplaceAll(d.Topic, name, "copy")+" "+d.Key)
			}
			want := slices.Sorted(slices.Values(c.want))
			if slices.Sort(got); !slices.Equal(got, want) || report.OK() != (len(want) == 0) {
				t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				for _, d := range report.Differences {
					t.Log(d)
				}
			}
		})
	}
}

// TestStoresAreCompared alters the store of a stopped instance.
func TestStoresAreCompared(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	dir := t.TempDir()
	a := eventful(t, b, dir)
	o := a.options()
	o.StateDirs = []string{dir}
	report, err := audit.Run(t.Context(), o)
	if clean(t, report, err); report.StoreRecords == 0 || len(report.Notes) > 0 {
		t.Fatalf("no store was compared: %+v", report)
	}
	records, p := a.committed(a.names.Changelog), attribution.IdentityPartition(stub("plain"), 2)
	var key, value []byte
	for _, r := range records {
		if f, err := engine.Inspect(r.Key, r.Value); err == nil && f.Kind == engine.RowFact && f.Identity == stub("plain") {
			key, value = r.Key, r.Value
		}
	}
	for _, c := range []struct {
		name       string
		key, value []byte
		want       string
	}{
		{"a byte changed", key, append(slices.Clone(value[:len(value)-1]), value[len(value)-1]^1), audit.Different},
		{"a record too many", []byte("~"), []byte("x"), audit.Unexpected},
		{"a record missing", key, nil, audit.Lost},
	} {
		t.Run(c.name, func(t *testing.T) {
			restore := a.writeStore(dir, p, c.key, c.value)
			report, err := audit.Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Differences) != 1 || report.Differences[0].Kind != c.want || report.Differences[0].Partition != p {
				t.Errorf("found %v, want one %s", report.Differences, c.want)
			}
			restore()
		})
	}
	report, err = audit.Run(t.Context(), o)
	clean(t, report, err)
}

// TestNotAtRest audits an application that is stopped while it has input.
func TestNotAtRest(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	a := startApp(t, b, "behind.", 2, historyRegistry(t))
	a.stop()
	a.put(&kgo.Record{Topic: a.names.Observations, Key: []byte("a"), Value: []byte(`{}`)})
	o := a.options()
	var err error
	for o.Timeout = 300 * time.Millisecond; o.Timeout < 5*time.Minute; o.Timeout *= 2 {
		if _, err = audit.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "did not say in time") {
			break // a busy machine needs longer than the least
		}
	}
	if err == nil || !strings.Contains(err.Error(), "1 records of "+a.names.Observations) {
		t.Errorf("error %v", err)
	}
}

// TestHistoryGone audits topics whose beginning was deleted.
func TestHistoryGone(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	a := eventful(t, b, t.TempDir())
	var first kadm.Offsets
	first.AddOffset(a.names.Observations, 0, 1, -1)
	if _, err := kadm.NewClient(a.client).DeleteRecords(context.Background(), first); err != nil {
		t.Fatal(err)
	}
	_, err := audit.Run(t.Context(), a.options())
	if err == nil || !strings.Contains(err.Error(), audit.ErrHistoryGone.Error()) || !strings.Contains(err.Error(), a.names.Observations+"[0]") {
		t.Errorf("error %v", err)
	}
}

// TestOtherTopic audits an application whose input is not what it has processed: it
// was made anew, empty or with other records, or read on from the new one.
func TestOtherTopic(t *testing.T) {
	t.Parallel()
	for name, records := range map[string]int{"empty": 0, "with other records": 500, "read on": 20} {
		t.Run(name, func(t *testing.T) {
			b := startBroker(t)
			dir := t.TempDir()
			a := eventful(t, b, dir)
			a.stop()
			adm := kadm.NewClient(a.client)
			if _, err := adm.DeleteTopics(t.Context(), a.names.Observations); err != nil {
				t.Fatal(err)
			}
			if _, err := adm.CreateTopics(t.Context(), 2, 1, nil, a.names.Observations); err != nil {
				t.Fatal(err)
			}
			writer, err := kgo.NewClient(b.ClientOpts()...) // one that has not heard of the other topic
			if err != nil {
				t.Fatal(err)
			}
			defer writer.Close()
			for range records {
				writer.Produce(t.Context(), &kgo.Record{Topic: a.names.Observations, Key: []byte("a"), Value: []byte(`{}`)}, nil)
			}
			if err := writer.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			o := a.options()
			o.Timeout = 2 * time.Second
			if name == "read on" {
				startAppIn(t, b, "eventful.", 2, historyRegistry(t), dir+"/store", storeOptions)
				o.Timeout = 2 * time.Minute
			}
			for ; o.Timeout < 5*time.Minute; o.Timeout *= 4 { // a busy machine needs longer than the least
				if _, err = audit.Run(t.Context(), o); errors.Is(err, audit.ErrOtherTopic) {
					break
				}
			}
			if !errors.Is(err, audit.ErrOtherTopic) || !strings.Contains(err.Error(), a.names.Observations+"[") || !strings.Contains(err.Error(), "made anew") {
				t.Errorf("error %v", err)
			}
		})
	}
}
