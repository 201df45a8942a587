package serve_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/serve"
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

// A process that is killed leaves a snapshot of before the topic was made anew, and a
// history of after.
func TestASnapshotOfATopicThatWasMadeAnew(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	profiles(t, app, 60)
	dir := t.TempDir()
	s, stop := open(t, app, dir)
	caught(t, s)
	stop()
	snapshots, err := filepath.Glob(filepath.Join(dir, "catalog*"))
	if err != nil || len(snapshots) != 1 {
		t.Fatalf("snapshots %v, %v", snapshots, err)
	}
	before, err := os.ReadFile(snapshots[0])
	if err != nil {
		t.Fatal(err)
	}
	profilesAnew(t, app)
	s, stop = open(t, app, dir)
	hasNewAddresses(t, s)
	stop()
	if err := os.WriteFile(snapshots[0], before, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ = open(t, app, dir)
	hasNewAddresses(t, s)
}
