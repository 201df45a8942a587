package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The topic settings that [Check] compares, by Kafka's names.
const (
	cleanupPolicy   = "cleanup.policy"
	minInsync       = "min.insync.replicas"
	deleteRetention = "delete.retention.ms"
	retentionMs     = "retention.ms"
	retentionBytes  = "retention.bytes"
	maxMessage      = "max.message.bytes"
)

// Existence is what a problem is about whose topic is missing.
const Existence = "existence"

// Problem is one way in which a topic does not fit its spec.
type Problem struct {
	Topic string `json:"topic"`
	// What is the setting, by Kafka's name, or "partitions", "replication
	// factor" or Existence.
	What string `json:"what"`
	Have string `json:"have"` // as it is; empty for a missing topic
	Want string `json:"want"` // as it must be
	Fix  string `json:"fix"`  // what to change
	// Advice is a problem that handprint can work with.
	Advice bool `json:"advice,omitempty"`
}

// String returns the problem as one line that says what to change.
func (p Problem) String() string {
	if p.Have == "" {
		return fmt.Sprintf("topic %s: %s: %s", p.Topic, p.Want, p.Fix)
	}
	must := "must"
	if p.Advice {
		must = "should"
	}
	return fmt.Sprintf("topic %s: %s is %s, %s be %s: %s", p.Topic, p.What, p.Have, must, p.Want, p.Fix)
}

// advice reports whether a topic of spec that differs in what, the name of a
// setting or "replication factor", does what handprint needs all the same.
func (s *TopicSpec) advice(what string) bool {
	switch what {
	case maxMessage:
		return s.ReadOnly || s.SmallRecords
	case minInsync, "replication factor":
		return s.ReadOnly
	}
	return false
}

// Needed returns the problems that handprint cannot work with, which are all but
// advice.
func Needed(problems []Problem) []Problem {
	return slices.DeleteFunc(slices.Clone(problems), func(p Problem) bool { return p.Advice })
}

// Check compares the topics of specs with those of the cluster and returns
// what does not fit, in the order of specs; none means that all is well. The
// error is about asking, never about what was found.
//
// Partitions must match (unless any number will do); cleanup.policy must be
// the same; min.insync.replicas must be at least what is wanted, as far as the
// topic's replication factor allows, and not above it; delete.retention.ms,
// retention.ms, retention.bytes and max.message.bytes must be at least what is
// wanted, -1 counting as no limit. Some of it is only advice for topics that
// handprint reads, or writes small records to.
func Check(ctx context.Context, cl *kgo.Client, specs []TopicSpec) ([]Problem, error) {
	adm := kadm.NewClient(cl)
	m, err := describe(ctx, adm, specs)
	if err != nil {
		return nil, err
	}
	configs, err := specConfigs(ctx, adm, m, specs)
	if err != nil {
		return nil, err
	}
	var problems []Problem
	for _, s := range specs {
		d, ok := m.Topics[s.Name]
		if !ok || d.Err != nil {
			problems = append(problems, Problem{
				Topic: s.Name, What: Existence, Want: "does not exist", Fix: "create it (handprint topics create)",
			})
			continue
		}
		problems = append(problems, compare(s, len(d.Partitions), d.Partitions.NumReplicas(), configs[s.Name])...)
	}
	return problems, nil
}

// compare returns what does not fit in one existing topic.
func compare(s TopicSpec, partitions, replicas int, have map[string]string) []Problem {
	var problems []Problem
	if !s.AnyPartitions && partitions != int(s.Partitions) {
		fix := "recreate the topic (adding partitions would move keys), or configure the number it has"
		if partitions > int(s.Partitions) && s.Partitions > 1 {
			fix = "if partitions were added, keys have moved and nothing may go on: move to new topics (docs/operations.md, Adding partitions); if the topic was made so, configure the number it has"
		}
		problems = append(problems, Problem{
			Topic: s.Name, What: "partitions", Have: strconv.Itoa(partitions), Want: strconv.Itoa(int(s.Partitions)), Fix: fix,
		})
	}
	if int(s.ReplicationFactor) > replicas {
		problems = append(problems, Problem{
			Topic: s.Name, What: "replication factor", Have: strconv.Itoa(replicas),
			Want: "at least " + strconv.Itoa(int(s.ReplicationFactor)), Fix: "reassign its partitions to more brokers",
		})
	}
	for _, key := range slices.Sorted(maps.Keys(s.Configs)) {
		value, known := have[key]
		if !known {
			continue // older clusters do not know every setting
		}
		if p, bad := compareConfig(s, key, value, replicas); bad {
			problems = append(problems, p)
		}
	}
	for i := range problems {
		problems[i].Advice = s.advice(problems[i].What)
	}
	return problems
}

func compareConfig(s TopicSpec, key, have string, replicas int) (Problem, bool) {
	want := s.Configs[key]
	problem := func(rule, set string) (Problem, bool) {
		return Problem{
			Topic: s.Name, What: key, Have: have, Want: rule,
			Fix: fmt.Sprintf("kafka-configs --alter --entity-type topics --entity-name %s --add-config %s=%s", s.Name, key, kafkaValue(set)),
		}, true
	}
	switch key {
	case cleanupPolicy:
		if !samePolicy(have, want) {
			return problem(want, want)
		}
	case minInsync:
		w, h := number(want), number(have)
		w = min(w, int64(replicas))
		switch {
		case h < w:
			return problem("at least "+strconv.FormatInt(w, 10), strconv.FormatInt(w, 10))
		case replicas > 0 && h > int64(replicas):
			return problem("at most the replication factor "+strconv.Itoa(replicas), strconv.Itoa(replicas))
		}
	case deleteRetention, maxMessage:
		if number(have) < number(want) {
			return problem("at least "+want, want)
		}
	case retentionMs, retentionBytes:
		h, w := number(have), number(want)
		if h != -1 && (w == -1 || h < w) {
			if w == -1 {
				return problem("-1 (no limit)", want)
			}
			return problem("at least "+want, want)
		}
	}
	return Problem{}, false
}

// samePolicy compares two lists of policies, in any order.
func samePolicy(a, b string) bool {
	return slices.Equal(policies(a), policies(b))
}

func policies(s string) []string {
	list := strings.Split(s, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// kafkaValue writes a value as kafka-configs wants it: lists in brackets, since
// a comma separates settings there.
func kafkaValue(v string) string {
	if strings.Contains(v, ",") {
		return "[" + v + "]"
	}
	return v
}

// number reads a setting that Kafka has as a number; what is none counts as 0,
// which fits nothing that is wanted.
func number(s string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
