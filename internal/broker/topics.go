package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TopicSpec is a topic as handprint needs it.
type TopicSpec struct {
	// Name is the full name, prefix included.
	Name string
	// Partitions is the number the topic must have, at least 1.
	Partitions int32
	// AnyPartitions lets an existing topic have another number of partitions:
	// for topics that handprint only writes.
	AnyPartitions bool
	// ReplicationFactor is 1 or more, or -1 for the cluster's default. An
	// existing topic must have at least it.
	ReplicationFactor int16
	// Configs are topic settings by Kafka's names. All are given to a topic
	// that is created; [Check] looks at the ones that decide whether data can be
	// lost or refused, and leaves tuning to the operator.
	Configs map[string]string
	// ReadOnly is a topic that handprint reads and others write: what counts is
	// that its records stay until they are read. How large they may be and on how
	// many brokers they lie is for whoever writes them to decide, and [Check] only
	// gives advice.
	ReadOnly bool
	// SmallRecords is a topic whose records are far below every default of
	// max.message.bytes: more is advice.
	SmallRecords bool
}

// Ensure creates the topics of specs that do not exist and waits until they
// can be used. It leaves existing ones alone: [Check] says whether they fit.
// min.insync.replicas is lowered to the replication factor where a cluster is
// too small for it, since no record could be written otherwise. The names of
// the topics that it created are returned in the order of specs.
func Ensure(ctx context.Context, cl *kgo.Client, specs []TopicSpec) ([]string, error) {
	adm := kadm.NewClient(cl)
	have, err := describe(ctx, adm, specs)
	if err != nil {
		return nil, err
	}
	var created []string
	for _, spec := range specs {
		if d, ok := have.Topics[spec.Name]; ok && d.Err == nil {
			continue
		}
		if err := create(ctx, adm, spec, have.Brokers.NodeIDs()); err != nil {
			return created, err
		}
		created = append(created, spec.Name)
	}
	if len(created) == 0 {
		return nil, nil
	}
	return created, awaitLeaders(ctx, adm, created)
}

// KeepAll has existing topics that are to keep everything, by their specs, do so:
// retention.ms and retention.bytes of -1 are set where they are something else. It
// returns the names of the topics that it changed.
func KeepAll(ctx context.Context, cl *kgo.Client, specs []TopicSpec) ([]string, error) {
	problems, err := Check(ctx, cl, specs)
	if err != nil {
		return nil, err
	}
	adm := kadm.NewClient(cl)
	var changed []string
	for _, spec := range specs {
		var alter []kadm.AlterConfig
		for _, p := range problems {
			if p.Topic == spec.Name && (p.What == retentionMs || p.What == retentionBytes) && spec.Configs[p.What] == "-1" {
				alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: p.What, Value: kadm.StringPtr("-1")})
			}
		}
		if len(alter) == 0 {
			continue
		}
		resp, err := adm.AlterTopicConfigs(ctx, alter, spec.Name)
		if err == nil {
			_, err = resp.On(spec.Name, func(r *kadm.AlterConfigsResponse) error { return r.Err })
		}
		if err != nil {
			return changed, fmt.Errorf("having topic %s keep everything: %w", spec.Name, err)
		}
		changed = append(changed, spec.Name)
	}
	return changed, nil
}

func create(ctx context.Context, adm *kadm.Client, spec TopicSpec, brokers []int32) error {
	if int(spec.ReplicationFactor) > len(brokers) {
		return fmt.Errorf("creating topic %s: replication factor %d is more than the cluster's %d broker(s)", spec.Name, spec.ReplicationFactor, len(brokers))
	}
	configs := make(map[string]*string, len(spec.Configs))
	for k, v := range spec.Configs {
		configs[k] = &v
	}
	if want, err := strconv.Atoi(spec.Configs[minInsync]); err == nil {
		rf := int(spec.ReplicationFactor)
		if rf < 0 {
			rf = defaultReplication(ctx, adm, brokers)
		}
		if want > rf {
			configs[minInsync] = kadm.StringPtr(strconv.Itoa(rf))
		}
	}
	resp, err := adm.CreateTopic(ctx, spec.Partitions, spec.ReplicationFactor, configs, spec.Name)
	switch {
	case err == nil, errors.Is(err, kerr.TopicAlreadyExists): // somebody else was quicker
		return nil
	case resp.ErrMessage != "":
		return fmt.Errorf("creating topic %s: %w: %s", spec.Name, err, resp.ErrMessage)
	default:
		return fmt.Errorf("creating topic %s: %w", spec.Name, err)
	}
}

// defaultReplication is the factor that a topic created with -1 gets. Where the
// cluster does not tell (a client may lack the right to ask), it is taken to be
// the smallest, so that the topic can be written in any case.
func defaultReplication(ctx context.Context, adm *kadm.Client, brokers []int32) int {
	// Asked without their ids, brokers tell only what was set for all of them
	// while they ran.
	all, err := adm.DescribeBrokerConfigs(ctx, brokers...)
	if err != nil {
		return 1
	}
	lowest := 0
	for _, b := range all {
		for _, c := range b.Configs {
			if c.Key != "default.replication.factor" {
				continue
			}
			if n, err := strconv.Atoi(c.MaybeValue()); err == nil && n > 0 && (lowest == 0 || n < lowest) {
				lowest = n
			}
		}
	}
	if lowest == 0 {
		return 1
	}
	return min(lowest, len(brokers))
}

// awaitLeaders waits until every partition of the topics has a leader: a
// broker answers a creation before the others know of it.
func awaitLeaders(ctx context.Context, adm *kadm.Client, topics []string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		m, err := adm.Metadata(ctx, topics...)
		if err == nil && allLed(m.Topics, topics) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for leaders of new topics %s: %w", strings.Join(topics, ", "), ctx.Err())
		}
	}
}

func allLed(have kadm.TopicDetails, topics []string) bool {
	for _, t := range topics {
		d, ok := have[t]
		if !ok || d.Err != nil || len(d.Partitions) == 0 {
			return false
		}
		for _, p := range d.Partitions {
			if p.Err != nil || p.Leader < 0 {
				return false
			}
		}
	}
	return true
}

// describe returns what the cluster says of the topics of specs. A topic that
// does not exist is there with an error, as Kafka answers it; any other error
// about a topic (a right that is missing, for one) is returned.
func describe(ctx context.Context, adm *kadm.Client, specs []TopicSpec) (kadm.Metadata, error) {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	m, err := adm.Metadata(ctx, names...)
	if err != nil {
		return m, fmt.Errorf("asking for topics %s: %w", strings.Join(names, ", "), err)
	}
	for _, d := range m.Topics.Sorted() {
		if d.Err != nil && !errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
			return m, fmt.Errorf("asking for topic %s: %w", d.Topic, d.Err)
		}
	}
	return m, nil
}

// TopicInfo is an existing topic, or one that is missing.
type TopicInfo struct {
	Name              string            `json:"name"`
	Exists            bool              `json:"exists"`
	Partitions        int               `json:"partitions"`         // 0 if missing
	ReplicationFactor int               `json:"replication_factor"` // the smallest of the partitions'
	Records           int64             `json:"records"`            // newest minus oldest offset, markers included
	Configs           map[string]string `json:"configs,omitempty"`  // the ones that the spec names
}

// List returns what exists of specs, in their order.
func List(ctx context.Context, cl *kgo.Client, specs []TopicSpec) ([]TopicInfo, error) {
	adm := kadm.NewClient(cl)
	m, err := describe(ctx, adm, specs)
	if err != nil {
		return nil, err
	}
	var existing []string
	for _, s := range specs {
		if d, ok := m.Topics[s.Name]; ok && d.Err == nil {
			existing = append(existing, s.Name)
		}
	}
	if len(existing) == 0 {
		return missing(specs), nil
	}
	configs, err := specConfigs(ctx, adm, m, specs)
	if err != nil {
		return nil, err
	}
	starts, err := adm.ListStartOffsets(ctx, existing...)
	if err != nil {
		return nil, fmt.Errorf("asking for the oldest offsets: %w", err)
	}
	ends, err := adm.ListEndOffsets(ctx, existing...)
	if err != nil {
		return nil, fmt.Errorf("asking for the newest offsets: %w", err)
	}
	infos := missing(specs)
	for i, s := range specs {
		d, ok := m.Topics[s.Name]
		if !ok || d.Err != nil {
			continue
		}
		info := &infos[i]
		info.Exists = true
		info.Partitions = len(d.Partitions)
		info.ReplicationFactor = d.Partitions.NumReplicas()
		ends.Each(func(end kadm.ListedOffset) {
			if end.Topic != s.Name || end.Err != nil {
				return
			}
			if start, ok := starts.Lookup(s.Name, end.Partition); ok && start.Err == nil {
				info.Records += end.Offset - start.Offset
			}
		})
		info.Configs = make(map[string]string, len(s.Configs))
		for _, k := range slices.Sorted(maps.Keys(s.Configs)) {
			if v, ok := configs[s.Name][k]; ok {
				info.Configs[k] = v
			}
		}
	}
	return infos, nil
}

func missing(specs []TopicSpec) []TopicInfo {
	infos := make([]TopicInfo, len(specs))
	for i, s := range specs {
		infos[i].Name = s.Name
	}
	return infos
}

// Each broker learns of a new topic by itself, so one may not know yet what
// another has told: how often, and after what time, it is asked again.
const (
	configRetry   = 100 * time.Millisecond
	configRetries = 50
)

// specConfigs returns the settings of those topics that exist and whose spec
// names settings. Others are not asked for: who only reads or writes a topic
// need not have the right to.
func specConfigs(ctx context.Context, adm *kadm.Client, m kadm.Metadata, specs []TopicSpec) (map[string]map[string]string, error) {
	var topics []string
	for _, s := range specs {
		if d, ok := m.Topics[s.Name]; ok && d.Err == nil && len(s.Configs) > 0 {
			topics = append(topics, s.Name)
		}
	}
	if len(topics) == 0 {
		return nil, nil
	}
	return topicConfigs(ctx, adm, topics)
}

// topicConfigs returns the settings of existing topics, by topic and key.
func topicConfigs(ctx context.Context, adm *kadm.Client, topics []string) (map[string]map[string]string, error) {
	for tries := 0; ; tries++ {
		configs, err := askTopicConfigs(ctx, adm, topics)
		if !errors.Is(err, kerr.UnknownTopicOrPartition) || tries == configRetries {
			return configs, err
		}
		select {
		case <-time.After(configRetry):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func askTopicConfigs(ctx context.Context, adm *kadm.Client, topics []string) (map[string]map[string]string, error) {
	all, err := adm.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("asking for the settings of topics %s: %w", strings.Join(topics, ", "), err)
	}
	byTopic := make(map[string]map[string]string, len(all))
	for _, t := range all {
		if t.Err != nil {
			return nil, fmt.Errorf("asking for the settings of topic %s: %w", t.Name, t.Err)
		}
		m := make(map[string]string, len(t.Configs))
		for _, c := range t.Configs {
			if c.Source != kmsg.ConfigSourceUnknown || c.Value != nil {
				m[c.Key] = c.MaybeValue()
			}
		}
		byTopic[t.Name] = m
	}
	return byTopic, nil
}
