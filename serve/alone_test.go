package serve_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/serve"
	"handprint/serve/guard"
	"handprint/serve/query"
	"handprint/serve/servetest"
)

// A read side that starts while no broker answers serves what its copy has, says how old
// that is, and goes on by itself when the brokers are back.
func TestAStartWithoutBrokers(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	dir := t.TempDir()
	s, stop := open(t, app, dir)
	caught(t, s)
	want, asOf := ids(t, s), s.Reader.AsOf()
	stop()
	var away atomic.Bool
	away.Store(true)
	s, stop = openBy(t, app, dir, kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		if away.Load() {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}))
	until(t, "the copy is served", func() bool { _, phase := s.Follower.Catalog(); return phase.Ready })
	if !s.Follower.Alone() || ids(t, s) != want {
		t.Errorf("alone %v, with\n%s\nnot\n%s", s.Follower.Alone(), ids(t, s), want)
	}
	if f := s.Reader.Freshness(-1); f.AsOf < asOf || f.AsOf == 0 {
		t.Errorf("as of %v, it was %v", f.AsOf, asOf)
	}
	w, secrets := web(t, s, func(c *serve.WebConfig) { c.Pages = serve.Pages(nil) })
	for _, path := range brokerless {
		if strings.Contains(path, "%s") {
			path = fmt.Sprintf(path, stub("a1"))
		}
		resp, body := ask(t, w, http.MethodGet, path, secrets[guard.Read], "")
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s answers %d: %.200s", path, resp.StatusCode, body)
		}
	}
	if r := w.Reading(); r.Alone == "" || r.Waiting != "" || len(r.Stuck) > 0 {
		t.Errorf("the probes say %+v", r)
	}
	until(t, "answers say that they are old", func() bool {
		resp, _ := ask(t, w, http.MethodGet, "/api/v1/identities", secrets[guard.Read], "")
		return resp.Header.Get("Handprint-Stale") == "read" && resp.Header.Get("Handprint-As-Of") == strconv.FormatFloat(s.Reader.AsOf(), 'f', 3, 64)
	})
	until(t, "pages without scripts say that they are old", func() bool {
		resp, body := ask(t, w, http.MethodGet, "/identities", secrets[guard.Read], "")
		return resp.StatusCode == http.StatusOK && strings.Contains(string(body), "What is shown is behind.")
	})
	until(t, "what is too old is refused to those who ask for that", func() bool {
		resp, body := ask(t, w, http.MethodGet, "/api/v1/identities?max_staleness=1", secrets[guard.Read], "")
		return resp.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(body), "too-stale")
	})
	away.Store(false)
	app.Send(app.Observation("late", hassh, `"f1"`, 1_699_999_900))
	caught(t, s)
	until(t, "it is not alone any more", func() bool { return !s.Follower.Alone() })
	if _, err := s.Reader.Identity(stub("late"), false); err != nil {
		t.Error(err)
	}
	list, err := s.Reader.Identities(query.IdentityQuery{Q: stub("late")})
	if err != nil || list.Total != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	stop()
}

// halfAway is a connection to a broker that answers, but not for the partitions: it is
// closed when offsets or records are asked for while away is set.
type halfAway struct {
	net.Conn
	away *atomic.Bool
}

func (c halfAway) Write(request []byte) (int, error) {
	const fetch, listOffsets = 1, 2
	if len(request) >= 6 && c.away.Load() {
		if key := binary.BigEndian.Uint16(request[4:]); key == fetch || key == listOffsets {
			_ = c.Close()
			return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}
		}
	}
	return c.Conn.Write(request)
}

// heldBack is a connection that breaks when the client that follows the event topics
// fetches records by it while held is set.
type heldBack struct {
	net.Conn
	held *atomic.Bool
}

func (c heldBack) Write(request []byte) (int, error) {
	const fetch = 1
	if len(request) >= 6 && c.held.Load() && binary.BigEndian.Uint16(request[4:]) == fetch && bytes.Contains(request[:min(len(request), 64)], []byte("app-serve-events")) {
		_ = c.Close()
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return c.Conn.Write(request)
}

// Addresses and suspicions come by topics of their own. As long as they are not read,
// nothing is as of a time when they were there already; and one that is read again, from
// a snapshot of before, is as of that one.
func TestNothingIsAsOfLaterThanItsAddresses(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	var held atomic.Bool
	held.Store(true)
	dir := t.TempDir()
	start := func() (*serve.Side, func()) {
		return openBy(t, app, dir, kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			return heldBack{c, &held}, err
		}))
	}
	in := func(s *serve.Side, network string) int {
		list, err := s.Reader.Identities(query.IdentityQuery{Q: network})
		if err != nil {
			t.Fatal(err)
		}
		if total := list.Total; total == 0 || list.AsOf > 0 {
			return total
		}
		t.Errorf("addresses in %s are known of no time", network)
		return 0
	}
	s, stop := start()
	until(t, "the changelog is read", func() bool {
		_, phase := s.Follower.Catalog()
		f := s.Follower.Freshness(-1)
		applied, _ := s.Follower.Applied()
		return phase.Ready && f.ReadLag == 0 && applied > 0
	})
	if f := s.Follower.Freshness(-1); f.AsOf != 0 || in(s, "192.0.2.0/24") != 0 {
		t.Errorf("%+v without addresses", f)
	}
	held.Store(false)
	caught(t, s)
	if in(s, "192.0.2.0/24") != 1 || in(s, "198.51.100.0/24") != 1 {
		t.Error("addresses are missing")
	}
	stop()

	app.Send(app.Profile("a2", "203.0.113.9"))
	sent := float64(time.Now().UnixMilli()) / 1000
	held.Store(true)
	s, _ = start()
	until(t, "the changelog is read again", func() bool {
		_, phase := s.Follower.Catalog()
		return phase.Ready && s.Follower.Freshness(-1).ReadLag == 0
	})
	if f := s.Follower.Freshness(-1); f.AsOf == 0 || f.AsOf >= sent || in(s, "192.0.2.0/24") != 1 || in(s, "203.0.113.0/24") != 0 {
		t.Errorf("%+v with the addresses of before, of %v", f, sent)
	}
	held.Store(false)
	caught(t, s)
	if in(s, "203.0.113.0/24") != 1 {
		t.Error("the new address is missing")
	}
}

// A read side that starts while a broker answers, but the leaders of partitions are away,
// serves what its copy has too.
func TestAStartWithSomeBrokers(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	dir := t.TempDir()
	s, stop := open(t, app, dir)
	caught(t, s)
	want := ids(t, s)
	stop()
	var away atomic.Bool
	away.Store(true)
	s, stop = openBy(t, app, dir, kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		return halfAway{c, &away}, err
	}))
	until(t, "the copy is served", func() bool { _, phase := s.Follower.Catalog(); return phase.Ready })
	if !s.Follower.Alone() || ids(t, s) != want {
		t.Errorf("alone %v, with\n%s\nnot\n%s", s.Follower.Alone(), ids(t, s), want)
	}
	away.Store(false)
	app.Send(app.Observation("late", hassh, `"f1"`, 1_699_999_900))
	caught(t, s)
	until(t, "it is not alone any more", func() bool { return !s.Follower.Alone() })
	if _, err := s.Reader.Identity(stub("late"), false); err != nil {
		t.Error(err)
	}
	stop()
}

// A partition that nothing was written to yet does not make the copy as old as can be.
func TestAStartWithoutBrokersAndAnEmptyPartition(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	dir := t.TempDir()
	s, stop := open(t, app, dir)
	caught(t, s)
	asOf := s.Reader.AsOf()
	stop()
	s, _ = openBy(t, app, dir, kgo.Dialer(func(_ context.Context, network, _ string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}))
	until(t, "the copy is served", func() bool { _, phase := s.Follower.Catalog(); return phase.Ready })
	if f := s.Reader.Freshness(-1); f.AsOf < asOf || f.AsOf == 0 {
		t.Errorf("as of %v, it was %v", f.AsOf, asOf)
	}
}
