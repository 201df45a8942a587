package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"handprint/ingest"
	"handprint/ingest/endpoint"
	"handprint/internal/config"
)

// endpointQuery is what the flags of `handprint ingest serve` ask for.
type endpointQuery struct {
	listen, cert, key, tokens string
}

func (a *app) ingestServeCommand() *cobra.Command {
	var q endpointQuery
	var n networkQuery
	var format string
	cmd := &cobra.Command{
		Use:   "serve --local-net CIDR",
		Short: "Take rows and observations over HTTP",
		Long: `Take rows of Zeek's and Suricata's logs and observations over HTTP, from sensors
that cannot speak Kafka, and answer when the brokers have everything.

POST /v1/observations, /v1/ingest/zeek?path=ssh, /v1/ingest/suricata, as NDJSON
(application/x-ndjson) or as a JSON array (application/json), gzip allowed, up to
8 MiB unpacked. 429, 503 and a broken connection mean: send all of it again; ids
make that harmless. Not for Cowrie, whose sessions need their order.

It listens on loopback. Elsewhere it needs TLS and a file of tokens with the role
ingest; the name of a token is its sensor's. With --admin-listen there are metrics
at /metrics: what came from each sensor, and when the last of it.`,
		Example: `  handprint ingest serve --brokers a:9092 --local-net 192.0.2.0/24
  handprint ingest serve --brokers a:9092 --local-net 192.0.2.0/24 --ingest-listen :8481 --ingest-tls-cert c.pem --ingest-tls-key k.pem --token-file tokens.json
  curl -H 'Content-Type: application/x-ndjson' --data-binary @eve.json http://127.0.0.1:8481/v1/ingest/suricata`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.ingestServe(cmd.Context(), &q, &n, format) },
	}
	cmd.Flags().StringVar(&q.listen, "ingest-listen", "127.0.0.1:8481", "Where to listen, as host:port.")
	cmd.Flags().StringVar(&q.cert, "ingest-tls-cert", "", "File with the certificate, as PEM.")
	cmd.Flags().StringVar(&q.key, "ingest-tls-key", "", "File with its key, as PEM.")
	cmd.Flags().StringVar(&q.tokens, "token-file", "", "File with the senders' tokens.")
	cmd.Flags().StringVar(&format, "format", "", "Send json or avro; avro needs --schema-registry-url. (default as --output-format)")
	complete(cmd, "format", "json", "avro")
	n.flags(cmd)
	return a.configure(cmd, config.GroupConnection, config.GroupTopics, config.GroupSchemas, "max-ahead", "addresses", "admin-listen", config.GroupNetwork)
}

// listener returns what the flags ask to listen on.
func (q *endpointQuery) listener() (net.Listener, *endpoint.Tokens, error) {
	host, _, err := net.SplitHostPort(q.listen)
	if err != nil {
		return nil, nil, usageErrorf("flag --ingest-listen: must be host:port, is %s", q.listen)
	}
	addr, err := netip.ParseAddr(host)
	loopback := host == "localhost" || err == nil && addr.IsLoopback()
	secure := q.cert != "" && q.key != ""
	switch {
	case (q.cert == "") != (q.key == ""):
		return nil, nil, usageErrorf("flags --ingest-tls-cert and --ingest-tls-key: one needs the other")
	case !loopback && (!secure || q.tokens == ""):
		return nil, nil, usageErrorf("flag --ingest-listen: %s is not loopback: it needs --ingest-tls-cert, --ingest-tls-key and --token-file", q.listen)
	}
	var tokens *endpoint.Tokens
	if q.tokens != "" {
		if tokens, err = endpoint.ReadTokens(q.tokens); err != nil {
			return nil, nil, usageErrorf("%w", err)
		}
	}
	var cert tls.Certificate
	if secure {
		if cert, err = tls.LoadX509KeyPair(q.cert, q.key); err != nil {
			return nil, nil, usageErrorf("flags --ingest-tls-cert and --ingest-tls-key: %w", err)
		}
	}
	l, err := net.Listen("tcp", q.listen)
	if err != nil {
		return nil, nil, usageErrorf("flag --ingest-listen: %w", err)
	}
	if secure {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	}
	return l, tokens, nil
}

func (a *app) ingestServe(ctx context.Context, q *endpointQuery, n *networkQuery, format string) (err error) {
	settings, err := a.networkSettings(n)
	if err != nil {
		return err
	}
	settings.Missing = nil // each request is an adapter's whole life
	listener, tokens, err := q.listener()
	if err != nil {
		return err
	}
	defer listener.Close()
	sink, done, err := a.sink(ctx, &ingestQuery{format: format, addresses: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done(ctx)) }()
	producer := sink.(*ingest.Producer)
	server, err := endpoint.New(endpoint.Config{
		Network: settings, Tokens: tokens, NewBatch: func() endpoint.Batch { return producer.NewBatch() }, Log: a.log,
	})
	if err != nil {
		return usageErrorf("%w", err)
	}
	stop, err := a.serveMetrics(server.Metrics())
	if err != nil {
		return err
	}
	defer stop()
	a.log.Info("taking rows and observations over HTTP", "address", listener.Addr().String(), "tokens", tokens != nil)
	return server.Serve(ctx, listener)
}

// serveMetrics shows metrics at the address of admin-listen, if there is one.
func (a *app) serveMetrics(from prometheus.Collector) (stop func(), err error) {
	if a.cfg.Admin.Listen == "" {
		return func() {}, nil
	}
	l, err := net.Listen("tcp", a.cfg.Admin.Listen)
	if err != nil {
		return nil, usageErrorf("admin-listen: %w", err)
	}
	registry := prometheus.NewRegistry()
	if err := registry.Register(from); err != nil {
		return nil, errors.Join(fmt.Errorf("registering metrics: %w", err), l.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: time.Minute}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.log.Error("metrics are not served any more", "error", err)
		}
	}()
	return func() {
		server.Close()
		<-ended
	}, nil
}
