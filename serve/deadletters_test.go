package serve_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/schemas"
	"handprint/serve"
	"handprint/serve/guard"
	"handprint/serve/servetest"
)

// Dead letters that cannot be sent again are told from a fault, by the page and by the API;
// ones that brokers cannot be asked for are told from none.
func TestDeadLettersOnPages(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	s, _ := open(t, app, t.TempDir())
	caught(t, s)
	w, secrets := web(t, s, func(c *serve.WebConfig) { c.Pages = serve.Pages(nil) })
	read, operate := secrets[guard.Read], secrets[guard.Operate]
	if _, page := ask(t, w, http.MethodGet, "/operations", read, ""); !strings.Contains(string(page), "None.") {
		t.Errorf("without dead letters: %s", page)
	}
	cut := &kgo.Record{Topic: app.Names.DeadLetter, Headers: append(schemas.DeadLetterHeaders(&kgo.Record{Topic: app.Names.Observations}, "decode", "bad"), kgo.RecordHeader{Key: schemas.HeaderOriginalSize, Value: []byte("9")})}
	foreign := &kgo.Record{Topic: app.Names.DeadLetter, Headers: schemas.DeadLetterHeaders(&kgo.Record{Topic: "sensor.log"}, "decode", "bad")}
	old := &kgo.Record{Topic: app.Names.DeadLetter, Headers: schemas.DeadLetterHeaders(&kgo.Record{Topic: app.Names.IdentityEvents, Timestamp: app.Now}, "apply", "of a topic of before")}
	good := &kgo.Record{Topic: app.Names.DeadLetter, Value: []byte("{}"), Headers: schemas.DeadLetterHeaders(&kgo.Record{Topic: app.Names.Observations}, "decode", "bad")}
	app.Send(cut, foreign, old, good)
	for name, r := range map[string]*kgo.Record{"cut": cut, "foreign": foreign} {
		at := fmt.Sprintf("/dead-letters/%d/%d/replay", r.Partition, r.Offset)
		if resp, page := ask(t, w, http.MethodPost, at, operate, ""); resp.StatusCode != http.StatusConflict || !strings.Contains(string(page), `href="/operations">Operations`) {
			t.Errorf("%s, by the page: %d %s", name, resp.StatusCode, page)
		}
		if resp, _ := ask(t, w, http.MethodPost, "/api/v1"+at, operate, ""); resp.StatusCode != http.StatusConflict {
			t.Errorf("%s, by the API: %d", name, resp.StatusCode)
		}
	}
	at := fmt.Sprintf("/dead-letters/%d/%d/replay", good.Partition, good.Offset)
	for range 2 {
		if resp, page := ask(t, w, http.MethodPost, at, operate, ""); resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(resp.Header.Get("Location"), "/operations?sent=") {
			t.Errorf("sent again: %d %s", resp.StatusCode, page)
		}
	}
	if resp, text := ask(t, w, http.MethodGet, "/api/v1/identities?after=identity.events:0:0&wait=0.1", read, ""); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(text), "not-there-yet") {
		t.Errorf("an event that is not there yet, with a dead letter of a topic of before: %d %s", resp.StatusCode, text)
	}
	if err := app.Broker.Close(); err != nil {
		t.Fatal(err)
	}
	if resp, page := ask(t, w, http.MethodGet, "/operations", read, ""); resp.StatusCode != http.StatusOK || !strings.Contains(string(page), "the brokers cannot be asked") {
		t.Errorf("without brokers: %d %s", resp.StatusCode, page)
	}
	if resp, page := ask(t, w, http.MethodPost, fmt.Sprintf("/dead-letters/%d/%d/replay", cut.Partition, cut.Offset), operate, ""); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(page), `href="/operations">Operations`) {
		t.Errorf("sent again without brokers: %d %s", resp.StatusCode, page)
	}
}

// Requests for tasks do not write into what others read: the race detector looks.
func TestTasksAreAskedForAtOnce(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	s, _ := open(t, app, t.TempDir())
	caught(t, s)
	w, secrets := web(t, s, nil)
	until(t, "the tasks are known", func() bool {
		_, text := ask(t, w, http.MethodGet, "/api/v1/tasks", secrets[guard.Read], "")
		return strings.Contains(string(text), `"owner":"test"`)
	})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				if resp, text := ask(t, w, http.MethodGet, "/api/v1/tasks", secrets[guard.Read], ""); resp.StatusCode != http.StatusOK {
					t.Errorf("%d %s", resp.StatusCode, text)
				}
			}
		})
	}
	all.Wait()
}
