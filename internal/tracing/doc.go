// Package tracing sends a trace of every batch to an OpenTelemetry collector:
// a span for the batch, from its input's arrival to the end of its transaction,
// with a child for each step.
//
// It learns of batches through the processor's hooks, after they have ended, so
// it delays none; and without an endpoint none of it runs. There are no spans
// for records: a batch may have ten thousand.
package tracing
