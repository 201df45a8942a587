package operations

import (
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"handprint/processor/assignor"
)

// All that a group knows of its members, and what each was given, is one record of
// the topic __consumer_offsets. If that is too large for it, the coordinator refuses
// members with UNKNOWN_SERVER_ERROR.

const (
	offsetsTopic = "__consumer_offsets"
	maxRecord    = "max.message.bytes"
	// usualMaxRecord is what brokers take unless they are told otherwise.
	usualMaxRecord = 1 << 20
	// memberOverhead is about what the record has of a member besides.
	memberOverhead = 200
)

// groupSize works out how large the record of the group is.
func (d *doctor) groupSize(g *kadm.DescribedGroup) {
	const name = "group record"
	limit := d.maxGroupRecord()
	if len(g.Members) == 0 {
		d.add(name, OK, "", "of one process it would have about %s of %s", size(uint64(d.plannedRecord())), size(uint64(limit)))
		return
	}
	n := recordSize(g)
	found := fmt.Sprintf("about %s of %s, of %d members", size(uint64(n)), size(uint64(limit)), len(g.Members))
	if n < limit/2 {
		d.add(name, OK, "", "%s", found)
		return
	}
	d.add(name, Warning, fmt.Sprintf("raise it: kafka-configs --alter --entity-type topics --entity-name %s --add-config %s=%d; or run fewer threads",
		offsetsTopic, maxRecord, 4*limit), "%s: if it grows too large, nobody can join (UNKNOWN_SERVER_ERROR)", found)
}

// recordSize is about how many bytes the record of a group has.
func recordSize(g *kadm.DescribedGroup) int {
	n := 0
	for i := range g.Members {
		m := &g.Members[i]
		n += memberOverhead
		if join, ok := m.Join.AsConsumer(); ok {
			n += len(join.AppendTo(nil))
		}
		if assigned, ok := m.Assigned.AsConsumer(); ok {
			n += len(assigned.AppendTo(nil))
		}
	}
	return n
}

// plannedRecord is about how large the record is of a group of one process, which has
// a copy of each task.
func (d *doctor) plannedRecord() int {
	tasks := d.app.Layout.Partitions
	data := assignor.MemberData{Copies: make(map[int32]assignor.CopyData, tasks)}
	for task := range tasks {
		data.Copies[task] = assignor.CopyData{Position: 1 << 40, Topic: "00000000000000000000000000000000", Age: time.Hour}
	}
	const partitionsOfTask, bytesOfPartition, claimedAndGiven = 2, 4, 2
	return memberOverhead + len(data.Append(nil)) + int(tasks)*partitionsOfTask*bytesOfPartition*claimedAndGiven
}

// maxGroupRecord returns how large the record may be, the usual if the brokers do
// not say.
func (d *doctor) maxGroupRecord() int {
	configs, err := d.adm.DescribeTopicConfigs(d.ctx, offsetsTopic)
	if err != nil {
		return usualMaxRecord
	}
	for _, t := range configs {
		for _, c := range t.Configs {
			if n, err := strconv.Atoi(c.MaybeValue()); t.Err == nil && c.Key == maxRecord && err == nil {
				return n
			}
		}
	}
	return usualMaxRecord
}
