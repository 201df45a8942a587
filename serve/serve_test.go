package serve_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"handprint/attribution"
	"handprint/internal/broker"
	"handprint/processor"
	"handprint/schemas"
	"handprint/serve"
	"handprint/serve/query"
	"handprint/serve/servetest"
)

const hassh = "toolchain.ssh.hassh_client"

// open starts a read side of the application. It is stopped by the function that is
// returned, or with the test.
func open(t *testing.T, app *servetest.App, dir string) (*serve.Side, func()) {
	t.Helper()
	return openBy(t, app, dir)
}

// openBy is open with more options of the clients.
func openBy(t *testing.T, app *servetest.App, dir string, more ...kgo.Opt) (*serve.Side, func()) {
	t.Helper()
	return openWith(t, app, dir, func(c *serve.Config) { c.Client = append(c.Client, more...) })
}

// openWith is open with a configuration that is changed.
func openWith(t *testing.T, app *servetest.App, dir string, change func(*serve.Config)) (*serve.Side, func()) {
	t.Helper()
	c := serve.Config{
		Dir: dir, Client: app.Broker.ClientOpts(), Names: app.Names, Partitions: servetest.Partitions, ApplicationID: "app",
		Registry: attribution.DefaultRegistry(), Thresholds: attribution.DefaultThresholds(), ChangelogRetention: 24 * time.Hour,
		CatalogMemory: 1 << 30, StoreCache: 1 << 20, HistoryAge: 90 * 365 * 24 * time.Hour, HistoryBytes: 1 << 30, LookEvery: 50 * time.Millisecond, Logger: servetest.Logger(),
	}
	change(&c)
	s, err := serve.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the read side: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

// shiftedClock is the system's clock, put forward or back.
type shiftedClock struct {
	processor.SystemClock
	by atomic.Int64 // nanoseconds
}

func (c *shiftedClock) Now() time.Time { return c.SystemClock.Now().Add(time.Duration(c.by.Load())) }

// put makes the clock differ from the system's by d.
func (c *shiftedClock) put(d time.Duration) { c.by.Store(int64(d)) }

// caught waits until all that is committed now is applied, and the catalogue is
// complete.
func caught(t rapid.TB, s *serve.Side) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if err := s.Follower.Caught(ctx); err != nil {
		t.Fatal(err)
	}
	until(t, "the catalogue is complete", func() bool { _, phase := s.Follower.Catalog(); return phase.Ready })
}

func until(t rapid.TB, what string, f func() bool) {
	t.Helper()
	look, end := time.NewTicker(10*time.Millisecond), time.After(3*time.Minute)
	defer look.Stop()
	for !f() {
		select {
		case <-look.C:
		case <-end:
			t.Fatalf("never: %s", what)
		}
	}
}

func stub(attacker string) string { return attribution.Stub([]byte(attacker)).String() }

// some sends observations of three attackers; one has two fingerprints.
func some(app *servetest.App) {
	var records []*kgo.Record
	for n := range 6 {
		ts := float64(1_699_999_000 + 10*n)
		records = append(records,
			app.Observation("a1", hassh, `"f1"`, ts), app.Observation("a1", "environmental.locale", `"en"`, ts),
			app.Observation("a2", hassh, `"f1"`, ts), app.Observation("a3", hassh, fmt.Sprintf(`"f%d"`, 1+n%2), ts),
			app.Observation("a3", "cognitive.planning_depth", fmt.Sprintf("%q", []string{"deep", "reactive"}[n%2]), ts))
	}
	app.Send(records...)
	app.Send(app.Profile("a1", "192.0.2.7"), app.Profile("a3", "198.51.100.1"))
}

// checkRows compares lists, identities and counts with the rows of the state topic.
func checkRows(t rapid.TB, app *servetest.App, s *serve.Side) {
	t.Helper()
	rows := map[string]map[string]schemas.StateRow{}
	err := broker.Scan(context.Background(), app.Client, func(r *kgo.Record) error {
		id, primitive, _ := schemas.SplitStateRowKey(r.Key)
		if r.Value == nil {
			delete(rows[id], primitive)
			return nil
		}
		row, err := schemas.DecodeStateRowJSON(r.Value)
		if rows[id] == nil {
			rows[id] = map[string]schemas.StateRow{}
		}
		rows[id][primitive] = row
		return err
	}, app.Names.State)
	if err != nil {
		t.Fatal(err)
	}
	total, want := 0, 0
	for state := range 5 {
		name := attribution.State(state).String()
		q := query.IdentityQuery{State: []string{name}, Merged: "include", Counts: true, Limit: 200}
		list, err := s.Reader.Identities(q)
		for next := list; err == nil && next.Next != ""; {
			q.Cursor = next.Next
			if next, err = s.Reader.Identities(q); err == nil {
				list.Items = append(list.Items, next.Items...)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		matching := 0
		for _, byPrimitive := range rows {
			has := false
			for _, r := range byPrimitive {
				has = has || r.Row.State == attribution.State(state)
				if r.Row.State == attribution.State(state) {
					want++
				}
			}
			if has {
				matching++
			}
		}
		if list.Total != matching || len(list.Items) != matching || list.Facets.State.Of(name) != matching {
			t.Errorf("%d identities in %s, want %d: %+v", list.Total, name, matching, list)
		}
		for _, i := range list.Items {
			total += i.States.Of(name)
		}
	}
	if total != want {
		t.Errorf("%d rows, want %d", total, want)
	}
	for id, byPrimitive := range rows {
		if len(byPrimitive) == 0 {
			continue
		}
		shown, err := s.Reader.Identity(id, false)
		if err != nil {
			t.Fatal(err)
		}
		if len(shown.Rows) != len(byPrimitive) {
			t.Errorf("%s: %d rows, want %d", id, len(shown.Rows), len(byPrimitive))
		}
		for primitive, want := range byPrimitive {
			x, _, err := s.Reader.Explain(id, primitive)
			if err != nil || !x.Agrees || x.Row.State != want.Row.State.String() || x.Row.Confidence != want.Row.Confidence || x.Row.Count != want.Row.Count {
				t.Errorf("%s %s: %+v is explained as %+v, %v", id, primitive, want.Row, x, err)
			}
		}
		for _, r := range shown.Rows {
			want := byPrimitive[r.Primitive].Row
			if r.State != want.State.String() || string(r.Value) != string(want.Value) || r.Confidence != want.Confidence || r.Count != want.Count || r.ChangeTS != want.LastChangeTS {
				t.Errorf("%s %s: %+v, want %+v", id, r.Primitive, r, want)
			}
		}
	}
}

func TestTheReadSideSaysWhatTheApplicationHasCommitted(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	dir := t.TempDir()
	s, stop := open(t, app, dir)
	caught(t, s)
	checkRows(t, app, s)
	list, err := s.Reader.Identities(query.IdentityQuery{Q: "192.0.2.0/24"})
	if err != nil || list.Total != 1 || list.Items[0].Identity != stub("a1") || list.Items[0].Address == nil || list.Items[0].Address.Address != "192.0.2.7" {
		t.Fatalf("%+v, %v", list, err)
	}
	if id, err := s.Reader.IdentityOf("192.0.2.7"); err != nil || id != stub("a1") {
		t.Errorf("%s, %v", id, err)
	}
	// An identity event, read back when it is over.
	event := app.Event(attribution.IdentityEvent{Type: attribution.Formed, Identity: "x", Attackers: []string{"a1", "a2"}})
	app.Send(event)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if err := s.Follower.AwaitEvent(ctx, event.Offset, -1); err != nil {
		t.Fatal(err)
	}
	checkRows(t, app, s)
	x, err := s.Reader.Identity("x", false)
	if err != nil || x.Total != 2 || len(x.Attackers) != 2 || x.Unsettled {
		t.Fatalf("%+v, %v", x, err)
	}
	app.Send(app.Event(attribution.IdentityEvent{Type: attribution.Merged, Identity: stub("a3"), Loser: "x"}))
	caught(t, s)
	checkRows(t, app, s)
	merged, err := s.Reader.Identity("x", true)
	if err != nil || merged.Identity != stub("a3") || len(merged.Followed) != 2 || merged.Total != 3 {
		t.Fatalf("%+v, %v", merged, err)
	}
	if list, err = s.Reader.Identities(query.IdentityQuery{}); err != nil || list.Total != 1 || len(list.Items[0].First) != 3 {
		t.Fatalf("after the merge: %+v, %v", list, err)
	}
	timeline, err := s.Reader.Timeline(query.TimelineQuery{Identity: stub("a3"), Limit: 3})
	if err != nil || len(timeline.Items) != 3 || timeline.Next == "" {
		t.Fatalf("%+v, %v", timeline, err)
	}

	// From the snapshot, from the copy, and from the topic the same.
	stop()
	app.Send(app.Observation("a9", hassh, `"f9"`, 1_699_999_900))
	for _, forget := range []string{"", "catalog.snapshot", "copy"} {
		if forget != "" {
			if err := os.RemoveAll(filepath.Join(dir, forget)); err != nil {
				t.Fatal(err)
			}
		}
		again, stop := open(t, app, dir)
		caught(t, again)
		checkRows(t, app, again)
		until(t, "addresses are back", func() bool {
			list, err := again.Reader.Attackers("198.51.100.", "", 10)
			return err == nil && len(list.Items) == 1 && list.Items[0].Identity == stub("a3")
		})
		if tl, err := again.Reader.Timeline(query.TimelineQuery{Identity: stub("a3"), Limit: 500}); err != nil || len(tl.Items) < 4 {
			t.Errorf("without %q: %+v, %v", forget, tl, err)
		}
		stop()
	}
}

func TestACursorOfOneReplicaWorksOnAnother(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	var records []*kgo.Record
	for n := range 25 {
		records = append(records, app.Observation(fmt.Sprintf("a%d", n), hassh, `"f"`, float64(1_699_999_000+n%5)))
	}
	app.Send(records...)
	one, _ := open(t, app, t.TempDir())
	two, _ := open(t, app, t.TempDir())
	caught(t, one)
	caught(t, two)
	seen := map[string]bool{}
	q := query.IdentityQuery{Limit: 4}
	for n := 0; ; n++ {
		list, err := []*serve.Side{one, two}[n%2].Reader.Identities(q)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range list.Items {
			if seen[i.Identity] {
				t.Errorf("%s twice", i.Identity)
			}
			seen[i.Identity] = true
		}
		if q.Cursor = list.Next; q.Cursor == "" {
			break
		}
	}
	if len(seen) != 25 {
		t.Errorf("%d of 25", len(seen))
	}
	q.Primitive = hassh
	q.Cursor = "AQ"
	if _, err := one.Reader.Identities(q); err == nil {
		t.Error("a damaged cursor is taken")
	}
}

func TestAFolderOfAnotherApplicationIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "application"), []byte("other topic\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := serve.Open(serve.Config{Dir: dir, ApplicationID: "app", Logger: servetest.Logger()}); err == nil {
		t.Error("taken")
	}
}

func TestMoreThanTheMemoryAllowsIsRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	s, err := serve.Open(serve.Config{
		Dir: t.TempDir(), Client: app.Broker.ClientOpts(), Names: app.Names, Partitions: servetest.Partitions, ApplicationID: "app",
		Registry: attribution.DefaultRegistry(), Thresholds: attribution.DefaultThresholds(), CatalogMemory: 100, StoreCache: 1 << 20,
		HistoryAge: 90 * 365 * 24 * time.Hour, HistoryBytes: 1 << 30, Logger: servetest.Logger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() { cancel(); <-done; _ = s.Close() }()
	until(t, "the catalogue is too small", func() bool { _, phase := s.Follower.Catalog(); return phase.TooSmall })
	if _, err := s.Reader.Identities(query.IdentityQuery{}); err == nil {
		t.Error("a list is answered")
	}
	until(t, "an identity is answered", func() bool { i, err := s.Reader.Identity(stub("a1"), false); return err == nil && len(i.Rows) == 2 })
	if _, err := json.Marshal(s.Reader.Freshness(-1)); err != nil {
		t.Error(err)
	}
}
