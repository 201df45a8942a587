package tracing

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// sendTimeout is how long a collector may take to answer, as OTLP's default.
const sendTimeout = 10 * time.Second

// exporter sends spans in OTLP's JSON encoding over HTTP, which every collector
// takes. OpenTelemetry's own exporter for HTTP brings gRPC and protobuf into the
// binary, 8 MB, for the same request.
type exporter struct {
	url    string
	header http.Header
	client *http.Client
}

// newExporter returns an exporter for a URL with its path. Headers are those of
// OpenTelemetry's environment variables for them, such as a collector's token.
func newExporter(to string) (*exporter, error) {
	e := &exporter{url: to, header: http.Header{}, client: &http.Client{Timeout: sendTimeout}}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		for pair := range strings.SplitSeq(os.Getenv(name), ",") {
			if pair = strings.TrimSpace(pair); pair == "" {
				continue
			}
			key, value, found := strings.Cut(pair, "=")
			text, err := url.PathUnescape(strings.TrimSpace(value))
			if key = strings.TrimSpace(key); !found || key == "" || err != nil {
				return nil, fmt.Errorf("%s is not a list of key=value", name)
			}
			e.header.Set(key, text)
		}
	}
	return e, nil
}

// ExportSpans implements sdk.SpanExporter.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	body, err := json.Marshal(requestOf(spans))
	if err != nil {
		return fmt.Errorf("encoding %d spans: %w", len(spans), err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("sending %d spans to %s: %w", len(spans), e.url, err)
	}
	r.Header = e.header.Clone()
	r.Header.Set("Content-Type", "application/json")
	answer, err := e.client.Do(r)
	if err != nil {
		return fmt.Errorf("sending %d spans: %w", len(spans), err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // so that the connection is used again
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("sending %d spans to %s: the collector answers %s", len(spans), e.url, answer.Status)
	}
	return nil
}

// Shutdown implements sdk.SpanExporter.
func (e *exporter) Shutdown(context.Context) error {
	e.client.CloseIdleConnections()
	return nil
}

// The messages of opentelemetry.proto.collector.trace.v1 in OTLP's JSON: ids in
// hexadecimal, 64-bit integers as strings, enumerations as numbers.
type (
	exportRequest struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   attributes   `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	attributes struct {
		Attributes []keyValue `json:"attributes"`
	}
	scopeSpans struct {
		Scope scope      `json:"scope"`
		Spans []spanJSON `json:"spans"`
	}
	scope struct {
		Name string `json:"name"`
	}
	spanJSON struct {
		TraceID    string     `json:"traceId"`
		SpanID     string     `json:"spanId"`
		Parent     string     `json:"parentSpanId,omitempty"`
		Name       string     `json:"name"`
		Kind       int        `json:"kind"`
		Start      string     `json:"startTimeUnixNano"`
		End        string     `json:"endTimeUnixNano"`
		Attributes []keyValue `json:"attributes,omitempty"`
		Status     status     `json:"status"`
	}
	status struct {
		Code    int    `json:"code,omitempty"` // 1 ok, 2 error
		Message string `json:"message,omitempty"`
	}
	keyValue struct {
		Key   string `json:"key"`
		Value any    `json:"value"`
	}
)

// requestOf makes one request of spans that share a resource and a scope, as all
// of a process do.
func requestOf(spans []sdk.ReadOnlySpan) exportRequest {
	all := scopeSpans{Spans: make([]spanJSON, 0, len(spans))}
	resource := attributes{Attributes: []keyValue{}}
	for i, s := range spans {
		if i == 0 {
			all.Scope.Name = s.InstrumentationScope().Name
			resource.Attributes = keyValues(s.Resource().Attributes())
		}
		out := spanJSON{
			TraceID: s.SpanContext().TraceID().String(), SpanID: s.SpanContext().SpanID().String(),
			Name: s.Name(), Kind: int(s.SpanKind()), // both count unspecified, internal, server, client, producer, consumer
			Start: nanos(s.StartTime()), End: nanos(s.EndTime()), Attributes: keyValues(s.Attributes()),
		}
		if s.Parent().SpanID().IsValid() {
			out.Parent = s.Parent().SpanID().String()
		}
		switch st := s.Status(); st.Code {
		case codes.Ok:
			out.Status.Code = 1
		case codes.Error:
			out.Status = status{2, st.Description}
		}
		all.Spans = append(all.Spans, out)
	}
	return exportRequest{[]resourceSpans{{resource, []scopeSpans{all}}}}
}

func nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

func keyValues(set []attribute.KeyValue) []keyValue {
	out := make([]keyValue, len(set))
	for i, a := range set {
		out[i] = keyValue{string(a.Key), anyValue(a.Value)}
	}
	return out
}

// anyValue is an attribute's value as OTLP's AnyValue; a kind that spans of
// batches do not have is its text.
func anyValue(v attribute.Value) map[string]any {
	switch v.Type() {
	case attribute.BOOL:
		return map[string]any{"boolValue": v.AsBool()}
	case attribute.INT64:
		return map[string]any{"intValue": strconv.FormatInt(v.AsInt64(), 10)}
	case attribute.FLOAT64:
		return map[string]any{"doubleValue": v.AsFloat64()}
	case attribute.INT64SLICE:
		values := make([]map[string]any, 0, len(v.AsInt64Slice()))
		for _, n := range v.AsInt64Slice() {
			values = append(values, map[string]any{"intValue": strconv.FormatInt(n, 10)})
		}
		return map[string]any{"arrayValue": map[string]any{"values": values}}
	default:
		return map[string]any{"stringValue": v.String()}
	}
}
