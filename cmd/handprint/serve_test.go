package main

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"handprint/internal/broker"
)

// A read side that has a copy goes on while the brokers are away, also if they do not
// refuse a connection but say nothing, as when a firewall drops packets; one without a
// copy ends.
func TestServeGoesOnWithoutBrokers(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() // accepts nothing: connections stay in the backlog, unanswered
	for name, address := range map[string]string{"silent": silent.Addr().String(), "refused": "127.0.0.1:1"} {
		for _, hasCopy := range []bool{true, false} {
			a := newApp(streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard})
			a.root()
			if err := a.load(); err != nil {
				t.Fatal(err)
			}
			a.cfg.Connection.Brokers, a.cfg.Connection.Timeout, a.cfg.Web.Dir = []string{address}, 200*time.Millisecond, t.TempDir()
			if hasCopy {
				if err := os.WriteFile(filepath.Join(a.cfg.Web.Dir, "catalog.snapshot"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := a.reachForServing(context.Background())
			if hasCopy && err != nil || !hasCopy && !broker.Away(err) {
				t.Errorf("%s, copy %v: %v", name, hasCopy, err)
			}
		}
	}
}

// A number of tasks that is not that of the changelog ends the start with one line.
func TestServeRefusesAnotherNumberOfPartitions(t *testing.T) {
	t.Parallel()
	_, environ := withTopics(t) // of two partitions
	for _, set := range []string{"1", "3", "99"} {
		r := handprint(deadline(t), "", append(slices.Clone(environ), "HANDPRINT_PARTITIONS="+set), "serve", "--application-id", "handprint", "--web-listen", "127.0.0.1:0", "--serve-dir", t.TempDir())
		if r.code != exitTopics || !strings.Contains(r.err, "partitions is "+set) || !strings.Contains(r.err, "set partitions to 2") {
			t.Errorf("%s: %+v", set, r)
		}
	}
}
