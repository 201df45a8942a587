package serve_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/broker"
	"handprint/serve"
	"handprint/serve/guard"
	"handprint/serve/query"
	"handprint/serve/servetest"
	"handprint/siem"
)

// An export in a format of SIEMs has the rows of the state topic, under their ids, and says
// which topic has what.
func TestTheAPIExportsTheFormatsOfSIEMs(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	s, _ := open(t, app, t.TempDir())
	caught(t, s)
	topics := siem.Topics{State: app.Names.State, Suspected: app.Names.MultiActorSuspects}
	w, secrets := web(t, s, func(c *serve.WebConfig) { c.Exporter = serve.NewSIEMExporter(siem.ExportOptions{}, topics, nil) })

	decoder := &siem.Decoder{Topics: topics}
	rows := map[string]*siem.Event{}
	err := broker.Scan(context.Background(), app.Client, func(r *kgo.Record) error {
		if r.Value == nil {
			delete(rows, string(r.Key))
			return nil
		}
		e, err := decoder.Decode(&siem.Record{Topic: r.Topic, Key: r.Key, Value: r.Value})
		rows[string(r.Key)] = e
		return err
	}, app.Names.State)
	if err != nil || len(rows) == 0 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	missing := map[string]bool{}
	for _, e := range rows {
		missing[e.ID] = true
	}

	resp, text := ask(t, w, "GET", "/api/v1/export/ecs", secrets[guard.Read], "")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("ecs: %d %v %s", resp.StatusCode, resp.Header, text)
	}
	for line := range strings.Lines(string(text)) {
		var e struct {
			Event struct{ ID, Code, Provider string }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if e.Event.Code == "state" && !missing[e.Event.ID] {
			t.Errorf("no row of the topic has this id, or it came twice: %s", line)
		}
		if e.Event.Code == "state" && e.Event.Provider != topics.State {
			t.Errorf("a row is said to come from %q, comes from %q", e.Event.Provider, topics.State)
		}
		delete(missing, e.Event.ID)
	}
	if len(missing) > 0 {
		t.Errorf("rows that were not exported: %v", missing)
	}
	if !strings.Contains(string(text), "192.0.2.7") {
		t.Error("no line has the address")
	}

	resp, text = ask(t, w, "GET", "/api/v1/export/stix?q=192.0.2.0/24", secrets[guard.Read], "")
	var bundle struct {
		Type    string
		Objects []struct{ Type string }
	}
	if err := json.Unmarshal(text, &bundle); err != nil || resp.StatusCode != 200 || bundle.Type != "bundle" || len(bundle.Objects) == 0 {
		t.Errorf("stix: %d %v %s", resp.StatusCode, err, text)
	}
	if !strings.Contains(string(text), stub("a1")) || strings.Contains(string(text), stub("a3")) {
		t.Errorf("the bundle is not of the identity that was asked for: %s", text)
	}
	if resp, text := ask(t, w, "GET", "/api/v1/export/none", secrets[guard.Read], ""); resp.StatusCode != 400 || !strings.Contains(string(text), "misp") {
		t.Errorf("an unknown format: %d %s", resp.StatusCode, text)
	}
}

// A suspicion in a format of SIEMs comes from the topic of suspicions.
func TestTheSuspicionOfAnExportNamesItsTopic(t *testing.T) {
	x := serve.NewSIEMExporter(siem.ExportOptions{}, siem.Topics{State: "topic.state", Suspected: "topic.suspected"}, nil)
	i := &query.Identity{Identity: "i", Suspicion: &query.Suspicion{ID: "s", EventID: "e", Identity: "i", Status: "raised"}}
	for format, want := range map[string]string{"ecs": `"provider":"topic.suspected"`, "ocsf": `"log_name":"topic.suspected"`} {
		var b strings.Builder
		left := []*query.Identity{i, nil}
		next := func() (i *query.Identity, err error) { i, left = left[0], left[1:]; return i, nil }
		if err := x.Export(t.Context(), &b, format, next); err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("%s: %v, no %s in %s", format, err, want, b.String())
		}
	}
}
