// Package admin serves what a running process tells about itself over HTTP:
// /metrics for Prometheus, /livez and /readyz for whoever starts and restarts
// it, and /statusz, all of it as JSON. It decides what ready and live mean.
//
// There is no access control and nothing that changes anything: listen where
// only those reach it who should. The metrics themselves are package metrics.
package admin
