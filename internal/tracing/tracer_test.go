package tracing

import (
	"context"
	"net/http"
	"net/http/httptest"
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

func TestTracesGoToTheCollector(t *testing.T) {
	paths := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { paths <- r.URL.Path }))
	defer server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tr, err := Start(ctx, server.URL, Process{Application: "a"})
	if err != nil {
		t.Fatal(err)
	}
	tr.Hooks().Batch(processor.BatchReport{Outcome: processor.Committed, Process: time.Second})
	if err := tr.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if path := <-paths; path != "/v1/traces" {
		t.Errorf("sent to %s", path)
	}
}
