package processor

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Too few replicas in sync are named, by the topic's own setting.
func TestTooFewReplicasAreNamed(t *testing.T) {
	three := "3"
	detail := func(name string, inSync ...int) kadm.TopicDetail {
		d := kadm.TopicDetail{Topic: name, Partitions: kadm.PartitionDetails{}}
		for i, n := range inSync {
			d.Partitions[int32(i)] = kadm.PartitionDetail{Topic: name, Partition: int32(i), Replicas: []int32{1, 2, 3}, ISR: []int32{1, 2, 3}[:n]}
		}
		return d
	}
	topics := kadm.TopicDetails{"a": detail("a", 3, 2, 1), "b": detail("b", 2, 2), "gone": {Topic: "gone", Err: errTest}}
	configs := kadm.ResourceConfigs{
		{Name: "a", Configs: []kadm.Config{{Key: minInsyncReplicas, Value: &three}}},
		{Name: "b"},
		{Name: "gone", Configs: []kadm.Config{{Key: minInsyncReplicas, Value: &three}}},
		{Name: "unknown", Err: errTest},
	}
	one := detail("one", 1)
	one.Partitions[0] = kadm.PartitionDetail{Topic: "one", Replicas: []int32{1}, ISR: []int32{1}}
	topics["one"] = one
	configs = append(configs, kadm.ResourceConfig{Name: "one", Configs: []kadm.Config{{Key: minInsyncReplicas, Value: &three}}})
	short := shortOfReplicas(topics, configs)
	if len(short) != 2 || short[TopicPartition{"a", 1}] != "2 of 3 in sync, min.insync.replicas is 3" || short[TopicPartition{"a", 2}] == "" {
		t.Errorf("%v", short)
	}

	var log lines
	w := &watch{log: log.logger()}
	now := time.Unix(1e9, 0)
	for range 10 {
		w.noteReplicas(short, now)
		now = now.Add(10 * time.Second)
	}
	w.noteReplicas(nil, now)
	w.noteReplicas(nil, now)
	if said, again := log.count("NOT_ENOUGH_REPLICAS"), log.count("in sync again"); said != 4 || again != 1 {
		t.Errorf("it was said %d times in 100 s, and %d times that it is over", said, again)
	}
}
