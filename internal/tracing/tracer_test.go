package tracing

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"handprint/processor"
)

func TestABatchIsASpanWithAChildForEachStep(t *testing.T) {
	end := time.Unix(1000, 0)
	spans := tracetest.NewInMemoryExporter()
	tr := newTracer(sdk.WithSyncer(spans), Process{Application: "a", Instance: "i"}, func() time.Time { return end })
	tr.Hooks().Batch(processor.BatchReport{Outcome: processor.Committed, Records: 3, Tasks: []int32{1}, Poll: time.Hour,
		Process: time.Second, Produce: 2 * time.Second, Flush: 3 * time.Second, Commit: 4 * time.Second, Apply: 5 * time.Second})
	tr.Hooks().Batch(processor.BatchReport{Outcome: processor.Aborted, Process: time.Second})

	got := spans.GetSpans()
	if len(got) != 8 {
		t.Fatalf("%d spans, want 5 steps and a batch, 1 step and a batch", len(got))
	}
	batch := got[5]
	at := end.Add(-15 * time.Second)
	if batch.Name != "batch" || !batch.StartTime.Equal(at) || !batch.EndTime.Equal(end) || batch.Status.Code == codes.Error {
		t.Errorf("batch: %s from %s to %s, %v", batch.Name, batch.StartTime, batch.EndTime, batch.Status)
	}
	for i, name := range []string{"process", "produce", "flush", "commit", "apply"} {
		s := got[i]
		next := at.Add(time.Duration(i+1) * time.Second)
		if s.Name != name || s.Parent.SpanID() != batch.SpanContext.SpanID() || !s.StartTime.Equal(at) || !s.EndTime.Equal(next) {
			t.Errorf("step %d: %s from %s to %s", i, s.Name, s.StartTime, s.EndTime)
		}
		at = next
	}
	if got[7].Status.Code != codes.Error {
		t.Error("an aborted batch is no error")
	}
}

// The request is what OTLP's JSON encoding has for a batch: ids in hexadecimal,
// integers as strings, the headers that the environment names.
func TestTracesGoToTheCollector(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x, tenant=soc")
	type sent struct {
		path   string
		header http.Header
		body   map[string]any
	}
	requests := make(chan sent, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := sent{path: r.URL.Path, header: r.Header}
		if err := json.NewDecoder(r.Body).Decode(&s.body); err != nil {
			t.Error(err)
		}
		requests <- s
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	tr, err := Start(server.URL, Process{Application: "a", Instance: "i", Version: "v"})
	if err != nil {
		t.Fatal(err)
	}
	tr.now = func() time.Time { return time.Unix(1000, 5) }
	tr.Hooks().Batch(processor.BatchReport{Outcome: processor.Aborted, Process: time.Second, Tasks: []int32{2, 7}, Records: 3})
	if err := tr.Close(ctx); err != nil {
		t.Fatal(err)
	}
	got := <-requests
	if got.path != "/v1/traces" || got.header.Get("Authorization") != "Bearer x" || got.header.Get("Tenant") != "soc" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("sent to %s with %v", got.path, got.header)
	}
	spans := got.body["resourceSpans"].([]any)[0].(map[string]any)["scopeSpans"].([]any)[0].(map[string]any)["spans"].([]any)
	if len(spans) != 2 {
		t.Fatalf("%d spans, want the batch and its step", len(spans))
	}
	step, batch := spans[0].(map[string]any), spans[1].(map[string]any)
	if len(batch["traceId"].(string)) != 32 || len(batch["spanId"].(string)) != 16 || step["parentSpanId"] != batch["spanId"] || batch["parentSpanId"] != nil {
		t.Errorf("ids of %v and %v", step, batch)
	}
	want := map[string]any{"name": "batch", "kind": 5.0, "startTimeUnixNano": "999000000005", "endTimeUnixNano": "1000000000005"}
	for field, value := range want {
		if batch[field] != value {
			t.Errorf("%s is %v, want %v", field, batch[field], value)
		}
	}
	if status := batch["status"].(map[string]any); status["code"] != 2.0 || status["message"] != string(processor.Aborted) {
		t.Errorf("status %v", status)
	}
	text, err := json.Marshal(batch["attributes"])
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`{"key":"handprint.tasks","value":{"arrayValue":{"values":[{"intValue":"2"},{"intValue":"7"}]}}}`,
		`{"key":"messaging.batch.message_count","value":{"intValue":"3"}}`,
		`{"key":"handprint.poll_seconds","value":{"doubleValue":0}}`,
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("attributes %s lack %s", text, part)
		}
	}
}

func TestACollectorThatRefusesIsAnError(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer server.Close()
	e, err := newExporter(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.ExportSpans(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("got %v", err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "no pair")
	if _, err := newExporter(server.URL); err == nil {
		t.Error("headers that are no pairs are taken")
	}
}
