package serve_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/broker"
	"handprint/internal/operations"
	"handprint/serve"
	"handprint/serve/api"
	"handprint/serve/guard"
	"handprint/serve/servetest"
	"handprint/topology"
)

// measure asks how far an application is, as the command does.
func measure(ctx context.Context, app *servetest.App) (*operations.Lag, error) {
	return operations.MeasureLag(ctx, app.Client, &operations.Application{ID: "app", Names: app.Names, Layout: topology.Layout{Partitions: servetest.Partitions, Replication: 1}})
}

// atRest waits until an application has processed all input, whoever has its tasks.
func atRest(t *testing.T, app *servetest.App) {
	t.Helper()
	until(t, "all input is processed", func() bool {
		l, err := measure(context.Background(), app)
		return err == nil && l.Total == 0 && l.Unowned == 0
	})
}

// The owner of all tasks is killed in the middle of its work, again and again. Meanwhile
// lists go on, what waits is told, and who waits for their own identity event gets it
// from the next owner. Afterwards nothing is lost or doubled: rows, transitions and
// identity events are those of the topics.
func TestTheOwnerIsKilled(t *testing.T) {
	t.Parallel() // it waits for sessions and transactions to time out
	quick := func(c *topology.Config) {
		c.Runtime.SessionTimeout, c.Runtime.TransactionTimeout, c.Runtime.StaticMembership = time.Second, 2*time.Second, false
	}
	app := servetest.StartIdle(t)
	owner := app.Instance("owner0", quick)
	some(app)
	clock := new(shiftedClock)
	s, _ := openWith(t, app, t.TempDir(), func(c *serve.Config) { c.Clock = clock })
	caught(t, s)
	watch := func(c *serve.WebConfig) {
		c.Watch = func(ctx context.Context) (*api.Health, error) {
			l, err := measure(ctx, app)
			if err != nil {
				return nil, err
			}
			h := &api.Health{Group: l.Group, State: l.State, Members: l.Members, Unowned: l.Unowned, InputLag: l.Total, Tasks: []api.Task{}}
			for _, task := range l.Tasks {
				h.Tasks = append(h.Tasks, api.Task{Task: task.Task, Owner: task.Owner, InputLag: task.Total})
			}
			return h, nil
		}
	}
	w, secrets := web(t, s, watch)
	read, operate := secrets[guard.Read], secrets[guard.Operate]
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	for round := range rounds {
		// The owner is killed while it has work.
		var sent []*kgo.Record
		for n := range 400 {
			sent = append(sent, app.Observation(fmt.Sprintf("a%d", n%20), hassh, fmt.Sprintf(`"f%d"`, n%(3+round)), float64(1_699_999_100+1000*round+n)))
		}
		if err := app.Client.ProduceSync(context.Background(), sent...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		owner.Kill()

		// A write of one's own, which nobody carries out yet.
		winner, loser := fmt.Sprintf("a%d", 2*round), fmt.Sprintf("a%d", 2*round+1)
		resp, text := ask(t, w, http.MethodPost, "/api/v1/identity-events", operate, fmt.Sprintf(`{"type":"merged","winner_uuid":%q,"loser_uuid":%q,"unseen":true}`, stub(winner), stub(loser)))
		var event struct{ Sent api.Sent }
		if err := json.Unmarshal(text, &event); err != nil || resp.StatusCode != http.StatusAccepted {
			t.Fatalf("round %d: %d %s", round, resp.StatusCode, text)
		}
		own := "/api/v1/identities/" + stub(loser) + "?after=" + event.Sent.After
		if resp, text := ask(t, w, http.MethodGet, own+"&wait=0", read, ""); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(text), "not-there-yet") {
			t.Errorf("round %d: nobody can have carried it out, and the answer is %d %s", round, resp.StatusCode, text)
		}
		until(t, "what waits is told, and that nobody has the tasks", func() bool {
			resp, text := ask(t, w, http.MethodGet, "/api/v1/identities", read, "")
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("a list while the owner is away: %d %s", resp.StatusCode, text)
			}
			lag := resp.Header.Get("Handprint-Input-Lag")
			tasks := get[struct{ Unowned int }](t, w, "/api/v1/tasks", read)
			return resp.Header.Get("Handprint-Read-Lag") == "0" && lag != "" && !strings.HasPrefix(lag, "0") && strings.Contains(lag, "tasks=") && tasks.Unowned == servetest.Partitions
		})

		// The next owner. It restores from the changelog alone.
		owner = app.Instance(fmt.Sprint("owner", round+1), quick)
		until(t, "the own write is read", func() bool {
			resp, text := ask(t, w, http.MethodGet, own+"&wait=10", read, "")
			return resp.StatusCode == http.StatusOK && strings.Contains(string(text), `"merged_into":"`+stub(winner)+`"`)
		})
		atRest(t, app)
		until(t, "nothing waits", func() bool {
			resp, _ := ask(t, w, http.MethodGet, "/api/v1/identities", read, "")
			return resp.Header.Get("Handprint-Input-Lag") == "0"
		})
		caught(t, s)
		checkRows(t, app, s)
	}

	// Every event of the topics is in the history once.
	want := map[string]int{}
	for _, topic := range []string{app.Names.StateChanged, app.Names.IdentityChanged, app.Names.MultiActorSuspects} {
		if err := broker.Scan(context.Background(), app.Client, func(r *kgo.Record) error {
			var e exported
			err := json.Unmarshal(r.Value, &e)
			want[e.EventID]++
			return err
		}, topic); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]int{}
	clock.put(time.Minute) // everything was recorded long enough ago to be exported
	until(t, "the history has all events", func() bool {
		clear(got)
		_, text := ask(t, w, http.MethodGet, "/api/v1/export/events/json", read, "")
		for _, e := range jsonLines(t, text) {
			got[e.EventID]++
		}
		return len(got) >= len(want)
	})
	for id, n := range want {
		if n != 1 || got[id] != 1 {
			t.Errorf("event %s: %d in the topics, %d in the history", id, n, got[id])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d events in the history, %d in the topics", len(got), len(want))
	}
	shows(t, s, records(t, app), stub("a0"), stub("a1"), stub("a2"), stub("a3"), stub("a6"))
}
