package serve_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/internal/broker"
	"handprint/serve"
	"handprint/serve/guard"
	"handprint/serve/query"
	"handprint/serve/servetest"
)

// lines is a log that a test can look into.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// records returns what the topic of identities says, by identity.
func records(t *testing.T, app *servetest.App) map[string]json.RawMessage {
	t.Helper()
	to := map[string]json.RawMessage{}
	err := broker.Scan(context.Background(), app.Client, func(r *kgo.Record) error {
		if delete(to, string(r.Key)); r.Value != nil {
			to[string(r.Key)] = r.Value
		}
		return nil
	}, app.Names.Identities)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// same reports whether the API shows the records of the topic of identities, and no
// others, of some identities.
func same(s *serve.Side, want map[string]json.RawMessage, ids ...string) error {
	for _, id := range ids {
		i, err := s.Reader.Identity(id, false)
		if p := (*query.Problem)(nil); errors.As(err, &p) && p.Kind == query.UnknownIdentity && want[id] == nil {
			continue
		}
		if err != nil {
			return err
		}
		var has, shown map[string]any
		if b := want[id]; b != nil {
			if err := json.Unmarshal(b, &has); err != nil {
				return err
			}
			delete(has, "identity_uuid")
		}
		b, err := json.Marshal(i.Record)
		if err == nil {
			err = json.Unmarshal(b, &shown)
		}
		if err != nil || !reflect.DeepEqual(has, shown) {
			return fmt.Errorf("%s: the API shows %s, and the topic has %s: %w", id, b, want[id], err)
		}
	}
	return nil
}

func shows(t *testing.T, s *serve.Side, want map[string]json.RawMessage, ids ...string) {
	t.Helper()
	var err error
	defer func() {
		if t.Failed() {
			t.Log(err)
		}
	}()
	until(t, "the API shows what the topic of identities has", func() bool { err = same(s, want, ids...); return err == nil })
}

// What others are told of an identity is shown beside what is known of it: the latest
// record, none after a tombstone, and the same after a new start.
func TestRecordsOfIdentitiesAreShown(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	formed := "6af1e32f-384d-4f7e-8f1b-ba38aeb755a8"
	everyone := []string{stub("a1"), stub("a2"), stub("a3"), formed}
	app.Send(app.Event(attribution.IdentityEvent{Type: attribution.Formed, Identity: formed, Attackers: []string{"a1"}}))
	dir := t.TempDir()
	s, stop := open(t, app, dir)
	caught(t, s)
	first := records(t, app)
	if len(first) == 0 {
		t.Fatal("the engine has written no record")
	}
	shows(t, s, first, everyone...)

	app.Send(app.Event(attribution.IdentityEvent{Type: attribution.Merged, Identity: stub("a2"), Loser: formed}))
	second := records(t, app)
	if reflect.DeepEqual(first, second) {
		t.Fatal("the merge has changed no record")
	}
	shows(t, s, second, everyone...)
	w, secrets := web(t, s, nil)
	got := get[query.Identity](t, w, "/api/v1/identities/"+formed, secrets[guard.Read])
	if r := got.Record; r == nil || r.MergedInto == nil || *r.MergedInto != stub("a2") || r.LastEvent == nil || *r.LastEvent != "identity.merged" || r.Origin == nil || *r.Origin != 1 {
		t.Errorf("of the one that was merged the API says %+v", r)
	}
	if got := get[query.Identity](t, w, "/api/v1/identities/"+stub("a3"), secrets[guard.Read]); got.Record != nil {
		t.Errorf("of one that no event has touched the API says %+v", got.Record)
	}
	stop()

	// A tombstone, a record that is none, and one under another's key, while nobody reads.
	last := records(t, app)
	bad := &kgo.Record{Topic: app.Names.Identities, Key: []byte(stub("a2")), Value: []byte(`{"identity_uuid":`)}
	foreign := &kgo.Record{Topic: app.Names.Identities, Key: []byte(stub("a3")), Value: last[stub("a2")]}
	app.Send(&kgo.Record{Topic: app.Names.Identities, Key: []byte(formed)}, bad, foreign)
	delete(last, formed)
	log := &lines{}
	s, stop = openWith(t, app, dir, func(c *serve.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	caught(t, s)
	shows(t, s, last, everyone...)
	for _, r := range []*kgo.Record{bad, foreign} {
		want := fmt.Sprintf("topic=%s partition=%d offset=%d", r.Topic, r.Partition, r.Offset)
		until(t, "the log tells of the damaged record "+want, func() bool { return log.has(want) })
	}
	if log.has("identity_uuid") {
		t.Error("the log has the damaged record itself")
	}
	stop()

	// Nothing is read twice: records that are dropped from the history do not come back.
	log = &lines{}
	s, _ = openWith(t, app, dir, func(c *serve.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	caught(t, s)
	app.Send(app.Event(attribution.IdentityEvent{Type: attribution.Linked, Identity: stub("a3"), Attackers: []string{"a9"}}))
	shows(t, s, map[string]json.RawMessage{stub("a2"): last[stub("a2")], stub("a3"): records(t, app)[stub("a3")]}, stub("a2"), stub("a3"), formed)
	if log.has("cannot be read") {
		t.Error("records were read twice")
	}
}

// An identity event that was over before this process was started is over for those who
// ask for it; one that was never sent is not.
func TestAnEventOfBeforeTheStartIsOver(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	event := app.Event(attribution.IdentityEvent{Type: attribution.Merged, Identity: stub("a1"), Loser: stub("a2")})
	app.Send(event)
	dir := t.TempDir()
	s, stop := open(t, app, dir)
	caught(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if err := s.Follower.AwaitEvent(ctx, event.Offset, event.Timestamp.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	stop()
	s, _ = open(t, app, dir)
	caught(t, s)
	if err := s.Follower.AwaitEvent(ctx, event.Offset, event.Timestamp.UnixMilli()); err != nil {
		t.Errorf("after a new start: %v", err)
	}
	anew, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := s.Follower.AwaitEvent(anew, event.Offset, event.Timestamp.UnixMilli()+1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an event that has its offset in a topic that was made anew: %v", err)
	}
	never, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := s.Follower.AwaitEvent(never, event.Offset+1, -1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an event that was never sent: %v", err)
	}
}

// Without the topic of identities everything else is there; when it comes, it is read,
// and one that was made anew is not mistaken for the one before.
func TestTheTopicOfIdentitiesMayBeAbsent(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	app.Send(app.Event(attribution.IdentityEvent{Type: attribution.Linked, Identity: stub("a1"), Attackers: []string{"a2"}}))
	dir := t.TempDir()
	s, stop := open(t, app, dir)
	caught(t, s)
	shows(t, s, records(t, app), stub("a1"), stub("a2"))
	stop()
	adm := kadm.NewClient(app.Client)
	if _, err := adm.DeleteTopic(context.Background(), app.Names.Identities); err != nil {
		t.Fatal(err)
	}
	log := &lines{}
	s, _ = openWith(t, app, dir, func(c *serve.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	caught(t, s)
	until(t, "the log tells that the topic is not there", func() bool { return log.has("cannot be followed") && log.has(app.Names.Identities) })
	if i, err := s.Reader.Identity(stub("a1"), false); err != nil || i.Total != 2 || i.Record != nil {
		t.Errorf("the identity: %+v, %v", i, err)
	}
	if _, err := adm.CreateTopic(context.Background(), servetest.Partitions, 1, nil, app.Names.Identities); err != nil {
		t.Fatal(err)
	}
	shows(t, s, nil, stub("a1"))
}
