package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"handprint/integration/connect/upsert"
	"handprint/integration/pipeline"
	"handprint/integration/services"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	binary := flag.String("handprint", "bin/handprint", "The built handprint.")
	formats := flag.String("formats", "json,avro", "Formats to check.")
	patience := flag.Duration("patience", 5*time.Minute, "How long it may take.")
	keep := flag.Bool("keep", false, "Leave the files where they are, and say where.")
	flag.Parse()
	ctx, end := context.WithTimeoutCause(ctx, *patience, fmt.Errorf("not done within %v", *patience))
	err := check(ctx, *binary, strings.Split(*formats, ","), *keep)
	end()
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "connect:", err)
		os.Exit(1)
	}
}

// check starts what is needed, fills an application's topics in each format,
// lets one worker copy them all, and compares.
func check(ctx context.Context, binary string, formats []string, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "handprint-connect-")
	if err != nil {
		return err
	}
	defer func() {
		if keep || err != nil {
			fmt.Println("files are in", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	running, err := services.Start(ctx, dir, slices.Contains(formats, "avro"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, running.Close()) }()
	decoder, err := upsert.NewDecoder(running.Registry)
	if err != nil {
		return err
	}
	filled := make([]*pipeline.Pipeline, len(formats))
	for i, format := range formats {
		p, err := pipeline.New(ctx, pipeline.Options{Binary: binary, Brokers: running.Brokers, Replication: running.Replication,
			Format: format, Registry: running.Registry, Dir: filepath.Join(dir, format)})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.Close(context.WithoutCancel(ctx))) }()
		filled[i] = p
	}
	group, filling := errgroup.WithContext(ctx)
	for _, p := range filled {
		group.Go(func() error { return p.Fill(filling) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	var copies []copyCheck
	for _, p := range filled {
		some, err := copiesOf(p, decoder)
		if err != nil {
			return err
		}
		copies = append(copies, some...)
	}
	if err := compareCopies(ctx, dir, filled, copies); err != nil {
		return err
	}
	for _, p := range filled {
		if err := compareRows(ctx, p, decoder); err != nil {
			return fmt.Errorf("upserting by key, %s: %w", p.Format, err)
		}
	}
	return nil
}

// copiesOf are the connectors for the topics of an application. The ones for
// JSON have the transforms of the examples in deploy/connectors.
func copiesOf(p *pipeline.Pipeline, d *upsert.Decoder) ([]copyCheck, error) {
	events, err := exampleTransforms("elasticsearch-events")
	if err != nil {
		return nil, err
	}
	live, err := exampleTransforms("splunk-state")
	if err != nil {
		return nil, err
	}
	var copies []copyCheck
	add := func(topic, what string, compare func(context.Context, []*kgo.Record, []string) (string, error), all ...map[string]string) {
		short := strings.TrimPrefix(topic, p.Application+".")
		name := p.Application + "." + short + "." + strings.ReplaceAll(what, " ", "-")
		copies = append(copies, copyCheck{what: short + " as " + what, compare: compare, connector: connector{
			name: name, topic: topic, file: filepath.Join(p.Dir, name+".txt"), settings: settings(all...)}})
	}
	for _, topic := range p.Outputs() {
		if p.Format == "avro" {
			add(topic, "avro", sameRecords(d, printedStruct), readCommitted, addressed, avroConverter(p.Registry))
			continue
		}
		add(topic, "text", sameBytes, readCommitted)
		if topic == p.Names.State || topic == p.Names.Identities { // their keys say what they are
			add(topic, "json", sameRecords(d, printedMap), readCommitted, addressed, jsonConverter)
			continue
		}
		both := settings(events, addressed)
		both["transforms"] = events["transforms"] + "," + addressed["transforms"]
		add(topic, "json with its id as key", sameRecords(d, printedMap), readCommitted, both, jsonConverter)
	}
	if p.Format != "avro" {
		add(p.Names.State, "uncommitted text", withAborted(pipeline.Aborted, pipeline.AbortedRecords))
		copies[len(copies)-1].more = pipeline.AbortedRecords
		add(p.Names.State, "text without tombstones", sameBytes, readCommitted, live)
		copies[len(copies)-1].live = true
	}
	return copies, nil
}

// exampleTransforms are the transforms, and their predicates, of a connector
// that docs/connectors.md describes.
func exampleTransforms(name string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join("deploy", "connectors", name+".json"))
	if err != nil {
		return nil, err
	}
	var example struct{ Config map[string]string }
	if err := json.Unmarshal(text, &example); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	maps.DeleteFunc(example.Config, func(key, _ string) bool {
		return !strings.HasPrefix(key, "transforms") && !strings.HasPrefix(key, "predicates")
	})
	return example.Config, nil
}

var jsonConverter = map[string]string{
	"value.converter":                "org.apache.kafka.connect.json.JsonConverter",
	"value.converter.schemas.enable": "false",
}

// avroConverter is Apicurio's, told to read ids of 4 bytes as Confluent's
// registry gives them. It speaks the registry's own API.
func avroConverter(address string) map[string]string {
	return map[string]string{
		"value.converter":                                "io.apicurio.registry.utils.converter.AvroConverter",
		"value.converter.apicurio.registry.url":          strings.Replace(address, "/apis/ccompat/v7", "/apis/registry/v2", 1),
		"value.converter.apicurio.registry.as-confluent": "true",
		"value.converter.apicurio.registry.use-id":       "contentId",
	}
}

// compareCopies lets a worker copy, ends it, and compares.
func compareCopies(ctx context.Context, dir string, filled []*pipeline.Pipeline, copies []copyCheck) error {
	topics := make(map[string][]*kgo.Record)
	for _, p := range filled {
		for _, topic := range p.Outputs() {
			records, err := p.Records(ctx, topic)
			if err != nil {
				return err
			}
			topics[topic] = records
		}
	}
	var connectors []connector
	wanted := make(map[string]int)
	for _, c := range copies {
		connectors = append(connectors, c.connector)
		wanted[c.file] = len(c.of(topics[c.topic])) + c.more
	}
	w, err := startWorker(ctx, dir, filled[0].Brokers, connectors)
	if err != nil {
		return err
	}
	err = w.until(ctx, wanted)
	w.stop()
	if err != nil {
		return err
	}
	for _, c := range copies {
		lines, err := c.lines()
		if err != nil {
			return err
		}
		report, err := c.compare(ctx, c.of(topics[c.topic]), lines)
		if err != nil {
			return fmt.Errorf("%s: %w", c.what, err)
		}
		fmt.Printf("%-55s %s\n", c.what, report)
	}
	return nil
}

// compareRows follows the state topic by key and holds the table against what
// `handprint rows` shows.
func compareRows(ctx context.Context, p *pipeline.Pipeline, d *upsert.Decoder) error {
	records, err := p.Records(ctx, p.Names.State)
	if err != nil {
		return err
	}
	table := upsert.NewTable(d)
	for _, r := range records {
		if err := table.Follow(ctx, r); err != nil {
			return err
		}
	}
	shown, err := p.Handprint(ctx, "rows", "-o", "json")
	if err != nil {
		return err
	}
	left := maps.Clone(table.Rows)
	for line := range bytes.Lines(shown) {
		var row map[string]any
		if err := json.Unmarshal(line, &row); err != nil {
			return fmt.Errorf("handprint rows: %w", err)
		}
		key := fmt.Sprintf("%s/%s", row["identity_uuid"], row["primitive"])
		if _, shown := row["returns"]; !shown && left[key]["returns"] == false {
			delete(left[key], "returns") // Avro's default is what JSON leaves out
		}
		if !reflect.DeepEqual(left[key], row) {
			return fmt.Errorf("%s: upserting gives %v, handprint rows %v", key, left[key], row)
		}
		delete(left, key)
	}
	if len(left) > 0 {
		return fmt.Errorf("upserting gives %d rows that handprint rows does not show: %v", len(left), left)
	}
	if table.Deletes == 0 {
		return errors.New("there was no tombstone")
	}
	fmt.Printf("%-55s %d puts and %d deletes make the %d rows of handprint rows\n", "upserting by key, "+p.Format, table.Puts, table.Deletes, len(table.Rows))
	return nil
}
