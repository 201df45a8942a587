package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/integration/pipeline"
)

// read gives one application what fastavro wrote and another the same in JSON.
// Both must come to the same rows.
func (c *checker) read(ctx context.Context, avro, plain *pipeline.Pipeline, count int, seed int64) (err error) {
	if _, err := avro.Handprint(ctx, "schemas", "register"); err != nil {
		return err
	}
	subjects, err := json.Marshal(map[string]string{
		"observation":    avro.Names.Observations + "-value",
		"identity_event": avro.Names.IdentityEvents + "-value",
	})
	if err != nil {
		return err
	}
	lines, err := c.run(ctx, []string{"SUBJECTS=" + string(subjects)}, "write", c.services.Registry, fmt.Sprint(count), fmt.Sprint(seed))
	if err != nil {
		return err
	}
	sent := make(map[string][]record)
	for line := range bytes.Lines(lines) {
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("what fastavro wrote: %w", err)
		}
		sent[r.Topic] = append(sent[r.Topic], r)
	}
	var rows [2]map[string]row
	for i, p := range []*pipeline.Pipeline{avro, plain} {
		if rows[i], err = conclude(ctx, p, sent, i == 0); err != nil {
			return fmt.Errorf("%s (seed %d): %w", p.Format, seed, err)
		}
	}
	if err := same(rows[0], rows[1]); err != nil {
		return fmt.Errorf("seed %d: %w", seed, err)
	}
	fmt.Printf("%d observations and %d identity events of fastavro (seed %d) give the %d rows that the same give in JSON\n",
		len(sent["observation"]), len(sent["identity_event"]), seed, len(rows[0]))
	return nil
}

// conclude sends observations, then identity events, to an application and
// returns the rows that it comes to.
func conclude(ctx context.Context, p *pipeline.Pipeline, sent map[string][]record, avro bool) (_ map[string]row, err error) {
	stop, err := p.Start()
	if err != nil {
		return nil, err
	}
	defer func() {
		if stopped := stop(); err == nil {
			err = stopped
		}
	}()
	observed := func(rows map[string]row) bool {
		sum := 0.0
		for _, r := range rows {
			sum += r["observation_count"].(float64)
		}
		return sum == float64(len(sent["observation"]))
	}
	if err := p.Send(ctx, messages(p.Names.Observations, sent["observation"], avro)...); err != nil {
		return nil, err
	}
	if _, err := untilRows(ctx, p, observed); err != nil {
		return nil, err
	}
	if err := p.Send(ctx, messages(p.Names.IdentityEvents, sent["identity_event"], avro)...); err != nil {
		return nil, err
	}
	// Each identity is formed of two attackers, and a third is linked to it: its
	// own stub's rows are gone when all of it is done.
	gone := make(map[string]bool)
	for _, r := range sent["identity_event"] {
		var e struct {
			One  string   `json:"observation_uuid"`
			Many []string `json:"observation_uuids"`
		}
		if err := json.Unmarshal([]byte(r.JSON), &e); err != nil {
			return nil, err
		}
		for _, attacker := range append(e.Many, e.One) {
			if attacker != "" {
				gone[pipeline.Stub(attacker)] = true
			}
		}
	}
	return untilRows(ctx, p, func(rows map[string]row) bool {
		for _, r := range rows {
			if gone[r["identity_uuid"].(string)] {
				return false
			}
		}
		return observed(rows)
	})
}

func messages(topic string, records []record, avro bool) (list []*kgo.Record) {
	for _, r := range records {
		m := &kgo.Record{Topic: topic, Key: []byte(r.Key), Value: []byte(r.JSON)}
		if avro {
			m.Value = r.Value
		}
		list = append(list, m)
	}
	return list
}

// row is a row as `handprint rows` prints it.
type row map[string]any

// untilRows waits until the rows are as wanted.
func untilRows(ctx context.Context, p *pipeline.Pipeline, wanted func(map[string]row) bool) (map[string]row, error) {
	poll := time.NewTicker(500 * time.Millisecond)
	defer poll.Stop()
	for {
		shown, err := p.Handprint(ctx, "rows", "-o", "json")
		if err != nil {
			return nil, err
		}
		rows := make(map[string]row)
		for line := range bytes.Lines(shown) {
			var r row
			if err := json.Unmarshal(line, &r); err != nil {
				return nil, fmt.Errorf("handprint rows: %w", err)
			}
			rows[fmt.Sprintf("%s/%s", r["identity_uuid"], r["primitive"])] = r
		}
		if wanted(rows) {
			return rows, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the rows: %w", context.Cause(ctx))
		case <-poll.C:
		}
	}
}

// same compares all rows, but for when they were written.
func same(avro, plain map[string]row) error {
	for key, r := range plain {
		other := avro[key]
		if other == nil {
			return fmt.Errorf("%s has a row from JSON and none from Avro", key)
		}
		delete(r, "updated_at")
		delete(other, "updated_at")
		if !reflect.DeepEqual(other, r) {
			return fmt.Errorf("%s: from JSON %v, from Avro %v", key, r, other)
		}
	}
	if len(avro) != len(plain) {
		return fmt.Errorf("%d rows from Avro, %d from JSON", len(avro), len(plain))
	}
	return nil
}
