package operations

import (
	"fmt"
	"strconv"
	"time"
)

// The settings of a topic that decide which timestamps producers may give.
const (
	timestampType  = "message.timestamp.type"
	timestampAhead = "message.timestamp.after.max.ms"
)

// freeTimestamps is from which bound on a topic counts as one whose producers
// set timestamps as they like.
const freeTimestamps = 24 * time.Hour

// timestamps looks whether producers may give observations any timestamp: an
// observation's ts is held against it (max-ahead).
func (d *doctor) timestamps() {
	const name = "record timestamps"
	topic := d.app.Names.Observations
	all, err := d.adm.DescribeTopicConfigs(d.ctx, topic)
	if err != nil || len(all) != 1 || all[0].Err != nil {
		return // the topics' check says what is wrong
	}
	set := make(map[string]string)
	for _, c := range all[0].Configs {
		set[c.Key] = c.MaybeValue()
	}
	if set[timestampType] == "LogAppendTime" {
		d.add(name, OK, "", "the brokers set them")
		return
	}
	ms, err := strconv.ParseInt(set[timestampAhead], 10, 64)
	if err != nil {
		return // a cluster before Kafka 3.6: it has no bound to set
	}
	if ms > freeTimestamps.Milliseconds() {
		d.add(name, Warning, fmt.Sprintf("kafka-configs --alter --entity-type topics --entity-name %s --add-config %s=%d", topic, timestampAhead, time.Hour.Milliseconds()),
			"producers of %s may set any timestamp, so max-ahead keeps no ts back", topic)
		return
	}
	d.add(name, OK, "", "at most %s ahead", time.Duration(ms)*time.Millisecond)
}
