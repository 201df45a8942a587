package serve_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/serve"
	"handprint/serve/catalog"
	"handprint/serve/guard"
	"handprint/serve/query"
	"handprint/serve/servetest"
)

// Questions that need no broker, by path; %s stands for an identity.
var brokerless = []string{
	"/api/v1/identities?counts=states", "/api/v1/identities/%s", "/api/v1/identities/%s/attribution", "/api/v1/identities/%s/attackers", "/api/v1/identities/%s/timeline",
	"/api/v1/identities/%s/history", "/api/v1/identities/%s/explain", "/api/v1/identities/%s/explain/" + hassh, "/api/v1/identities/%s/similar", "/api/v1/attackers?q=a",
	"/api/v1/primitives", "/api/v1/primitives/" + hassh + "/values", "/api/v1/suspicions", "/api/v1/suggestions", "/api/v1/search?q=f1", "/api/v1/overview",
	"/api/v1/tasks", "/api/v1/topology", "/api/v1/export/csv", "/api/v1/whoami",
}

// With all brokers gone everything that is known is still answered; what needs a
// broker says so.
func TestBrokersGone(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	s, _ := open(t, app, t.TempDir())
	caught(t, s)
	w, secrets := web(t, s, nil)
	if err := app.Broker.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range brokerless {
		if strings.Contains(path, "%s") {
			path = fmt.Sprintf(path, stub("a1"))
		}
		if resp, body := ask(t, w, http.MethodGet, path, secrets[guard.Read], ""); resp.StatusCode != http.StatusOK {
			t.Errorf("%s answers %d: %.200s", path, resp.StatusCode, body)
		}
	}
	resp, body := ask(t, w, http.MethodPost, "/api/v1/identity-events", secrets[guard.Operate], fmt.Sprintf(`{"type":"merged","winner_uuid":%q,"loser_uuid":%q}`, stub("a1"), stub("a2")))
	if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "no-broker") {
		t.Errorf("an event without brokers: %d %.200s", resp.StatusCode, body)
	}
}

// A thousand requests at once, among them scans of everything, clients that never
// read, and requests that never end do not stop the follower.
func TestFloodsDoNotStopTheFollower(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	s, _ := open(t, app, t.TempDir())
	caught(t, s)
	w, secrets := web(t, s, func(c *serve.WebConfig) { c.LiveClients, c.LivePerSubject = 500, 500 })
	for n := range 20 { // they ask, and do not read, or do not even ask to the end
		c, err := net.Dial("tcp", w.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		end := "\r\n\r\n"
		if n%2 == 0 {
			end = "\r\nX-Slow: "
		}
		if _, err := fmt.Fprintf(c, "GET /api/v1/events?rate=200 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s%s", secrets[guard.Read], end); err != nil {
			t.Fatal(err)
		}
	}
	paths := []string{"/api/v1/identities?counts=states&sort=-unstable", "/api/v1/search?q=f1", "/api/v1/export/json", "/api/v1/suggestions", "/api/v1/identities/" + stub("a1"), "/api/v1/overview"}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}
	defer client.CloseIdleConnections()
	statuses := map[int]int{}
	var mu sync.Mutex
	var flood sync.WaitGroup
	for n := range 1000 {
		flood.Go(func() {
			r, err := http.NewRequest(http.MethodGet, "http://"+w.Addr()+paths[n%len(paths)], nil)
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Authorization", "Bearer "+secrets[guard.Read])
			resp, err := client.Do(r)
			if err != nil {
				t.Errorf("%s: %v", r.URL.Path, err)
				return
			}
			_, err = io.Copy(io.Discard, resp.Body)
			if err = cmpOr(err, resp.Body.Close()); err != nil {
				t.Errorf("%s: %v", r.URL.Path, err)
			}
			mu.Lock()
			defer mu.Unlock()
			statuses[resp.StatusCode]++
		})
	}
	for round := range 5 { // what is sent meanwhile is followed meanwhile
		app.Send(app.Observation(fmt.Sprint("late", round), hassh, `"f9"`, 1_699_999_900))
		caught(t, s)
		if _, err := s.Reader.Identity(stub(fmt.Sprint("late", round)), false); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
	}
	flood.Wait()
	for status, n := range statuses {
		if status != http.StatusOK && status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
			t.Errorf("%d requests were answered %d", n, status)
		}
	}
	if statuses[http.StatusOK] == 0 {
		t.Errorf("nobody was answered: %v", statuses)
	}
	if resp, body := ask(t, w, http.MethodGet, paths[0], secrets[guard.Read], ""); resp.StatusCode != http.StatusOK {
		t.Errorf("afterwards a list answers %d: %.200s", resp.StatusCode, body)
	}
}

func cmpOr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// ids are the identities that a read side lists.
func ids(t *testing.T, s *serve.Side) string {
	t.Helper()
	list, err := s.Reader.Identities(query.IdentityQuery{Sort: "identity_uuid", Merged: "include", Limit: 200})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, i := range list.Items {
		all = append(all, fmt.Sprint(i.Identity, i.States))
	}
	return strings.Join(all, "\n")
}

// A folder that was deleted, copied or damaged, or that belongs to another cluster,
// gives what the topics say.
func TestTheFolderMayBeAnything(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	dir := filepath.Join(t.TempDir(), "serve")
	s, stop := open(t, app, dir)
	caught(t, s)
	want := ids(t, s)
	stop()
	spoil := func(t *testing.T, dir, below string, change func(file string)) {
		t.Helper()
		spoilt := 0
		err := filepath.Walk(filepath.Join(dir, below), func(file string, info os.FileInfo, err error) error {
			if err == nil && info.Mode().IsRegular() && info.Size() > 0 && !strings.HasSuffix(file, "LOCK") {
				spoilt++
				change(file)
			}
			return err
		})
		if err != nil || spoilt == 0 {
			t.Fatalf("%d files were spoilt: %v", spoilt, err)
		}
	}
	nonsense := func(file string) {
		if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
			panic(err)
		}
	}
	half := func(file string) {
		info, err := os.Stat(file)
		if err == nil {
			err = os.Truncate(file, info.Size()/2)
		}
		if err != nil {
			panic(err)
		}
	}
	for name, change := range map[string]func(t *testing.T, dir string){
		"copied":                     func(*testing.T, string) {},
		"deleted":                    func(t *testing.T, dir string) { remove(t, dir) },
		"the copy deleted":           func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "copy")) },
		"the history deleted":        func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "history")) },
		"the snapshot deleted":       func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "catalog.snapshot")) },
		"the snapshot is nonsense":   func(t *testing.T, dir string) { spoil(t, dir, "catalog.snapshot", nonsense) },
		"half of the snapshot":       func(t *testing.T, dir string) { spoil(t, dir, "catalog.snapshot", half) },
		"the copy is nonsense":       func(t *testing.T, dir string) { spoil(t, dir, "copy", nonsense) },
		"half of the copy's files":   func(t *testing.T, dir string) { spoil(t, dir, "copy", half) },
		"the copy is of another run": func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "copy", "CURRENT")) },
	} {
		t.Run(name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "serve")
			if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			change(t, to)
			s, _ := open(t, app, to)
			caught(t, s)
			if got := ids(t, s); got != want {
				t.Errorf("the identities are\n%s\nand were\n%s", got, want)
			}
			until(t, "the timeline is there", func() bool {
				line, err := s.Reader.Timeline(query.TimelineQuery{Identity: stub("a1")})
				return err == nil && len(line.Items) > 0
			})
		})
	}
	t.Run("the history is nonsense", func(t *testing.T) {
		to := filepath.Join(t.TempDir(), "serve")
		if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		spoil(t, to, "history", nonsense)
		_, err := serve.Open(serve.Config{
			Dir: to, Client: app.Broker.ClientOpts(), Names: app.Names, Partitions: servetest.Partitions, ApplicationID: "app", CatalogMemory: 1 << 30, StoreCache: 1 << 20, Logger: servetest.Logger(),
		})
		if err == nil || !strings.Contains(err.Error(), filepath.Join(to, "history")) || strings.Contains(err.Error(), "\n") {
			t.Errorf("a damaged history: %v", err)
		}
	})
	t.Run("of another cluster", func(t *testing.T) {
		other := servetest.Start(t)
		other.Send(other.Observation("b1", hassh, `"g1"`, 1_699_999_000))
		s, _ := open(t, other, dir)
		caught(t, s)
		if got := ids(t, s); got != fmt.Sprint(stub("b1"), query.States{Stable: 1}) {
			t.Errorf("the identities are\n%s", got)
		}
		until(t, "the timeline of the new cluster is there", func() bool {
			line, err := s.Reader.Timeline(query.TimelineQuery{Identity: stub("b1")})
			return err == nil && len(line.Items) == 1
		})
		if _, err := s.Reader.Timeline(query.TimelineQuery{Identity: stub("a1")}); err == nil {
			t.Error("an identity of the old cluster is still known")
		}
	})
}

func remove(t *testing.T, what string) {
	t.Helper()
	if err := os.RemoveAll(what); err != nil {
		t.Fatal(err)
	}
}

// An identity of many attackers is answered without reading them all, and they are to
// be had page by page.
func TestAnIdentityOfManyAttackers(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	const many = 450
	event := attribution.IdentityEvent{Type: attribution.Formed, Identity: "6af1e32f-384d-4f7e-8f1b-ba38aeb755a8"}
	var records []*kgo.Record
	for n := range many {
		event.Attackers = append(event.Attackers, fmt.Sprintf("a%03d", n))
	}
	records = append(records, app.Event(event), app.Observation("a000", hassh, `"f1"`, 1_699_999_000))
	app.Send(records...)
	s, _ := open(t, app, t.TempDir())
	caught(t, s)
	i, err := s.Reader.Identity(event.Identity, false)
	if err != nil || i.Total != many || len(i.Attackers) != 200 {
		t.Fatalf("%d of %d attackers: %v", len(i.Attackers), i.Total, err)
	}
	seen, cursor := map[string]bool{}, ""
	for pages := 0; pages < 10; pages++ {
		page, err := s.Reader.Members(event.Identity, cursor, 100)
		if err != nil || page.Total != many {
			t.Fatalf("%d: %v", page.Total, err)
		}
		for _, m := range page.Items {
			if seen[m.Attacker] {
				t.Errorf("%s is shown twice", m.Attacker)
			}
			seen[m.Attacker] = true
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(seen) != many {
		t.Errorf("%d attackers in all pages", len(seen))
	}
	one, err := s.Reader.Members(stub("b1"), "", 1)
	if err == nil {
		t.Errorf("an identity that is not known has %d attackers", one.Total)
	}
}

// An export of more than it may have is refused, and is to be had in parts that have
// everything once.
func TestExportsAreNeverAPartSilently(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	s, _ := open(t, app, t.TempDir())
	caught(t, s)
	c, _ := s.Follower.Catalog()
	const many = 10_500 // that the catalogue knows of; the copy knows the last alone
	c.Apply(func(w *catalog.Writer) {
		for n := range many {
			w.PutRow(fmt.Appendf(nil, "id-%05d", n), []byte(hassh), &catalog.Row{Value: []byte(`"v"`)})
		}
	})
	w, secrets := web(t, s, nil)
	resp, body := ask(t, w, http.MethodGet, "/api/v1/export/json", secrets[guard.Read], "")
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "10500 identities match") {
		t.Errorf("an export of too many: %d %.300s", resp.StatusCode, body)
	}
	sum, cursor := 0, "begin"
	for parts := 0; cursor != "" && parts < 5; parts++ {
		part, err := s.Reader.Part(query.IdentityQuery{Cursor: strings.TrimPrefix(cursor, "begin")}, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		sum += len(part.IDs)
		resp, body = ask(t, w, http.MethodGet, "/api/v1/export/json?cursor="+cursor, secrets[guard.Read], "")
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Handprint-Export-Total") != "10500" || resp.Header.Get("Handprint-Next-Cursor") != part.Next {
			t.Fatalf("a part: %d, %v, %.300s", resp.StatusCode, resp.Header, body)
		}
		cursor = part.Next
	}
	if sum != many {
		t.Errorf("the parts have %d identities", sum)
	}
	if resp, _ := ask(t, w, http.MethodGet, "/api/v1/export/csv?cursor=nonsense", secrets[guard.Read], ""); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a cursor that is none: %d", resp.StatusCode)
	}
	if resp, _ := ask(t, w, http.MethodGet, "/api/v1/export/csv?q=id-0000", secrets[guard.Read], ""); resp.StatusCode != http.StatusOK || resp.Header.Get("Handprint-Next-Cursor") != "" {
		t.Errorf("an export of few: %d, %v", resp.StatusCode, resp.Header)
	}
}
