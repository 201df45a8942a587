// Package metrics is what a running process counts and measures, for
// Prometheus: the names, their help and their labels, where each value comes
// from, and the page docs/metrics.md, which is made from the same list.
//
// Serving them is not here (see package admin), and neither is what they mean
// for an operator (docs/operations.md, deploy/prometheus).
package metrics
