package serve_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/serve"
	"handprint/serve/guard"
	"handprint/serve/query"
	"handprint/serve/servetest"
)

// profiles sends addresses of that many attackers that are not observed, after others.
func profiles(t *testing.T, app *servetest.App, n int, others ...*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(append(app.Broker.ClientOpts(), kgo.RecordPartitioner(app.Names.Partitioner()))...) // has not heard of a topic before
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i := range n {
		others = append(others, app.Profile(fmt.Sprint("z", i), "192.0.2.1"))
	}
	if err := client.ProduceSync(context.Background(), others...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// profilesAnew makes the topic of addresses anew, longer than it was. Its first records
// are the addresses of three attackers.
func profilesAnew(t *testing.T, app *servetest.App) {
	t.Helper()
	adm := kadm.NewClient(app.Client)
	if _, err := adm.DeleteTopic(context.Background(), app.Names.Profiles); err != nil {
		t.Fatal(err)
	}
	if _, err := adm.CreateTopic(context.Background(), servetest.Partitions, 1, nil, app.Names.Profiles); err != nil {
		t.Fatal(err)
	}
	profiles(t, app, 120, app.Profile("a1", "203.0.113.9"), app.Profile("a2", "203.0.113.9"), app.Profile("a3", "203.0.113.9"))
}

// hasNewAddresses waits for the addresses of the topic that was made anew.
func hasNewAddresses(t *testing.T, s *serve.Side) {
	t.Helper()
	until(t, "the addresses of the new topic", func() bool {
		list, err := s.Reader.Identities(query.IdentityQuery{Q: "203.0.113.0/24"})
		return err == nil && list.Total == 3
	})
}

// stopped returns an application whose addresses the read side has in dir, and was stopped.
func stopped(t *testing.T) (app *servetest.App, dir string) {
	t.Helper()
	app, dir = servetest.Start(t), t.TempDir()
	some(app)
	profiles(t, app, 60)
	s, stop := open(t, app, dir)
	caught(t, s)
	stop()
	return app, dir
}

// A process that is killed leaves a snapshot of before the topic was made anew, and a
// history of after.
func TestASnapshotOfATopicThatWasMadeAnew(t *testing.T) {
	t.Parallel()
	app, dir := stopped(t)
	snapshots, err := filepath.Glob(filepath.Join(dir, "catalog*"))
	if err != nil || len(snapshots) != 1 {
		t.Fatalf("snapshots %v, %v", snapshots, err)
	}
	before, err := os.ReadFile(snapshots[0])
	if err != nil {
		t.Fatal(err)
	}
	profilesAnew(t, app)
	s, stop := open(t, app, dir)
	hasNewAddresses(t, s)
	stop()
	if err := os.WriteFile(snapshots[0], before, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ = open(t, app, dir)
	hasNewAddresses(t, s)
}

// held is a connection with a request that waits.
type held struct {
	net.Conn
	hold func(client string, key int16)
}

// Write implements net.Conn. A client writes a request as a whole.
func (c *held) Write(b []byte) (int, error) {
	if len(b) > 14 {
		n := int(binary.BigEndian.Uint16(b[12:]))
		c.hold(string(b[14:min(14+n, len(b))]), int16(binary.BigEndian.Uint16(b[4:])))
	}
	return c.Conn.Write(b)
}

// holding makes the first request of a kind by a client wait until it is released. asked
// is closed when there is one.
func holding(client string, key int16) (opts []kgo.Opt, asked <-chan struct{}, release func()) {
	began, goOn := make(chan struct{}), make(chan struct{})
	var first sync.Once
	hold := func(by string, of int16) {
		if by == client && of == key {
			first.Do(func() { close(began) })
			<-goOn
		}
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		return &held{c, hold}, err
	}
	// What a client knows of topics is as old as it may be outside of tests.
	return []kgo.Opt{kgo.Dialer(dial), kgo.MetadataMinAge(5 * time.Second)}, began, sync.OnceFunc(func() { close(goOn) })
}

const (
	listOffsets = 2 // keys of requests
	metadata    = 3
)

// A topic is made anew between the question for its id and the one for its ends, or between
// that and the begin of reading.
func TestATopicIsMadeAnewWhileItIsAskedFor(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]struct {
		client string
		key    int16
	}{"ends": {"app-serve", listOffsets}, "reading": {"app-serve-events", metadata}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app, dir := stopped(t)
			opts, asked, release := holding(request.client, request.key)
			defer release()
			s, _ := openBy(t, app, dir, opts...)
			<-asked
			profilesAnew(t, app)
			release()
			hasNewAddresses(t, s)
		})
	}
}

// An event topic that is deleted and stays away keeps nobody from seeing what the others
// say, and when it is there again it is followed again.
func TestATopicThatIsDeletedForGood(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	s, _ := open(t, app, t.TempDir())
	caught(t, s)
	if _, err := kadm.NewClient(app.Client).DeleteTopic(context.Background(), app.Names.Profiles); err != nil {
		t.Fatal(err)
	}
	until(t, "the topic is missed", func() bool { return slices.Equal(s.Follower.MissingTopics(), []string{app.Names.Profiles}) })
	app.Send(app.Observation("late", hassh, `"f1"`, 1_699_999_900))
	caught(t, s) // as of goes on
	list, err := s.Reader.Identities(query.IdentityQuery{Q: "192.0.2.0/24"})
	if err != nil || list.Total != 1 {
		t.Errorf("%+v, %v: want what the topic said as it was", list, err)
	}
	w, secrets := web(t, s, func(c *serve.WebConfig) { c.Pages = serve.Pages(nil) })
	if _, body := ask(t, w, "GET", "/identities", secrets[guard.Read], ""); !strings.Contains(string(body), "A topic is not there.") {
		t.Errorf("the page does not say that the topic is not there")
	}
	if _, body := ask(t, w, "GET", "/api/v1/tasks", secrets[guard.Read], ""); !strings.Contains(string(body), fmt.Sprintf(`"missing_topics":[%q]`, app.Names.Profiles)) {
		t.Errorf("the API does not say that the topic is not there: %.300s", body)
	}
	if missing := w.Reading().MissingTopics; len(missing) != 1 {
		t.Errorf("probes are told that %v are not there", missing)
	}
	if _, err := kadm.NewClient(app.Client).CreateTopic(context.Background(), servetest.Partitions, 1, nil, app.Names.Profiles); err != nil {
		t.Fatal(err)
	}
	profiles(t, app, 0, app.Profile("a1", "203.0.113.9"), app.Profile("a2", "203.0.113.9"), app.Profile("a3", "203.0.113.9"))
	hasNewAddresses(t, s)
	if missing := s.Follower.MissingTopics(); len(missing) != 0 {
		t.Errorf("%v are not there, and are", missing)
	}
	caught(t, s)
}

// That no event topic is there is told, and what comes from the changelog is shown as of now.
func TestAllEventTopicsAreDeleted(t *testing.T) {
	t.Parallel()
	app, dir := stopped(t)
	all := []string{app.Names.StateChanged, app.Names.MultiActorSuspects, app.Names.IdentityChanged, app.Names.Profiles}
	if _, err := kadm.NewClient(app.Client).DeleteTopics(context.Background(), all...); err != nil {
		t.Fatal(err)
	}
	s, _ := open(t, app, dir)
	until(t, "the topics are missed", func() bool { return slices.Equal(s.Follower.MissingTopics(), all) })
	caught(t, s)
	list, err := s.Reader.Identities(query.IdentityQuery{Q: "192.0.2.0/24"})
	if err != nil || list.Total == 0 {
		t.Errorf("%+v, %v: want the addresses as they were", list, err)
	}
	if line, err := s.Reader.Timeline(query.TimelineQuery{Identity: stub("a1")}); err != nil || len(line.Items) == 0 {
		t.Errorf("%+v, %v: want what happened as it was", line, err)
	}
	w, secrets := web(t, s, func(c *serve.WebConfig) { c.Pages = serve.Pages(nil) })
	if _, body := ask(t, w, "GET", "/api/v1/tasks", secrets[guard.Read], ""); !strings.Contains(string(body), app.Names.MultiActorSuspects+`"`) {
		t.Errorf("the API does not say it: %.300s", body)
	}
	if _, err := kadm.NewClient(app.Client).CreateTopics(context.Background(), servetest.Partitions, 1, nil, all...); err != nil {
		t.Fatal(err)
	}
	until(t, "they are there", func() bool { return len(s.Follower.MissingTopics()) == 0 })
	caught(t, s)
}

// So is the topic of identities: what it said before is not shown as what it says.
func TestTheTopicOfIdentitiesIsMadeAnewWhileItIsAskedFor(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	app.Send(app.Event(attribution.IdentityEvent{Type: attribution.Linked, Identity: stub("a1"), Attackers: []string{"a9"}}))
	app.Send(app.Event(attribution.IdentityEvent{Type: attribution.Linked, Identity: stub("a2"), Attackers: []string{"a8"}}))
	dir := t.TempDir()
	s, stop := open(t, app, dir)
	caught(t, s)
	before := records(t, app)
	shows(t, s, before, stub("a1"), stub("a2"))
	if before[stub("a1")] == nil || before[stub("a2")] == nil {
		t.Fatalf("the topic has %v", before)
	}
	stop()
	opts, asked, release := holding("app-serve-identities", metadata)
	defer release()
	s, _ = openBy(t, app, dir, opts...)
	<-asked
	adm := kadm.NewClient(app.Client)
	if _, err := adm.DeleteTopic(context.Background(), app.Names.Identities); err != nil {
		t.Fatal(err)
	}
	if _, err := adm.CreateTopic(context.Background(), servetest.Partitions, 1, nil, app.Names.Identities); err != nil {
		t.Fatal(err)
	}
	anew := []*kgo.Record{{Topic: app.Names.Identities, Key: []byte(stub("a1")), Value: before[stub("a1")]}}
	for i := range 40 {
		anew = append(anew, &kgo.Record{Topic: app.Names.Identities, Key: fmt.Append(nil, i)})
	}
	profiles(t, app, 0, anew...)
	release()
	shows(t, s, map[string]json.RawMessage{stub("a1"): before[stub("a1")]}, stub("a1"), stub("a2"))
}
