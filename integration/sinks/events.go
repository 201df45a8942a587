package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/broker"
	"handprint/schemas"
	"handprint/siem"
	"handprint/siem/siemtest"
	"handprint/topology"

	"encoding/json"
)

// wanted is what a receiver has to have in the end.
type wanted struct {
	options siem.Options
	events  map[string]*siem.Event // transitions, suspicions, identity changes, by id
	rows    map[string]keptRow     // by document id; those whose key was deleted are not there
	deleted int                    // keys
}

// keptRow is the newest row of a key.
type keptRow struct {
	event  *siem.Event
	offset int64
}

// lines formats the events, by id.
func (w *wanted) lines(format siem.Format) map[string]string {
	f := siem.NewFormatter(format, w.options)
	all := make(map[string]string, len(w.events))
	for id, e := range w.events {
		all[id] = string(f.Append(nil, e))
	}
	return all
}

// rowKeys is how many rows there are; each is written about ten times.
const rowKeys = 200

// produce fills the topics with hostile events: of ten, eight are transitions,
// one is a suspicion and one an identity change. With rows it writes a fifth as
// many rows and deletions too.
func produce(ctx context.Context, e *broker.Embedded, events int, rows bool, version string) (*wanted, error) {
	names := topology.DefaultNames("", "handprint")
	client, err := kgo.NewClient(append(e.ClientOpts(), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if _, err := broker.Ensure(ctx, client, names.Specs(topology.Layout{Partitions: 4, Replication: 1})); err != nil {
		return nil, err
	}
	r := siemtest.New(9)
	now := float64(time.Now().Unix())
	var records []*kgo.Record
	for i := range events {
		ts, key := now-float64(i%100_000)/10, []byte(strconv.Itoa(i))
		switch i % 10 {
		case 8:
			s := r.Suspicion()
			s.TS = ts
			records = append(records, &kgo.Record{Topic: names.MultiActorSuspects, Key: key, Value: schemas.AppendSuspicionJSON(nil, s)})
		case 9:
			c := r.Change()
			c.TS = ts
			records = append(records, &kgo.Record{Topic: names.IdentityChanged, Key: key, Value: schemas.AppendIdentityChangeJSON(nil, c)})
		default:
			t := r.Transition()
			t.TS = ts
			records = append(records, &kgo.Record{Topic: names.StateChanged, Key: key, Value: schemas.AppendTransitionJSON(nil, t)})
		}
	}
	if rows {
		var keys [][2]string
		for range rowKeys {
			x := r.Row()
			keys = append(keys, [2]string{x.Identity, x.Primitive})
		}
		for i := range events / 5 {
			x := r.Row()
			x.Identity, x.Primitive = keys[i*7%rowKeys][0], keys[i*7%rowKeys][1]
			record := &kgo.Record{Topic: names.State, Key: schemas.AppendStateRowKey(nil, x.Identity, x.Primitive)}
			if i%11 > 0 {
				record.Value = schemas.AppendStateRowJSON(nil, x)
			}
			records = append(records, record)
		}
	}
	var failed error
	for _, record := range records {
		client.Produce(ctx, record, func(_ *kgo.Record, err error) {
			if err != nil {
				failed = err
			}
		})
	}
	if err := errors.Join(client.Flush(ctx), failed); err != nil {
		return nil, err
	}
	return decode(records, names, version)
}

// decode works out what the records are to become.
func decode(records []*kgo.Record, names topology.Names, version string) (*wanted, error) {
	w := &wanted{options: siem.Options{Version: version}, events: map[string]*siem.Event{}, rows: map[string]keptRow{}}
	d := siem.Decoder{Attack: siem.DefaultAttackMap(), Topics: siem.Topics{
		StateChanged: names.StateChanged, Suspected: names.MultiActorSuspects, IdentityChanged: names.IdentityChanged, State: names.State,
	}}
	gone := map[string]int64{}
	for _, r := range records {
		e, err := d.Decode(&siem.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli()})
		if err != nil {
			return nil, fmt.Errorf("%s[%d] at offset %d: %w", r.Topic, r.Partition, r.Offset, err)
		}
		id := siem.DocumentID(r.Key)
		switch e.Kind {
		case siem.Row:
			if r.Offset >= w.rows[id].offset && r.Offset >= gone[id] {
				w.rows[id] = keptRow{e, r.Offset}
			}
		case siem.Tombstone:
			if r.Offset >= w.rows[id].offset {
				delete(w.rows, id)
			}
			gone[id] = max(gone[id], r.Offset)
		default:
			w.events[e.ID] = e
		}
	}
	for id := range gone {
		if _, there := w.rows[id]; !there {
			w.deleted++
		}
	}
	return w, nil
}

// versionOf asks a binary what it is, which events say.
func versionOf(ctx context.Context, binary string) (string, error) {
	text, err := exec.CommandContext(ctx, binary, "version", "--json").Output()
	if err != nil {
		return "", fmt.Errorf("asking %s for its version: %w", binary, err)
	}
	var v struct{ Version string }
	if err := json.Unmarshal(text, &v); err != nil {
		return "", fmt.Errorf("asking %s for its version: %w", binary, err)
	}
	return v.Version, nil
}
