package tracing

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"handprint/processor"
)

// Process says whose traces they are.
type Process struct {
	Application string
	Instance    string
	Version     string
}

// Tracer makes spans of batches and sends them in the background.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	now      func() time.Time
}

// tracesPath is where a collector takes traces over HTTP.
const tracesPath = "/v1/traces"

// Start returns a tracer that sends to the collector at endpoint, an http or
// https URL; without a path, /v1/traces is meant. It does not wait for the
// collector: traces that cannot be sent are dropped. The caller closes it.
func Start(endpoint string, p Process) (*Tracer, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("endpoint %s for traces: %w", endpoint, err)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = tracesPath
	}
	exporter, err := newExporter(u.String())
	if err != nil {
		return nil, fmt.Errorf("sending traces to %s: %w", endpoint, err)
	}
	return newTracer(sdk.WithBatcher(exporter), p, time.Now), nil
}

func newTracer(processor sdk.TracerProviderOption, p Process, now func() time.Time) *Tracer {
	provider := sdk.NewTracerProvider(processor, sdk.WithResource(resource.NewSchemaless(
		attribute.String("service.name", "handprint"),
		attribute.String("service.namespace", p.Application),
		attribute.String("service.instance.id", p.Instance),
		attribute.String("service.version", p.Version),
	)))
	return &Tracer{provider: provider, tracer: provider.Tracer("handprint"), now: now}
}

// Close sends what has not been sent, as long as ctx lasts.
func (t *Tracer) Close(ctx context.Context) error {
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("sending the last traces: %w", err)
	}
	return nil
}

// Hooks returns what makes the spans.
func (t *Tracer) Hooks() processor.Hooks { return processor.Hooks{Batch: t.batch} }

// batch makes the spans of a batch that has just ended. The wait for input is
// an attribute, not a span: it would be most of the trace of a quiet process.
func (t *Tracer) batch(b processor.BatchReport) {
	steps := []struct {
		name string
		took time.Duration
	}{{"process", b.Process}, {"produce", b.Produce}, {"flush", b.Flush}, {"commit", b.Commit}, {"apply", b.Apply}}
	end := t.now()
	start := end
	for _, s := range steps {
		start = start.Add(-s.took)
	}
	tasks := make([]int, len(b.Tasks))
	for i, task := range b.Tasks {
		tasks[i] = int(task)
	}
	ctx, span := t.tracer.Start(context.Background(), "batch", trace.WithTimestamp(start), trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.Int("handprint.worker", b.Worker),
		attribute.IntSlice("handprint.tasks", tasks),
		attribute.String("handprint.outcome", string(b.Outcome)),
		attribute.Int64("messaging.batch.message_count", b.Records),
		attribute.Int64("handprint.input_bytes", b.BytesIn),
		attribute.Int64("handprint.produced", b.Produced),
		attribute.Int64("handprint.output_bytes", b.BytesOut),
		attribute.Int64("handprint.changelog_records", b.Changes),
		attribute.Float64("handprint.poll_seconds", b.Poll.Seconds()),
	))
	if b.Outcome != processor.Committed {
		span.SetStatus(codes.Error, string(b.Outcome))
	}
	at := start
	for _, s := range steps {
		if s.took == 0 {
			continue // not reached
		}
		_, child := t.tracer.Start(ctx, s.name, trace.WithTimestamp(at))
		at = at.Add(s.took)
		child.End(trace.WithTimestamp(at))
	}
	span.End(trace.WithTimestamp(end))
}
