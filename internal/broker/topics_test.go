package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

func TestEnsureCreatesWhatIsMissingAndNothingElse(t *testing.T) {
	ctx := deadline(t)
	cl := client(t, start(t, Options{}))
	specs := []TopicSpec{
		{Name: "p.in", Partitions: 3, ReplicationFactor: -1, Configs: map[string]string{cleanupPolicy: "delete", retentionMs: "86400000"}},
		{Name: "p.state", Partitions: 3, ReplicationFactor: -1, Configs: map[string]string{cleanupPolicy: "compact", minInsync: "2", maxMessage: "2000000"}},
	}
	if got, err := Ensure(ctx, cl, specs[:1]); err != nil || !slices.Equal(got, []string{"p.in"}) {
		t.Fatalf("first: %v, %v", got, err)
	}
	if got, err := Ensure(ctx, cl, specs); err != nil || !slices.Equal(got, []string{"p.state"}) {
		t.Fatalf("second: %v, %v", got, err)
	}
	if got, err := Ensure(ctx, cl, specs); err != nil || len(got) != 0 {
		t.Fatalf("third: %v, %v", got, err)
	}
	if problems, err := Check(ctx, cl, specs); err != nil || len(problems) > 0 {
		t.Fatalf("check: %v, %v", problems, err)
	}
	infos, err := List(ctx, cl, append(specs, TopicSpec{Name: "none", Partitions: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if i := infos[1]; !i.Exists || i.Partitions != 3 || i.ReplicationFactor != 1 || i.Configs[minInsync] != "1" {
		t.Errorf("min.insync.replicas was to be lowered to the one replica: %+v", i)
	}
	if infos[2].Exists {
		t.Errorf("listed as existing: %+v", infos[2])
	}
}

func TestEnsureRefusesMoreReplicasThanBrokers(t *testing.T) {
	cl := client(t, start(t, Options{}))
	_, err := Ensure(deadline(t), cl, []TopicSpec{{Name: "t", Partitions: 1, ReplicationFactor: 3}})
	if err == nil || !strings.Contains(err.Error(), "creating topic t: replication factor 3 is more than the cluster's 1 broker") {
		t.Errorf("error %v", err)
	}
}

func TestCheckFindsATopicThatDoesNotFit(t *testing.T) {
	ctx := deadline(t)
	cl := client(t, start(t, Options{}))
	adm := kadm.NewClient(cl)
	_, err := adm.CreateTopic(ctx, 2, 1, map[string]*string{cleanupPolicy: kadm.StringPtr("delete")}, "state")
	if err != nil {
		t.Fatal(err)
	}
	problems, err := Check(ctx, cl, []TopicSpec{
		{Name: "state", Partitions: 4, ReplicationFactor: -1, Configs: map[string]string{cleanupPolicy: "compact"}},
		{Name: "gone", Partitions: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"topic state: partitions is 2, must be 4: recreate the topic (adding partitions would move keys), or configure the number it has",
		"topic state: cleanup.policy is delete, must be compact: kafka-configs --alter --entity-type topics --entity-name state --add-config cleanup.policy=compact",
		"topic gone: does not exist: create it (handprint topics create)",
	}
	var got []string
	for _, p := range problems {
		got = append(got, p.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCompareRules(t *testing.T) {
	for _, c := range []struct {
		name, key, want, have string
		replicas              int
		problem               string // "must be" part; empty: fits
	}{
		{"same policy in another order", cleanupPolicy, "compact,delete", "delete, compact", 1, ""},
		{"policy that also deletes", cleanupPolicy, "compact", "compact,delete", 1, "compact"},
		{"enough in sync", minInsync, "2", "2", 3, ""},
		{"more in sync", minInsync, "1", "2", 3, ""},
		{"too few in sync", minInsync, "2", "1", 3, "at least 2"},
		{"one replica needs no second", minInsync, "2", "1", 1, ""},
		{"more in sync than replicas", minInsync, "2", "2", 1, "at most the replication factor 1"},
		{"tombstones kept longer", deleteRetention, "86400000", "604800000", 1, ""},
		{"tombstones go too early", deleteRetention, "86400000", "1000", 1, "at least 86400000"},
		{"kept for ever", retentionMs, "1000", "-1", 1, ""},
		{"not kept for ever", retentionMs, "-1", "1000", 1, "-1 (no limit)"},
		{"not kept long enough", retentionMs, "2000", "1000", 1, "at least 2000"},
		{"bytes without limit", retentionBytes, "-1", "-1", 1, ""},
		{"records too small", maxMessage, "2000000", "1048588", 1, "at least 2000000"},
		{"records larger", maxMessage, "1048588", "2000000", 1, ""},
		{"tuning is the operator's", "segment.bytes", "100", "200", 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := TopicSpec{Name: "t", Partitions: 1, ReplicationFactor: -1, Configs: map[string]string{c.key: c.want}}
			got := compare(s, 1, c.replicas, map[string]string{c.key: c.have})
			switch {
			case c.problem == "" && len(got) > 0:
				t.Errorf("found %v", got)
			case c.problem != "" && (len(got) != 1 || got[0].Want != c.problem):
				t.Errorf("found %v, want one with %q", got, c.problem)
			}
		})
	}
	if got := compare(TopicSpec{Name: "t", Partitions: 8, AnyPartitions: true, ReplicationFactor: 3}, 2, 1, nil); len(got) != 1 || got[0].What != "replication factor" {
		t.Errorf("with any partitions: %v", got)
	}
	for _, c := range []struct {
		spec   TopicSpec
		advice string // the settings that are only advised, in the order of the problems
		needed string
	}{
		{TopicSpec{}, "", "[partitions replication factor cleanup.policy max.message.bytes min.insync.replicas retention.ms]"},
		{TopicSpec{ReadOnly: true}, "[replication factor max.message.bytes min.insync.replicas]", "[partitions cleanup.policy retention.ms]"},
		{TopicSpec{SmallRecords: true}, "[max.message.bytes]", "[partitions replication factor cleanup.policy min.insync.replicas retention.ms]"},
	} {
		c.spec.Name, c.spec.Partitions, c.spec.ReplicationFactor = "t", 2, 3
		c.spec.Configs = map[string]string{cleanupPolicy: "delete", minInsync: "2", maxMessage: "4194304", retentionMs: "1000"}
		found := compare(c.spec, 1, 2, map[string]string{cleanupPolicy: "compact", minInsync: "1", maxMessage: "1048588", retentionMs: "10"})
		var advice, needed []string
		for _, p := range found {
			if p.Advice {
				advice = append(advice, p.What)
				if !strings.Contains(p.String(), " should be ") {
					t.Errorf("advice sounds like a demand: %s", p)
				}
			}
		}
		for _, p := range Needed(found) {
			needed = append(needed, p.What)
		}
		if got := fmt.Sprint(advice); got != c.advice && len(advice) > 0 || fmt.Sprint(needed) != c.needed {
			t.Errorf("%+v: advice %v, needed %v", c.spec, advice, needed)
		}
	}
	s := TopicSpec{Name: "t", Partitions: 1, Configs: map[string]string{cleanupPolicy: "compact,delete"}}
	if got := compare(s, 1, 1, map[string]string{cleanupPolicy: "delete"}); len(got) != 1 || !strings.HasSuffix(got[0].Fix, "--add-config cleanup.policy=[compact,delete]") {
		t.Errorf("a list stands in brackets for kafka-configs: %v", got)
	}
}
