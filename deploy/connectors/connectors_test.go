// Package connectors holds example configurations of Kafka Connect sinks
// (docs/connectors.md), and this test of them. That their transforms run in a
// real worker is what make connect-check shows.
package connectors

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"handprint/schemas"
	"handprint/topology"
)

type connector struct {
	Name   string
	Config map[string]string
}

func load(t *testing.T) map[string]connector {
	t.Helper()
	files, err := filepath.Glob("*-*.json")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]connector)
	for _, file := range files {
		if file == "index-template.json" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var c connector
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[file] = c
	}
	if len(all) < 8 {
		t.Fatalf("only %d files", len(all))
	}
	return all
}

func TestConnectorsReadOurTopicsCommitted(t *testing.T) {
	n := topology.DefaultNames("", "handprint")
	events := []string{n.StateChanged, n.MultiActorSuspects, n.IdentityChanged}
	for file, c := range load(t) {
		if want := "handprint-" + strings.TrimSuffix(file, ".json"); c.Name != want {
			t.Errorf("%s: its name is %s", file, c.Name)
		}
		topics := strings.Split(c.Config["topics"], ",")
		switch {
		case slices.Equal(topics, []string{n.State, n.Identities}):
			deletes := slices.Contains([]string{"delete", "write"}, c.Config["behavior.on.null.values"])
			drops := strings.HasSuffix(c.Config["predicates.deleted.type"], ".RecordIsTombstone")
			if deletes == drops {
				t.Errorf("%s: what happens to tombstones is not said", file)
			}
		case slices.Equal(topics, events):
			if _, has := c.Config["behavior.on.null.values"]; has && c.Config["behavior.on.null.values"] != "ignore" {
				t.Errorf("%s: events have no tombstones", file)
			}
		default:
			t.Errorf("%s: topics %v", file, topics)
		}
		if c.Config["consumer.override.isolation.level"] != "read_committed" {
			t.Errorf("%s reads uncommitted records", file)
		}
		if dlq := c.Config["errors.deadletterqueue.topic.name"]; (dlq != "") != (c.Config["errors.tolerance"] == "all") {
			t.Errorf("%s: records that fail are lost, or a dead letter queue is never used", file)
		}
		for name, value := range c.Config {
			if (strings.HasSuffix(name, "password") || strings.HasSuffix(name, "token")) && !strings.HasPrefix(value, "${file:") {
				t.Errorf("%s: %s is a secret in the open", file, name)
			}
		}
	}
}

// Every transform, and every predicate, that is named is configured, and the
// field that becomes the document's id is one that events have.
func TestTransformsAreWhole(t *testing.T) {
	for file, c := range load(t) {
		for _, kind := range []string{"transforms", "predicates"} {
			for _, name := range strings.Split(c.Config[kind], ",") {
				if name != "" && c.Config[kind+"."+name+".type"] == "" {
					t.Errorf("%s: %s.%s has no type", file, kind, name)
				}
			}
		}
		for name, value := range c.Config {
			if !strings.HasSuffix(name, ".fields") && !strings.HasSuffix(name, ".field") {
				continue
			}
			for _, contract := range []schemas.Contract{schemas.TransitionContract, schemas.SuspicionContract, schemas.IdentityChangeContract} {
				if !strings.Contains(contract.Schema(), `"name": "`+value+`"`) {
					t.Errorf("%s: %s: a %s has no field %s", file, name, contract, value)
				}
			}
		}
	}
}

func TestThePageNamesEveryFile(t *testing.T) {
	page, err := os.ReadFile("../../docs/connectors.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !bytes.Contains(page, []byte("(../deploy/connectors/"+file+")")) {
			t.Errorf("docs/connectors.md does not link to %s", file)
		}
	}
}
